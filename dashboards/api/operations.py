"""Health and metrics, for whoever watches the server."""

from collections.abc import Mapping

import orjson
from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from dashboards.live import Broadcast
from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend, broadcast: Broadcast) -> None:
    own = CollectorRegistry()
    Gauge("lineside_board_viewers", "Open live streams", registry=own).set_function(lambda: broadcast.viewers)
    Gauge("lineside_board_ticks", "Snapshots published", registry=own).set_function(
        lambda: broadcast.tick.number if broadcast.tick else 0
    )

    @api.get("/health", tags=["operations"])
    def health() -> Response:
        """200 when every part works, 503 when one does not; `detail` says which and why."""
        state: Mapping[str, object] = backend.health()
        return Response(
            orjson.dumps(dict(state)), 200 if state.get("ok") else 503, media_type="application/json"
        )

    @api.get("/metrics", tags=["operations"])
    def metrics() -> Response:
        """Prometheus text format."""
        return Response(backend.metrics() + generate_latest(own), media_type=CONTENT_TYPE_LATEST)
