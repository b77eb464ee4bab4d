"""The orders: what runs, what waits, whether it will be in time; and how they get in."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import again, orderforecast, parts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from dashboards.security import MAX_BODY
from dashboards.view import OrderView

PATH = "/orders"
AGAIN = 10
"""Seconds between two looks at how far the orders are."""
EXPLAINED = (
    "A finish is told from the rate and its ups and downs over the last 4 h of planned time, and in planned time "
    "only; of an order that waits, after what goes first on its machine. At risk: 20 % or more likely to be late."
)


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The orders, those at risk first; `machine` narrows them. Below them the import."""
    upload = dcc.Upload(
        html.Div("Drop a CSV or Excel file here, or click to choose one", className="upload"),
        id="order-file",
        accept=".csv,.xlsx",
        max_size=MAX_BODY,
    )
    columns = "One row per order: id, material, quantity, equipment, due; all rows are taken or none."
    drawn = _drawn(backend, query, theme)
    return html.Div(
        [
            html.Div(parts.machine_choice(backend, PATH, query), className="toolbar"),
            html.Div(drawn, id="orders-live", className="stacked"),
            parts.panel(
                "Import orders", html.P(columns, className="note"), upload, html.Div(id="import-errors")
            ),
            again.clock("orders", AGAIN, [drawn]),
        ],
        className="page",
    )


def _drawn(backend: Backend, query: Query, theme: str) -> list[Component]:
    """All that changes while somebody looks."""
    now = backend.now()
    orders = _asked(backend, query)
    if not orders:
        place = backend.plant.equipment.get(query.get("machine", ""))
        text = f"No orders for {place.name}." if place else "No orders yet: import some below."
        return [parts.panel("Orders", html.P(text, className="empty"))]
    risky = [o for o in orders if orderforecast.at_risk(o, now)]
    running = [o for o in orders if o["state"] == "running" and o not in risky]
    waiting = [o for o in orders if o["state"] in ("held", "waiting") and o not in risky]
    over = [o for o in orders if o["state"] in ("completed", "cancelled")]
    begun = [o for o in risky if o["state"] == "running"]
    begun.sort(key=lambda o: (-(o["risk"] or 0.0), o["slack"] or 0.0, o["id"]))
    later = [o for o in risky if o["state"] != "running"]
    for some in (running, waiting, later):
        some.sort(key=lambda o: (o["due"] or "9", o["id"]))
    over.sort(key=lambda o: (o["end"] or "", o["id"]), reverse=True)
    calm = "Every order is likely to be in time." if running else "No order is running."
    return [
        parts.panel(
            "At risk",
            _forecasts(backend, [*begun, *later], calm, query),
            extra=_count(risky),
            name="risky" if risky else "",
        ),
        parts.panel(
            "Running",
            _forecasts(backend, running, "No other order is running." if begun else "No order is running."),
            orderforecast.key() if any(orderforecast.forecast(o) for o in orders) else None,
            html.P(EXPLAINED, className="note"),
            extra=_count(running),
        ),
        parts.panel("Waiting", _waiting(backend, waiting, query), extra=_count(waiting)),
        parts.panel("Finished", _over(backend, over, query), extra=_count(over)),
    ]


def _asked(backend: Backend, query: Query) -> list[OrderView]:
    """Those of the machine or line in the address, and of a line the machine is in."""
    plant, place = backend.plant, query.get("machine")
    orders = backend.orders()
    if not place:
        return orders
    return [o for o in orders if o["equipment"] in plant.below(place) or place in plant.below(o["equipment"])]


def _count(orders: Sequence[OrderView]) -> Component:
    return html.Span(words.number(len(orders)), className="muted")


def _forecasts(
    backend: Backend, orders: Sequence[OrderView], empty: str, query: Query | None = None
) -> Component:
    """With a `query` the first of them, or all where it says so (`risky`)."""
    zone, now = backend.plant.site.zone, backend.now()
    rows = []
    for order in orders:
        finish: Any = words.NONE
        if orderforecast.forecast(order):
            drawn = [_finish(backend, order), orderforecast.picture(order, zone, now)]
            finish = html.Div(drawn, className="finishing")
        rows.append(
            (
                _named(order),
                _where(backend, order),
                _progress(order),
                words.moment(order["due"], zone, now),
                finish,
                html.Div(_told(order, now), className="two"),
                _step(order),
            )
        )
    heads = ("Order", "Where", "Good", "Due", "Finish", "Forecast", "")
    table = parts.table(heads, rows, empty) if query is None else _some("risky", query, heads, rows, empty)
    return html.Div(table, className="forecasts")


