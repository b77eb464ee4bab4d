"""The REST API: what the board shows, for machines and scripts; described at /docs and /openapi.json.

One module per topic. Times are ISO 8601 with a zone, durations microseconds where the column says so and seconds
otherwise. Every refusal is JSON, {"error": "<parameter>: <what is wrong and what would do>"}.
"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from dashboards.api import (
    alerts,
    board,
    figures,
    improvement,
    operations,
    orders,
    samples,
    sources,
    spc,
    stops,
)
from dashboards.api.answers import Json, install_errors
from dashboards.live import Broadcast
from dashboards.ports import Backend

__all__ = ["install_errors", "router"]


def router(backend: Backend, broadcast: Broadcast) -> APIRouter:
    """Every route under /api/v1, /health and /metrics."""
    api = APIRouter(default_response_class=Json)
    for topic in (figures, improvement, spc, stops, orders, alerts, sources, samples):
        topic.routes(api, backend)
    board.routes(api, backend, broadcast)
    operations.routes(api, backend, broadcast)

    @api.api_route(
        "/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    def unknown(rest: str) -> Response:
        return JSONResponse({"error": f"/api/{rest} does not exist; /docs lists what does"}, 404)

    return api
