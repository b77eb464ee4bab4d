"""The board as of the last tick, and its live stream."""

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from dashboards.api.answers import Json
from dashboards.live import Broadcast
from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend, broadcast: Broadcast) -> None:
    @api.get("/api/v1/board", tags=["board"])
    def board(request: Request) -> Response:
        """The whole board as of the last tick. Send its ETag as If-None-Match: 304 when nothing changed."""
        tick = broadcast.tick
        if tick is None:
            return Json(backend.snapshot())
        headers = {"ETag": tick.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if tick.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(tick.packed, 200, headers | {"Content-Encoding": "gzip"}, "application/json")
        return Response(tick.full, 200, headers, "application/json")

    @api.get("/api/v1/board/stream", tags=["board"])
    async def stream() -> Response:
        """Server-sent events: `full` with the whole board first, then a `delta` per tick."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(broadcast.stream(), media_type="text/event-stream", headers=headers)
