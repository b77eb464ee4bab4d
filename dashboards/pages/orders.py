"""The orders: what runs, what waits, whether it will be in time; and how they get in."""

import base64
import binascii
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import parts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from dashboards.security import MAX_BODY
from dashboards.view import OrderView

PATH = "/orders"
ORDER = ("running", "held", "waiting", "completed", "cancelled")
"""States, in the order the list shows them."""
EXPLAINED = (
    "Finish: from the rate and its ups and downs over the last 4 h of planned time, in planned time only. 8 of 10 orders "
    "finish between the two times. At risk: 20 % or more likely to be late."
)


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The list, `machine` narrows it; below it the import."""
    orders = backend.orders()
    if query.get("machine"):
        below = backend.plant.below(query["machine"])
        orders = [order for order in orders if order["equipment"] in below]
    orders = sorted(orders, key=lambda o: (ORDER.index(o["state"]), o["due"] or "9", o["id"]))
    heads = (
        "Order",
        "Product",
        "Where",
        "State",
        "Progress",
        "",
        "Due",
        "Finish at this rate",
        "Forecast",
        "",
    )
    rows = [_row(backend, order) for order in orders]
    upload = dcc.Upload(
        html.Div("Drop a CSV or Excel file here, or click to choose one", className="upload"),
        id="order-file",
        accept=".csv,.xlsx",
        max_size=MAX_BODY,
    )
    columns = "One row per order: id, material, quantity, equipment, due; all rows are taken or none."
    return html.Div(
        [
            html.Div(parts.machine_choice(backend, PATH, query), className="toolbar"),
            parts.panel(
                "Orders",
                parts.table(heads, rows, "No orders yet: import some below.", numeric=(5,)),
                html.P(EXPLAINED, className="muted"),
            ),
            parts.panel(
                "Import orders", html.P(columns, className="muted"), upload, html.Div(id="import-errors")
            ),
        ],
        className="page",
    )


def _row(backend: Backend, order: OrderView) -> tuple[Any, ...]:
    zone, now = backend.plant.site.zone, backend.now()
    late = order["slack"] is not None and order["slack"] < -60
    equipment = backend.plant.equipment.get(order["equipment"])
    step = {"waiting": ("start", "Start"), "running": ("finish", "Finish")}.get(order["state"])
    button = None
    if step:
        button = html.Button(
            step[1],
            id={"type": "order", "do": step[0], "order": order["id"]},
            className="button small",
            **{"data-needs-user": "1", "aria-label": f"{step[1]} {order['id']}"},
        )
    return (
        html.B(order["id"]),
        order["material_name"],
        equipment.name if equipment else order["equipment"],
        html.Span(order["state"], className="state", **{"data-state": order["state"]}),
        parts.bar(order["good"] / max(1, order["quantity"]), "bad" if late else ""),
        f"{words.number(order['good'])} / {words.number(order['quantity'])}",
        words.moment(order["due"], zone, now),
        html.Div([words.moment(order["finish_present"], zone, now), _small(_interval(order, zone, now))]),
        html.Div(
            [html.Span(words.slack(order["slack"]), className="late" if late else ""), _small(_risk(order))]
        ),
        button,
    )


def _interval(order: OrderView, zone: ZoneInfo, now: datetime) -> str:
    if order["state"] != "running" or order["good"] >= order["quantity"]:
        return ""
    return words.between(order["finish_early"], order["finish_late"], zone, now)


def _risk(order: OrderView) -> str:
    return f"At risk, {words.percent(order['risk'], 0)}. {order['why']}." if order["why"] else ""


def _small(text: str) -> Component | None:
    return html.Div(html.Small(text, className="muted")) if text else None


def register(backend: Backend, cb: Callbacks) -> None:
    """Start, finish, import."""

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input({"type": "order", "do": ALL, "order": ALL}, "n_clicks"),
        State("user", "data"),
        prevent_initial_call=True,
    )
    def step(clicks: list[int | None], user: str | None) -> tuple[Any, Any]:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True)
        order = ctx.triggered_id["order"]
        if ctx.triggered_id["do"] == "start":
            return attempt(lambda: backend.start_order(order, user), f"{order} started")
        return attempt(lambda: backend.finish_order(order, user), f"{order} finished")

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Output("import-errors", "children"),
        Input("order-file", "contents"),
        State("order-file", "filename"),
        State("user", "data"),
        prevent_initial_call=True,
    )
    def take(contents: str | None, name: str | None, user: str | None) -> tuple[Any, Any, Any]:
        if not contents or not name:
            return no_update, no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True), no_update
        taken: list[int] = []
        try:
            content = base64.b64decode(contents.partition(",")[2], validate=True)
            taken.append(backend.import_orders(name, content, {}, user))
        except (Refused, binascii.Error) as refused:
            head = html.B(f"{name} was not imported; nothing was changed")
            errors = html.Div([head, html.Div(str(refused))], className="errors", role="alert")
            return no_update, no_update, errors
        changed, said = attempt(lambda: None, f"{taken[0]} orders imported from {name}")
        return changed, said, ""


PAGE = Page(path=PATH, title="Orders", icon="orders", order=40, layout=layout, register=register)
