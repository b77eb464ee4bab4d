"""The alert inbox: what nobody has taken yet, what somebody has, and what is over (ISA-18.2 states)."""

from datetime import datetime
from typing import Any

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import parts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend
from dashboards.view import AlertView

PATH = "/alerts"
GROUPS = (
    ("unacknowledged", "New", "Nobody is waited for: there is no new alert."),
    ("acknowledged", "Acknowledged", "Nothing is being worked on."),
    ("resolved", "Resolved", "Nothing was resolved lately."),
)
SEVERITIES = ("urgent", "high", "medium", "low")
SHAPES = {"urgent": "down", "high": "down", "medium": "waiting"}
RESOLVED = 30
"""Resolved alerts the page shows; the API gives all."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """Three groups; `machine` narrows them, `alert` opens one's history."""
    alerts = backend.alerts(include_resolved=True)
    if query.get("machine"):
        below = backend.plant.below(query["machine"])
        alerts = [alert for alert in alerts if alert["equipment"] in below]
    groups = []
    for state, title, empty in GROUPS:
        found = sorted((a for a in alerts if a["state"] == state), key=lambda a: a["raised"], reverse=True)
        if state != "resolved":
            found.sort(key=lambda a: SEVERITIES.index(a["severity"]))
        cards = [_card(backend, alert, query) for alert in found[:RESOLVED]]
        inside = html.Div(cards, className="inbox") if cards else html.P(empty, className="empty")
        groups.append(parts.panel(title, inside, extra=html.Span(str(len(found)), className="muted")))
    return html.Div(
        [html.Div(parts.machine_choice(backend, PATH, query), className="toolbar"), *groups], className="page"
    )


def _card(backend: Backend, alert: AlertView, query: Query) -> Component:
    zone, now = backend.plant.site.zone, backend.now()
    age = (now - datetime.fromisoformat(alert["raised"])).total_seconds()
    opened = query.get("alert") == alert["id"]
    order = None
    if alert["order"]:
        late = alert["slack"] is not None and alert["slack"] < 0
        text = f"Order {alert['order']}: {words.slack(alert['slack']) or 'no due date'}"
        order = html.P(text, className="late" if late else "muted")
    actions = [
        dcc.Link(
            "Hide history" if opened else "History",
            href=parts.link(PATH, query, alert=None if opened else alert["id"]),
            className="button small",
        ),
    ]
    if alert["equipment"] in backend.plant.equipment:
        href = f"/losses?machine={alert['equipment']}"
        actions.append(dcc.Link("Losses", href=href, className="button small"))
    if source := _source(backend, alert):
        actions.append(dcc.Link("Source", href=f"/sources?source={source}", className="button small"))
    if alert["state"] == "unacknowledged":
        actions.insert(
            0,
            html.Button(
                "Acknowledge",
                id={"type": "acknowledge", "alert": alert["id"]},
                className="button",
                **{
                    "data-needs-user": "1",
                    "aria-label": f"Acknowledge {alert['equipment_name']}: {alert['title']}",
                },
            ),
        )
    return html.Article(
        [
            html.Div(
                [
                    html.B(alert["equipment_name"]),
                    html.Span(alert["severity"], className="state"),
                    html.Time(words.length(age), title=words.moment(alert["raised"], zone)),
                ],
                className="alert-head",
            ),
            html.P(alert["title"]),
            order,
            html.P(_stand(backend, alert), className="muted"),
            html.Div(actions, className="actions"),
            _history(backend, alert["id"]) if opened else None,
        ],
        className="alert opened" if opened else "alert",
        **{"data-shape": SHAPES.get(alert["severity"], "info"), "data-state": alert["state"]},
    )


def _source(backend: Backend, alert: AlertView) -> str | None:
    """The source to look at when nothing is known of a machine; the first of a collector process."""
    if alert["rule"] != "@blind":
        return None
    sources, equipment = backend.plant.sources, alert["equipment"]
    kind, _, name = equipment.rpartition(":")
    if kind == "@source":
        return name if name in sources else None
    if kind == "@collector":
        return next((s.id for s in sources.values() if s.process == name), None)
    return next((s.source for s in backend.plant.state_signals() if s.equipment == equipment), None)


def _stand(backend: Backend, alert: AlertView) -> str:
    """Who has it, or whom it goes to next and when."""
    zone, now = backend.plant.site.zone, backend.now()
    if alert["resolved"]:
        return f"Resolved {words.moment(alert['resolved'], zone, now)}"
    if alert["acknowledged"]:
        user = backend.plant.users.get(alert["acknowledged_by"] or "")
        name = user.name if user else alert["acknowledged_by"] or "somebody"
        return f"Acknowledged {words.moment(alert['acknowledged'], zone, now)} by {name}"
    told = f"{alert['steps_done']} escalation step{'' if alert['steps_done'] == 1 else 's'} done"
    if alert["next_step"]:
        return f"{told}; next {alert['next_to']} at {words.moment(alert['next_step'], zone, now)}"
    return f"{told}; nobody else will be told"


def _history(backend: Backend, alert: str) -> Component:
    plant = backend.plant
    rows = [
        (
            words.moment(event["at"], plant.site.zone, backend.now()),
            event["event"],
            event["detail"],
            plant.users[event["user"]].name if event["user"] in plant.users else event["user"],
        )
        for event in backend.alert_history(alert)
    ]
    return parts.table(("When", "What", "Detail", "Who"), rows, "Nothing was recorded.")


def register(backend: Backend, cb: Callbacks) -> None:
    """Acknowledge."""

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input({"type": "acknowledge", "alert": ALL}, "n_clicks"),
        State("user", "data"),
        prevent_initial_call=True,
    )
    def acknowledge(clicks: list[int | None], user: str | None) -> tuple[Any, Any]:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True)
        alert = ctx.triggered_id["alert"]
        return attempt(lambda: backend.acknowledge(alert, user), "Acknowledged")


PAGE = Page(path=PATH, title="Alerts", icon="alerts", order=20, layout=layout, register=register)
