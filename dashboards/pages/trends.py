"""How measured values moved: one machine's numbers over a window, thinned out to what a screen can show."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import again, charts, params, parts, trends, words
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from plant.frames import BAD, UNCERTAIN, Window
from plant.model import Equipment, Plant, Signal

PATH = "/trends"
PERIODS = {"shift": "This shift", "day": "24 hours", "week": "7 days", "month": "30 days"}
MOST = 6
"""Signals drawn at once."""
AGAIN = 15
"""Seconds between two looks for new values."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The page for a machine, some of its signals, and a named window or `from` and `to`."""
    plant = backend.plant
    machine = _machine(plant, query.get("machine", ""))
    if machine is None:
        return _nothing_to_draw()
    window = _window(backend, query)
    offered = trends.signals(plant, machine.id)
    if not offered:
        where = ", ".join(m.name for m in trends.machines(plant)[:5])
        text = f"{machine.name} has no measured values. These have: {where}."
        return html.Div(
            [
                _toolbar(backend, query, machine, (), (), window),
                html.Section(html.P(text, className="empty"), className="panel"),
            ],
            className="page",
        )
    drawn = _drawn(backend, query, theme)
    return html.Div(
        [
            _toolbar(backend, query, machine, offered, _chosen(query, offered), window),
            html.Div(drawn, id="trend-live", className="stacked"),
            again.clock("trend", AGAIN, [drawn], going="from" not in query or window.end >= backend.now()),
        ],
        className="page",
    )


def _chosen(query: Query, offered: Sequence[Signal]) -> list[Signal]:
    named = params.choices("signals", [query.get("signals", "")], [s.id for s in offered])
    return [s for s in offered if s.id in named][:MOST] or list(offered[:MOST])


def _drawn(backend: Backend, query: Query, theme: str) -> list[Component]:
    """All that changes while somebody looks: the chart, and the table."""
    plant, window = backend.plant, _window(backend, query)
    machine = _machine(plant, query.get("machine", ""))
    assert machine is not None
    shown = _chosen(query, trends.signals(plant, machine.id))
    every = trends.bucket(window)
    thinned = backend.trend(window, every, [machine.id], [s.id for s in shown])
    last = backend.last(window.end, [machine.id])
    losses = dcc.Link(
        "Stops of this machine", href=parts.link("/losses", {}, machine=machine.id), className="button small"
    )
    return [
        parts.panel(
            f"{machine.name}: {_span(window, plant.site.zone)}",
            _chart(backend, shown, thinned, last, every, window, theme),
            extra=losses,
        ),
        parts.panel("In numbers", _table(backend, shown, thinned, last)),
    ]


def _machine(plant: Plant, name: str) -> Equipment | None:
    """What is asked for: a machine, or the first with measured values of a line or the plant."""
    found = trends.machines(plant)
    inside = params.machines(plant, [name] if name else []) or [m.id for m in plant.machines()]
    if not found:
        return None
    with_values = [m for m in found if m.id in inside]
    return with_values[0] if with_values else plant.equipment[inside[0]]


def _nothing_to_draw() -> Component:
    text = (
        "No signal of this plant has a number worth a trend. Counters and states have their own pages; a"
        " temperature, a pressure or a speed is a signal with a role like this in the plant file:"
    )
    example = (
        '[[signal]]\nequipment = "filler"\nid = "temperature"\nrole = "process_value"\nunit = "°C"\n'
        'source = "line-plc"\naddress = "ns=2;s=Filler.Temperature"'
    )
    return html.Div(
        parts.panel("No measured values", html.P(text), html.Pre(example, tabIndex="0")), className="page"
    )


def _window(backend: Backend, query: Query) -> Window:
    if "from" in query:
        return params.window(backend, query["from"], query.get("to"))
    name = query.get("window", "shift")
    if name == "month":
        return Window(backend.now() - timedelta(days=30), backend.now())
    if name not in PERIODS:
        raise Refused(f"window: {name!r} is not one of {', '.join(PERIODS)}")
    return parts.period(backend, name)


def _span(window: Window, zone: ZoneInfo) -> str:
    start, end = window.start.astimezone(zone), window.end.astimezone(zone)
    to = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%d %b %H:%M}"
    return f"{start:%d %b %H:%M} – {to}"


