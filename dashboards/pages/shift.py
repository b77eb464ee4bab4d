"""The shift report: readable in 90 seconds, on one sheet of paper."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from analytics.figures.summary import summarise
from dashboards import figures, parts, restated, words
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from dashboards.view import OrderView, ShiftView
from execution.progress import counting_machines
from plant.frames import Window

PATH = "/shift"
BACK = timedelta(days=3)
"""How far back the choice of shifts reaches."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """One shift: `start` in the address names it; the running or last one when it is missing."""
    now, zone = backend.now(), backend.plant.site.zone
    shifts = backend.shifts(Window(now - BACK, now))
    if not shifts:
        raise Refused(f"No shift in the last {BACK.days} days: the plant file's calendar has none.")
    wanted = query.get("start", shifts[-1]["start"])
    shift = next((s for s in shifts if s["start"] == wanted), None)
    if shift is None:
        raise Refused(f"start: no shift began at {wanted} in the last {BACK.days} days")
    options = [(s["start"], f"{s['name']} {words.moment(s['start'], zone, now)}") for s in shifts[-7:]][::-1]
    toolbar = html.Div(
        [
            parts.choice("Shift", options, shift["start"], lambda value: parts.link(PATH, {}, start=value)),
            html.Button("Print", className="button", **{"data-print": "1"}),
        ],
        className="toolbar",
    )
    return html.Div([toolbar, *_report(backend, shift, query)], className="page")


def _report(backend: Backend, shift: ShiftView, query: Query) -> list[Component]:
    plant, now = backend.plant, backend.now()
    start, end = parts.utc(shift["start"]), parts.utc(shift["end"])
    window = Window(start, min(now, end))
    ledger = backend.ledger(window)
    whole: dict[str, Any] = next(summarise(ledger, [], plant).iter_rows(named=True), {})
    bars = figures.losses(ledger, plant)
    uncoded = next((loss for loss in bars if loss.uncoded), None)
    target = plant.settings.target_oee
    zone = plant.site.zone
    state = f"running, {words.length((end - now).total_seconds())} left" if end > now else "closed"
    head = html.Div(
        [
            html.H2(
                f"{shift['name']}, {start.astimezone(zone):%A %d %B %Y}, "
                f"{start.astimezone(zone):%H:%M} – {end.astimezone(zone):%H:%M}"
            ),
            html.Span(
                f"{plant.site.name} · {state} · OEE as {plant.settings.convention.value}", className="muted"
            ),
        ],
        className="panel-head",
    )
    oee = whole.get("oee")
    note = (
        ""
        if oee is None
        else f"{abs(oee - target) * 100:.1f} pt {'above' if oee >= target else 'below'} target"
    )
    rejects = f"{words.number(whole.get('reject'))} reject"
    cards = html.Div(
        [
            parts.figure("OEE", words.percent(oee), note, _judge(oee, target)),
            parts.figure("Availability", words.percent(whole.get("availability"))),
            parts.figure("Performance", words.percent(whole.get("performance"))),
            parts.figure("Quality", words.percent(whole.get("quality")), rejects),
            parts.figure(
                "Unplanned",
                words.length(whole.get("unplanned_downtime", 0) / 1e6),
                f"{uncoded.count} without a reason" if uncoded else "every stop has a reason",
            ),
            parts.figure("Known time", words.percent(whole.get("coverage"), 0), "the rest has no data"),
        ],
        className="figures-row",
    )
    worst = max((loss.seconds for loss in bars), default=1.0)
    losses = [
        (
            loss.name,
            parts.bar(loss.seconds / worst, "bad"),
            words.length(loss.seconds),
            words.number(loss.count),
        )
        for loss in bars[:8]
    ]
    return [
        head,
        cards,
        parts.panel("By line", _lines(backend, ledger)),
        *([changes] if (changes := restated.restated(backend, shift)) is not None else []),
        html.Div(
            [
                parts.panel("Orders", _orders(backend, window)),
                parts.panel(
                    "Top losses",
                    parts.table(("Loss", "", "Time", "Stops"), losses, "No stops.", numeric=(2, 3)),
                ),
            ],
            className="columns",
        ),
        restated.counts_form(backend, PATH, {**query, "start": shift["start"]}, ledger),
    ]


def _lines(backend: Backend, ledger: pl.DataFrame) -> Component:
    """Output is what left the end of the line; at target is what it would have been at the target OEE."""
    plant = backend.plant
    target = plant.settings.target_oee
    machines = {r["equipment"]: r for r in summarise(ledger, ["equipment"], plant).iter_rows(named=True)}
    rows = []
    for line in summarise(ledger, ["line"], plant).iter_rows(named=True):
        ends = [machines[m] for m in counting_machines(plant, line["line"]) if m in machines]
        good = sum(m["good"] for m in ends)
        scaled = [m["good"] * target / m["oee"] for m in ends if m["oee"]]
        wanted = sum(scaled) if scaled else None
        diff = (
            ""
            if wanted is None
            else f"{words.number(abs(good - wanted))} {'ahead' if good >= wanted else 'behind'}"
        )
        rows.append(
            (
                plant.equipment[line["line"]].name,
                words.percent(line["oee"]),
                words.number(good),
                words.number(wanted),
                html.Span(diff, className="late" if diff.endswith("behind") else ""),
                words.number(sum(m["reject"] for m in ends)),
                words.length(line["unplanned_downtime"] / 1e6),
            )
        )
    heads = ("Line", "OEE", "Good", f"At {target:.0%} OEE", "Against it", "Reject", "Unplanned")
    return parts.table(heads, rows, "Nothing was scheduled.", numeric=(1, 2, 3, 4, 5, 6))


def _orders(backend: Backend, window: Window) -> Component:
    def touched(order: OrderView) -> bool:
        started = order["start"] is not None and datetime.fromisoformat(order["start"]) < window.end
        over = order["end"] is not None and datetime.fromisoformat(order["end"]) <= window.start
        return started and not over

    rows = [
        (
            order["id"],
            order["material_name"],
            html.Span(order["state"], className="state", **{"data-state": order["state"]}),
            f"{words.number(order['good'])} / {words.number(order['quantity'])}",
            html.Span(words.slack(order["slack"]), className="late" if (order["slack"] or 0) < -60 else ""),
        )
        for order in backend.orders()
        if touched(order)
    ]
    return parts.table(("Order", "Product", "State", "Good", "Forecast"), rows, "No order ran.", numeric=(3,))


def _judge(value: float | None, target: float) -> str:
    if value is None:
        return "none"
    return "ahead" if value >= target else "behind"


PAGE = Page(path=PATH, title="Shift", icon="shift", order=30, layout=layout, register=restated.register)