def _finish(backend: Backend, order: OrderView) -> Component:
    """When it is expected to finish, of an order with a forecast."""
    zone, now = backend.plant.site.zone, backend.now()
    between = words.between(order["finish_early"], order["finish_late"], zone, now)
    said = [
        html.B(words.moment(order["finish_present"], zone, now)),
        html.Span(f" {between}" if between else " too little is known for a range"),
    ]
    return html.Div(said, className="told")


def _told(order: OrderView, now: datetime) -> list[Component]:
    """What is to be expected of it, and why."""
    if orderforecast.made(order):
        return [html.Span("All of it is made")]
    if orderforecast.overdue(order, now):
        return [
            html.Span("Overdue", className="late"),
            html.Span("It has not begun" if not order["start"] else "It is held"),
        ]
    said: list[Component] = [
        html.Span(words.slack(order["slack"]), className="late" if orderforecast.late(order) else "")
    ]
    if order["why"]:
        chance = "" if order["risk"] is None else f" {words.percent(order['risk'], 0)} likely to be late."
        said.append(html.Span(f"{order['why']}.{chance}"))
    elif order["finish_present"] is None:
        said.append(html.Span("No part was made lately: there is no rate to tell from"))
    return said


def _waiting(backend: Backend, orders: Sequence[OrderView], query: Query) -> Component:
    zone, now = backend.plant.site.zone, backend.now()
    rows = [
        (
            _named(order),
            _where(backend, order),
            _state(order),
            words.number(order["quantity"]),
            words.moment(order["due"], zone, now),
            _finish(backend, order) if orderforecast.forecast(order) else words.NONE,
            _step(order),
        )
        for order in orders
    ]
    heads = ("Order", "Where", "State", "Quantity", "Due", "Finish", "")
    return _some("waiting", query, heads, rows, "No order is waiting.", numeric=(3,))


def _over(backend: Backend, orders: Sequence[OrderView], query: Query) -> Component:
    zone, now = backend.plant.site.zone, backend.now()
    rows = [
        (
            _named(order),
            _where(backend, order),
            _state(order),
            f"{words.number(order['good'])} / {words.number(order['quantity'])}",
            words.number(order["reject"]),
            words.moment(order["due"], zone, now),
            words.moment(order["end"], zone, now),
        )
        for order in orders
    ]
    heads = ("Order", "Where", "State", "Good", "Reject", "Due", "Finished")
    return _some("finished", query, heads, rows, "No order is finished.", numeric=(3, 4))


def _some(
    name: str,
    query: Query,
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    empty: str,
    numeric: Sequence[int] = (),
) -> Component:
    """The first rows, or all where the address says so (`risky`, `waiting`, `finished`)."""
    everything = query.get(name) == "all"
    shown = parts.table(
        heads, rows if everything else rows[: parts.LISTED], empty, numeric=numeric, fold=False
    )
    if len(rows) <= parts.LISTED:
        return shown
    text = (
        f"Only the first {parts.LISTED}" if everything else f"{words.number(len(rows) - parts.LISTED)} more"
    )
    href = parts.link(PATH, query, **{name: None if everything else "all"})
    return html.Div([shown, html.Div(dcc.Link(text, href=href, className="chip"), className="chips pages")])


def _named(order: OrderView) -> Component:
    product = html.Span(order["material_name"], className="muted")
    return html.Div([html.B(order["id"]), product], className="two")


def _where(backend: Backend, order: OrderView) -> str:
    equipment = backend.plant.equipment.get(order["equipment"])
    return equipment.name if equipment else order["equipment"]


def _state(order: OrderView) -> Component:
    return html.Span(order["state"], className="state", **{"data-state": order["state"]})


def _progress(order: OrderView) -> Component:
    made = f"{words.number(order['good'])} / {words.number(order['quantity'])}"
    return html.Div([html.Span(made), parts.bar(order["good"] / max(1, order["quantity"]))], className="made")


def _step(order: OrderView) -> Component | None:
    step = {"waiting": ("start", "Start"), "running": ("finish", "Finish")}.get(order["state"])
    return step and html.Button(
        step[1],
        id={"type": "order", "do": step[0], "order": order["id"]},
        className="button small",
        **{"data-needs-user": "1", "aria-label": f"{step[1]} {order['id']}"},
    )


def register(backend: Backend, cb: Callbacks) -> None:
    """Start, finish, import, and how far the orders are."""

    again.register(backend, cb, "orders", ("orders-live",), lambda *asked: [_drawn(*asked)])

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