def _toolbar(
    backend: Backend,
    query: Query,
    machine: Equipment,
    offered: Sequence[Signal],
    shown: Sequence[Signal],
    window: Window,
) -> Component:
    plant = backend.plant
    found = trends.machines(plant)
    lines = list(dict.fromkeys(plant.line_of(m.id) for m in found))
    line = plant.line_of(machine.id)

    def to_machine(value: str) -> str:
        return parts.link(PATH, query, machine=value, signals=None)

    inside = [(m.id, m.name) for m in found if plant.line_of(m.id) == line]
    rows = []
    if len(lines) > 1:
        rows.append(parts.choice("Line", [(i, plant.equipment[i].name) for i in lines], line, to_machine))
    if len(inside) > 1:
        rows.append(parts.choice("Machine", inside, machine.id, to_machine))
    if len(offered) > 1:
        rows.append(_signals(query, offered, shown))
    return html.Div(
        [html.Div(rows, className="choices"), _times(backend, query, window)], className="toolbar"
    )


def _signals(query: Query, offered: Sequence[Signal], shown: Sequence[Signal]) -> Component:
    """A link per signal, which shows or hides it."""
    ids = [s.id for s in shown]
    links = []
    for signal in offered:
        on = signal.id in ids
        after = [i for i in ids if i != signal.id] if on else [*ids, signal.id][-MOST:]
        links.append(
            dcc.Link(
                f"✓ {signal.id}" if on else signal.id,
                href=parts.link(PATH, query, signals=",".join(after) or None),
                className="chip chosen" if on else "chip",
                title="Shown: hide it" if on else "Hidden: show it",
            )
        )
    return html.Nav(links, className="chips", **{"aria-label": "Signals"})


def _times(backend: Backend, query: Query, window: Window) -> Component:
    zone, now = backend.plant.site.zone, backend.now()
    chosen = "" if "from" in query else query.get("window", "shift")
    length = window.end - window.start

    def named(name: str) -> str:
        return parts.link(PATH, query, window=name, **{"from": None, "to": None})

    def moved(by: timedelta) -> str:
        return _to(query, Window(window.start + by, window.end + by))

    steps = [dcc.Link("‹ Earlier", href=moved(-length), className="chip")]
    if "from" in query and window.end < now:
        steps.append(dcc.Link("Later ›", href=moved(length), className="chip"))
    typed = html.Details(
        [
            html.Summary("Other times", className="chip"),
            html.Div(
                [
                    _field("trend-from", "From", window.start, zone),
                    _field("trend-to", "To", window.end, zone),
                    html.Button("Show", id="trend-show", className="button"),
                    html.P(id="trend-said", className="late", role="alert"),
                ],
                className="fields",
            ),
        ],
        open="from" in query,
    )
    return html.Div(
        [
            parts.choice("Window", PERIODS.items(), chosen, named),
            html.Div(
                [html.Nav(steps, className="chips", **{"aria-label": "Earlier or later"}), typed],
                className="chips",
            ),
        ],
        className="choices",
    )


def _field(name: str, label: str, at: datetime, zone: ZoneInfo) -> Component:
    typed = dcc.Input(
        id=name, type="text", value=f"{at.astimezone(zone):{params.TYPED}}", autoComplete="off", size="16"
    )
    return html.Label([f"{label} ", typed], htmlFor=name)


def _to(query: Query, window: Window) -> str:
    times = {"from": words.utc(window.start), "to": words.utc(window.end)}
    return parts.link(PATH, query, window=None, **times)


