"""Alerts: open ones, their history, acknowledging."""

from fastapi import APIRouter
from fastapi.responses import Response

from dashboards.api.answers import Json
from dashboards.api.asked import ByUser
from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/alerts", tags=["alerts"])
    def alerts(resolved: bool = False) -> Response:
        """Open alerts; with `resolved=true` also those that are over."""
        return Json(backend.alerts(include_resolved=resolved))

    @api.get("/api/v1/alerts/{alert}/history", tags=["alerts"])
    def history(alert: str) -> Response:
        """Everything that happened to an alert, oldest first."""
        return Json([dict(event) for event in backend.alert_history(alert)])

    @api.post("/api/v1/alerts/{alert}/acknowledge", tags=["alerts"], status_code=204)
    def acknowledge(alert: str, body: ByUser) -> Response:
        """Say that somebody cares: the escalation steps still to come do not fire."""
        backend.acknowledge(alert, body.user)
        return Response(status_code=204)
