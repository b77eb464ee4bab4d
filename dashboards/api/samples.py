"""Samples posted to an http source."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend) -> None:
    body = {
        "application/json": {
            "example": {
                "samples": [
                    {"signal": "filler/state", "time": "2026-01-31T06:00:00Z", "value": 6, "quality": "good"}
                ]
            }
        }
    }

    @api.post(
        "/api/v1/samples",
        tags=["samples"],
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )
    async def post_samples(
        request: Request,
        source: Annotated[str | None, Query(description="Which http source; default: the only one")] = None,
    ) -> Response:
        """Samples of an http source. Header `Authorization: Bearer TOKEN`. 200 when all are on disk; wrong anywhere: 400 and
        none is taken; 401, 503: send the same again later. Sending twice changes nothing: signal and time are the key."""
        given = request.headers.get("authorization", "")
        status, answer = await run_in_threadpool(backend.post_samples, source, given, await request.body())
        return Response(answer, status, media_type="application/json")

    @api.get("/api/v1/samples", include_in_schema=False)
    def only_posted() -> Response:
        answer = {"error": "samples are posted here; read trends at /api/v1/trend"}
        return JSONResponse(answer, 405, {"Allow": "POST"})