def _chart(
    backend: Backend,
    shown: Sequence[Signal],
    thinned: pl.DataFrame,
    last: pl.DataFrame,
    every: timedelta,
    window: Window,
    theme: str,
) -> Component:
    plant = backend.plant
    if thinned.is_empty():
        known = last.filter(pl.col("signal").is_in([s.id for s in shown]))["time"].max()
        if not isinstance(known, datetime):
            return html.P("Nothing had come by then: is its source connected?", className="empty")
        when = words.moment(known, plant.site.zone, backend.now())
        return html.P(f"No numbers in this window. The last sample came {when}.", className="empty")
    drawn = [
        charts.Trend(s.id, s.unit, trends.pieces(rows, every))
        for s in shown
        if not (rows := thinned.filter(pl.col("signal") == s.id)).is_empty()
    ]
    chart = charts.trends(drawn, backend.shifts(window), window, plant.site.zone, theme)
    step = words.length(every.total_seconds())
    note = f"Mean of every {step}, inside its smallest and largest value. Drag across to zoom; Back returns."
    return html.Div([parts.graph("trend", chart, tips=False), html.P(note, className="muted")])


def _table(backend: Backend, shown: Sequence[Signal], thinned: pl.DataFrame, last: pl.DataFrame) -> Component:
    now = backend.now()
    sums = thinned.group_by("signal").agg(
        pl.col("min").min(),
        pl.col("max").max(),
        mean=(pl.col("mean") * pl.col("count")).sum() / pl.col("count").sum(),
        count=pl.col("count").sum(),
    )
    by_signal = {row["signal"]: row for row in sums.iter_rows(named=True)}
    newest = {row["signal"]: row for row in last.iter_rows(named=True)}
    rows = []
    for signal in shown:
        found, sample = by_signal.get(signal.id, {}), newest.get(signal.id)
        rows.append(
            (
                signal.id,
                signal.unit or words.NONE,
                _newest(sample),
                f"{words.length((now - sample['time']).total_seconds())} ago" if sample else words.NONE,
                *(words.value(found.get(name)) for name in ("min", "mean", "max")),
                words.number(found.get("count", 0)),
            )
        )
    heads = ("Signal", "Unit", "Last", "Age", "Min", "Mean", "Max", "Samples")
    return parts.table(heads, rows, "No signals.", numeric=(2, 3, 4, 5, 6, 7))


def _newest(sample: Mapping[str, Any] | None) -> str:
    """The last value, with what is to be said about it."""
    if sample is None:
        return words.NONE
    said = words.value(sample["value"]) if sample["text"] is None else str(sample["text"])
    return said + {BAD: " (bad)", UNCERTAIN: " (uncertain)"}.get(sample["quality"], "")


def zoomed(relayout: Mapping[str, Any] | None, zone: ZoneInfo) -> Window | None:
    """The window a drag across the chart chose; None for anything else that happened to it."""
    edges = [(relayout or {}).get(f"xaxis.range[{side}]") for side in (0, 1)]
    if not all(isinstance(edge, str) for edge in edges):
        return None
    # Plotly writes 4 to 6 digits of a second.
    start, end = (
        datetime.fromisoformat(str(edge)[:19]).replace(tzinfo=zone).astimezone(UTC) for edge in edges
    )
    return Window(start, end) if end - start >= params.SHORTEST else None


def register(backend: Backend, cb: Callbacks) -> None:
    """New values; choosing a window by dragging and by typing, which both end in the address."""

    again.register(backend, cb, "trend", ("trend-live",), lambda *asked: [_drawn(*asked)])

    @cb(
        Output("url", "search", allow_duplicate=True),
        Input("trend", "relayoutData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def zoom(relayout: Mapping[str, Any] | None, search: str | None) -> Any:
        window = zoomed(relayout, backend.plant.site.zone)
        return no_update if window is None else _search(search, window)

    @cb(
        Output("url", "search", allow_duplicate=True),
        Output("trend-said", "children"),
        Input("trend-show", "n_clicks"),
        Input("trend-from", "n_submit"),
        Input("trend-to", "n_submit"),
        State("trend-from", "value"),
        State("trend-to", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def show(
        clicks: int | None, one: int | None, two: int | None, start: str, end: str, search: str | None
    ) -> tuple[Any, Any]:
        if not (clicks or one or two):
            return no_update, no_update
        try:
            return _search(search, params.typed_window(start or "", end or "", backend.plant.site.zone)), ""
        except Refused as refused:
            return no_update, str(refused)


def _search(search: str | None, window: Window) -> str:
    query = params.query(search)
    return _to(query, window).removeprefix(PATH)


PAGE = Page(path=PATH, title="Trends", icon="trends", order=15, layout=layout, register=register)
