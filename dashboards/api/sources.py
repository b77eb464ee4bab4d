"""Sources: connected or not, and why."""

from fastapi import APIRouter
from fastapi.responses import Response

from dashboards.api.answers import Json
from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/sources", tags=["sources"])
    def sources() -> Response:
        """Every source: connected or not and why, rate, lag, how many signals give a value, what was left out, dropped or
        lost. `state` is ok, look or away; `problems` says why in words."""
        return Json(backend.sources())

    @api.get("/api/v1/sources/{source}", tags=["sources"])
    def source(source: str) -> Response:
        """One source with each of its signals (`signal_list`: last value, times, quality, rate, what is wrong) and the gaps
        of the last 24 hours (`gap_list`)."""
        return Json(backend.source(source))
