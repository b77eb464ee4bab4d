"""The shift report: readable in 90 seconds, on one sheet of paper."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from analytics.figures.summary import summarise
from dashboards import again, figures, params, parts, restated, words
from dashboards.callbacks import Callbacks
from dashboards.kpitables import CONVENTIONS
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from dashboards.view import OrderView, ShiftView
from execution.progress import counting_machines
from plant.frames import Window
from plant.states import TimeCategory

PATH = "/shift"
NEAR = timedelta(days=31)
"""How far the next and the previous shift are looked for."""
TICK = timedelta(microseconds=1)
AGAIN = 20
"""Seconds between two looks at a running shift."""
FIRST = "2000"
"""The first year that can be picked."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """One shift: `start` in the address names it, or `day` (of the plant) the first one that began on it; the running or
    last one when neither is given."""
    shift = _asked(backend, query)
    if shift is None:
        return html.Div(
            [_toolbar(backend, _day(backend, query), None), _no_shift(backend, query)], className="page"
        )
    start = parts.utc(shift["start"])
    toolbar = _toolbar(backend, start.astimezone(backend.plant.site.zone).date(), shift)
    ledger = backend.ledger(_so_far(backend, shift))
    report = _report(backend, shift, ledger)
    return html.Div(
        [
            toolbar,
            html.Div(report, id="shift-live", className="stacked"),
            restated.counts_form(backend, PATH, {**query, "start": shift["start"]}, ledger)
            if _known(ledger)
            else None,
            again.clock("shift", AGAIN, [report], going=parts.utc(shift["end"]) > backend.now()),
        ],
        className="page",
    )


def _drawn(backend: Backend, query: Query, theme: str) -> list[list[Component]]:
    """All that changes while somebody looks at a running shift."""
    shift = _asked(backend, query)
    if shift is None:
        return [[_no_shift(backend, query)]]
    return [_report(backend, shift, backend.ledger(_so_far(backend, shift)))]


def _so_far(backend: Backend, shift: ShiftView) -> Window:
    return Window(parts.utc(shift["start"]), min(backend.now(), parts.utc(shift["end"])))


def _known(ledger: pl.DataFrame) -> bool:
    return bool((ledger["category"] != TimeCategory.UNKNOWN.value).any())


def _asked(backend: Backend, query: Query) -> ShiftView | None:
    now = backend.now()
    if query.get("start"):
        start = params.instant("start", query["start"])
        found = [s for s in backend.shifts(Window(start, start + TICK)) if parts.utc(s["start"]) == start]
        # A shift that was closed stays one, whatever the calendar says now.
        found += [restated.shift_of(backend.plant, p) for p in backend.published(Window(start, start + TICK))]
        if not found:
            raise Refused(f"start: no shift began at {query['start']}; choose one below the date")
        return found[0]
    if query.get("day"):
        return next(iter(_of_day(backend, _day(backend, query))), None)
    begun = [s for s in backend.shifts(Window(now - NEAR, now)) if parts.utc(s["start"]) <= now]
    return begun[-1] if begun else None


def _day(backend: Backend, query: Query) -> date:
    if not query.get("day"):
        return backend.now().astimezone(backend.plant.site.zone).date()
    try:
        return date.fromisoformat(query["day"])
    except ValueError:
        raise Refused(f"day: {query['day']!r} is no date; write it like 2026-03-04") from None


def _of_day(backend: Backend, day: date) -> list[ShiftView]:
    """The shifts that began on a day of the plant, as far as they have."""
    zone, now = backend.plant.site.zone, backend.now()
    midnight, next_one = (
        datetime.combine(of, time(), zone).astimezone(UTC) for of in (day, day + timedelta(days=1))
    )
    found = backend.shifts(Window(midnight, next_one))
    return [s for s in found if midnight <= parts.utc(s["start"]) < next_one and parts.utc(s["start"]) <= now]


def _toolbar(backend: Backend, day: date, shift: ShiftView | None) -> Component:
    zone, now = backend.plant.site.zone, backend.now()
    if shift:
        start, end = parts.utc(shift["start"]), parts.utc(shift["end"])
    else:
        start = end = datetime.combine(day, time(), zone).astimezone(UTC)
    before = [s for s in backend.shifts(Window(start - NEAR, start)) if parts.utc(s["start"]) < start]
    after = [s for s in backend.shifts(Window(end, end + NEAR)) if end <= parts.utc(s["start"]) <= now]

    def step(text: str, found: ShiftView | None) -> Component:
        if found is None:
            return html.Span(text, className="chip off", **{"aria-disabled": "true"})
        named = f"{text}: {words.shift_name(found)} {words.moment(found['start'], zone, now)}"
        return dcc.Link(text, href=parts.link(PATH, {}, start=found["start"]), className="chip", title=named)

    # A date field of the browser's own: Dash's picker breaks accessibility rules (aria-expanded on a div).
    picker = dcc.Input(
        id="shift-day",
        type="date",  # Dash hands any type on to the browser
        value=day.isoformat(),
        debounce=0.6,
    )
    options = [
        (s["start"], f"{words.shift_name(s)} {parts.utc(s['start']).astimezone(zone):%H:%M}")
        for s in _of_day(backend, day)
    ]
    return html.Div(
        [
            html.Div(
                [
                    step("Previous shift", before[-1] if before else None),
                    html.Label([html.Span("Day", className="unseen"), picker], htmlFor="shift-day"),
                    parts.choice(
                        "Shift",
                        options,
                        shift["start"] if shift else "",
                        lambda value: parts.link(PATH, {}, start=value),
                    ),
                    step("Next shift", after[0] if after else None),
                    dcc.Link("Now", href=PATH, className="chip") if after else None,
                ],
                className="chips shift-choice",
            ),
            html.Button("Print", className="button", **{"data-print": "1"}),
        ],
        className="toolbar",
    )


def _no_shift(backend: Backend, query: Query) -> Component:
    day, today = _day(backend, query), _day(backend, {})
    text = (
        "This day has not come yet." if day > today else "By the plant's calendar no shift began on this day."
    )
    return parts.panel(
        f"No shift on {day:%A %d %B %Y}",
        html.P(f"{text} Choose another day, or go to the shift before or after it."),
    )


def _report(backend: Backend, shift: ShiftView, ledger: pl.DataFrame) -> list[Component]:
    plant, window = backend.plant, _so_far(backend, shift)
    if not _known(ledger):
        return [_head(backend, shift, 0), _nothing(backend, window.start, window.end)]
    whole: dict[str, Any] = next(summarise(ledger, [], plant).iter_rows(named=True), {})
    bars = figures.losses(ledger, plant)
    uncoded = next((loss for loss in bars if loss.uncoded), None)
    target = plant.settings.target_oee
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
            parts.figure(
                "Known time", words.percent(whole.get("coverage"), 0), _missing(whole.get("coverage"))
            ),
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
    published = restated.published(backend, shift)
    return [
        _head(backend, shift, sum(len(p["restatements"]) for p in published)),
        cards,
        parts.panel("By line", _lines(backend, ledger)),
        *([restated.restated(backend, shift, published)] if published else []),
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
    ]


def _head(backend: Backend, shift: ShiftView, restatements: int) -> Component:
    plant, now, zone = backend.plant, backend.now(), backend.plant.site.zone
    start, end = parts.utc(shift["start"]), parts.utc(shift["end"])
    state = f"running, {words.length((end - now).total_seconds())} left" if end > now else "over"
    changed = f"as corrected, {restatements} {'restatement' if restatements == 1 else 'restatements'} below"
    pieces = [
        plant.site.name,
        state,
        *([changed] if restatements else []),
        f"OEE as {CONVENTIONS[plant.settings.convention]}",
    ]
    return html.Div(
        [
            html.H2(
                f"{words.shift_name(shift)}, {start.astimezone(zone):%A %d %B %Y}, "
                f"{start.astimezone(zone):%H:%M} – {end.astimezone(zone):%H:%M}"
            ),
            html.Span(" · ".join(pieces), className="muted"),
        ],
        className="panel-head",
    )


def _nothing(backend: Backend, start: datetime, end: datetime) -> Component:
    zone = backend.plant.site.zone
    return parts.panel(
        "Nothing was recorded in this shift",
        html.P(
            f"No machine's state is known from {start.astimezone(zone):%H:%M} to {end.astimezone(zone):%H:%M}. Lineside "
            "did not collect then, or it keeps no samples of that day any more. Choose another shift.",
        ),
    )


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
                html.Span(diff, className="late" if diff.endswith("behind") else "") if diff else None,
                words.number(sum(m["reject"] for m in ends)),
                words.length(line["unplanned_downtime"] / 1e6),
            )
        )
    heads = ("Line", "OEE", "Good", f"At {words.percent(target, 0)} OEE", "Against it", "Reject", "Unplanned")
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


def _missing(coverage: float | None) -> str:
    return "nothing is missing" if coverage is None or coverage > 0.995 else "of the rest there is no data"


def _judge(value: float | None, target: float) -> str:
    if value is None:
        return "none"
    return "ahead" if value >= target else "behind"


def register(backend: Backend, cb: Callbacks) -> None:
    """The form below, a day that is picked, and what goes on."""

    restated.register(backend, cb)
    again.register(backend, cb, "shift", ("shift-live",), _drawn)

    @cb(
        Output("url", "search", allow_duplicate=True),
        Input("shift-day", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def pick(day: str | None, search: str | None) -> Any:
        query = params.query(search)
        if not day or day < FIRST:  # a year half typed
            return no_update
        zone = backend.plant.site.zone
        shown = _asked(backend, query)
        present = parts.utc(shown["start"]).astimezone(zone).date() if shown else _day(backend, query)
        return no_update if present.isoformat() == day else parts.link("", {}, day=day)


PAGE = Page(path=PATH, title="Shift", icon="shift", order=30, layout=layout, register=register)
