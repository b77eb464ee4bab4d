"""Whether a process is in control: control charts with limits that hold, and whether it can meet its specification."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import polars as pl
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import params, parts, spc, spccharts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from plant.frames import Window

PATH = "/spc"
PERIODS = {"hour": "1 hour", "shift": "This shift", "last": "Last shift", "day": "24 hours", "week": "7 days"}
AGAIN = 5000
"""Milliseconds between two looks for new points."""
ROWS = 25
"""Violations listed: the newest ones."""
KINDS = {"p": "p: share", "np": "np: count", "u": "u: per part", "c": "c: count"}


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The page for a machine, one of its signals or its rejects, and a window."""
    asked = _asked(backend, query)
    return html.Div(
        [
            _toolbar(backend, query, asked),
            html.Div(_drawn(backend, query, theme), id="spc-live", className="stacked"),
            _decide(),
            dcc.Interval(id="spc-again", interval=AGAIN),
        ],
        className="page",
    )


def _asked(backend: Backend, query: Mapping[str, str]) -> spc.Asked:
    return spc.chosen(
        backend.plant,
        query.get("machine"),
        query.get("signal"),
        query.get("per", "hour"),
        query.get("chart", "p"),
    )


def _window(backend: Backend, query: Mapping[str, str]) -> Window:
    if "from" in query:
        return params.window(backend, query["from"], query.get("to"))
    name = query.get("window", "shift")
    if name == "hour":
        return Window(backend.now() - timedelta(hours=1), backend.now())
    if name not in PERIODS:
        raise Refused(f"window: {name!r} is not one of {', '.join(PERIODS)}")
    return parts.period(backend, name)


def _toolbar(backend: Backend, query: Query, asked: spc.Asked) -> Component:
    plant = backend.plant
    line = plant.line_of(asked.machine)
    lines = list(dict.fromkeys(plant.line_of(m.id) for m in plant.machines()))
    first = {i: next(m.id for m in spc.machines(plant) if plant.line_of(m.id) == i) for i in lines}

    def to_machine(value: str) -> str:
        return parts.link(PATH, query, machine=value, signal=None)

    rows = []
    if len(lines) > 1:
        named = [(first[i], plant.equipment[i].name) for i in lines]
        rows.append(parts.choice("Line", named, first[line], to_machine))
    inside = [(m.id, m.name) for m in plant.machines() if plant.line_of(m.id) == line]
    if len(inside) > 1:
        rows.append(parts.choice("Machine", inside, asked.machine, to_machine))
    offered = [(s.id, s.id) for s in spc.signals(plant, asked.machine)] + [(spc.REJECTS, "Rejects")]
    rows.append(
        parts.choice(
            "Signal",
            offered,
            asked.signal,
            lambda v: parts.link(PATH, query, machine=asked.machine, signal=v),
        )
    )
    if asked.signal == spc.REJECTS:
        rows.append(parts.choice("Lot", spc.PER.items(), asked.per, lambda v: parts.link(PATH, query, per=v)))
        rows.append(
            parts.choice("Chart", KINDS.items(), asked.chart, lambda v: parts.link(PATH, query, chart=v))
        )
    name = "" if "from" in query else query.get("window", "shift")

    def to_window(value: str) -> str:
        return parts.link(PATH, query, window=value, **{"from": None, "to": None})

    return html.Div(
        [html.Div(rows, className="choices"), parts.choice("Window", PERIODS.items(), name, to_window)],
        className="toolbar",
    )


def _drawn(backend: Backend, query: Mapping[str, str], theme: str) -> list[Component]:
    """All that changes while somebody looks."""
    asked, window = _asked(backend, query), _window(backend, query)
    shown = spc.find(backend, asked, window)
    plant, found = backend.plant, shown.study
    title = f"{plant.equipment[asked.machine].name}, {asked.signal if shown.signal else 'rejects'}: {found.chart.name}"
    if found.points.is_empty():
        return [parts.panel(title, html.P(_nothing(shown), className="empty"))]
    unit = shown.signal.unit if shown.signal else ""
    chart = parts.panel(
        title,
        _verdict(shown),
        parts.graph("spc-chart", spccharts.control(found, unit, plant.site.zone, theme), tips=False),
        *_about_limits(backend, shown),
        name="wide",
    )
    if shown.signal is None:
        return [chart, _violations(backend, shown), _left_out(backend, shown)]
    return [
        html.Div([chart, _capability(shown, theme)], className="columns"),
        _violations(backend, shown),
        _left_out(backend, shown),
    ]


def _nothing(shown: spc.Shown) -> str:
    if shown.signal is None:
        return f"No {shown.asked.per} with a part made is over in this window. Choose a longer window, or other lots."
    needed = " while the machine was running" if shown.signal.spc.running else ""
    size = shown.signal.spc.size
    whole = f" A subgroup takes {size} values." if size and size > 1 else ""
    return f"No usable value came{needed} in this window.{whole} Choose a longer window, or look at Sources."


def _verdict(shown: spc.Shown) -> Component:
    found = shown.study
    points = found.points.filter(~pl.col("excluded"), pl.col("phase").is_not_null())
    if points.is_empty():
        return html.P(f"No limits yet: {found.problem}.", className="lead")
    out = found.violations["time"].n_unique()
    if not out:
        text = f"In control: none of {words.number(points.height)} points breaks a rule."
        return html.P([html.B(text)], className="lead")
    last = found.violations.row(-1, named=True)
    newest = points["time"][-1] == last["time"]
    return html.P(
        [
            html.B(
                f"{words.number(out)} of {words.number(points.height)} points break a rule.", className="late"
            ),
            f" The newest point does: {last['text'].lower()}." if newest else " The newest point does not.",
        ],
        className="lead",
    )


def _about_limits(backend: Backend, shown: spc.Shown) -> list[Component]:
    plant, now, found = backend.plant, backend.now(), shown.study
    said = []
    used = found.points["limits"].drop_nulls()
    if used.is_empty():
        said.append(
            "Phase 1: the limits are estimated from the points shown, so they move with the window. Freeze them once the"
            " points show only common causes."
        )
    else:
        limits = shown.limits[int(used[-1])]
        user = plant.users[limits.user].name if limits.user in plant.users else limits.user
        since = words.moment(limits.valid_from, plant.site.zone, now)
        said.append(
            f"Phase 2: limits frozen by {user}, valid from {since}: {limits.why or 'no reason given'}."
        )
    if found.estimate is not None:
        how = found.estimate
        said.append(
            f"{words.number(how.points)} points, n = {words.number(how.values)}"
            + (" parts" if found.chart.attribute else f" values, sigma {words.value(how.sigma)} ({how.how})")
            + (f", overall {words.value(how.overall)}." if how.overall else f", {how.how}.")
        )
    if found.points.height > spccharts.MOST:
        said.append(f"Drawn are the newest {spccharts.MOST} of {words.number(found.points.height)} points.")
    said.append(
        f"{found.chart.source}. CL: centre line; UCL, LCL: control limits; dotted: one and two sigma."
    )
    return [html.P(text, className="muted") for text in said]


def _capability(shown: spc.Shown, theme: str) -> Component:
    found, signal = shown.study, shown.signal
    assert signal is not None
    if found.estimate is None or not shown.histogram:
        return parts.panel(
            "Capability", html.P(f"No value: {found.problem or 'no points'}.", className="empty")
        )
    marks = [
        (name, at)
        for name, at in (("lower", signal.lower), ("target", signal.target), ("upper", signal.upper))
        if at is not None
    ]
    how = found.estimate
    chart = spccharts.histogram(shown.histogram, marks, how.center, how.overall, signal.unit, theme)
    figures = []
    for index in shown.indices:
        note = index.reason
        if index.low is not None and index.high is not None:
            note = f"{index.low:.2f} to {index.high:.2f} (95 %)"
        text = words.NONE if index.value is None else f"{index.value:.2f}"
        judge = (
            "none"
            if index.value is None
            else "ahead"
            if index.value >= 1.33
            else "behind"
            if index.value < 1
            else "near"
        )
        figures.append(parts.figure(index.name, text, note, judge))
    held = f"Cp, Cpk: sigma within subgroups {words.value(how.sigma)} ({how.how}). "
    held += f"Pp, Ppk: overall sigma {words.value(how.overall)}. "
    held += f"n = {words.number(how.values)}, mean {words.value(how.center)}."
    unstable = (
        "" if found.violations.is_empty() else " The process is not in control: Cp and Cpk say little yet."
    )
    return parts.panel(
        "Capability",
        parts.graph("spc-histogram", chart, tips=False),
        html.Div(figures, className="figures-row"),
        html.P(held + unstable, className="muted"),
    )


def _violations(backend: Backend, shown: spc.Shown) -> Component:
    plant, now = backend.plant, backend.now()
    rows = []
    newest = shown.study.violations.reverse()
    for row in newest.head(ROWS).iter_rows(named=True):
        out = html.Button(
            "Leave out",
            id={"type": "spc-out", "time": words.utc(row["time"]), "rule": f"{row['plot']}-{row['rule']}"},
            className="button small",
        )
        rows.append(
            (
                words.moment(row["time"], plant.site.zone, now),
                "Location" if row["plot"] == "location" else "Spread",
                f"{row['number']}: {row['name']}",
                f"{row['text']}.",
                words.value(row["value"]),
                f"Phase {row['phase']}",
                out,
            )
        )
    heads = ("When", "Plot", "Rule", "What it says", "Value", "Limits", "")
    note = html.P(f"The newest {ROWS} of {words.number(newest.height)}.", className="muted")
    table = parts.table(heads, rows, "No point breaks a rule in this window.", numeric=(4,))
    return parts.panel("Points that break a rule", table, *([note] if newest.height > ROWS else []))


def _left_out(backend: Backend, shown: spc.Shown) -> Component:
    if not shown.exclusions:
        return html.Div(hidden=True)
    plant, now = backend.plant, backend.now()
    rows = [
        (
            words.moment(entry.time, plant.site.zone, now),
            plant.users[entry.user].name if entry.user in plant.users else entry.user,
            words.moment(entry.at, plant.site.zone, now),
            entry.why,
            html.Button(
                "Take in again",
                id={"type": "spc-in", "time": words.utc(entry.time)},
                className="button small",
            ),
        )
        for entry in shown.exclusions
    ]
    return parts.panel("Points left out", parts.table(("Point", "By", "When", "Why", ""), rows, ""))


def _decide() -> Component:
    """Outside of what is drawn again, so that nobody loses what they type."""
    typed = dcc.Input(
        id="spc-why", type="text", placeholder="Cause found, or what the limits are of", size="44"
    )
    fields = [
        html.Label(["Why ", typed], htmlFor="spc-why"),
        html.Button("Freeze limits", id="spc-freeze", className="button"),
    ]
    note = (
        "Freezing estimates the limits from the points shown and judges every later point by them; a point that"
        " breaks a rule then raises an alert. Limits frozen before stay, for the points of their time. Leave a point"
        " out only when its cause was found: it stays on the chart, and can be taken in again."
    )
    return parts.panel("Decide", html.Div(fields, className="fields"), html.P(note, className="muted"))


def register(backend: Backend, cb: Callbacks) -> None:
    """New points, freezing limits, leaving points out."""

    @cb(
        Output("spc-live", "children"),
        Input("spc-again", "n_intervals"),
        State("url", "search"),
        State("theme-name", "data"),
        prevent_initial_call=True,
    )
    def again(turn: int | None, search: str | None, theme: str | None) -> Any:
        if not turn:
            return no_update
        try:
            return _drawn(backend, _query(search), theme or "light")
        except Refused:
            return no_update

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input("spc-freeze", "n_clicks"),
        Input({"type": "spc-out", "time": ALL, "rule": ALL}, "n_clicks"),
        Input({"type": "spc-in", "time": ALL}, "n_clicks"),
        State("spc-why", "value"),
        State("user", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def decide(
        freeze: int | None,
        out: list[int | None],
        taken: list[int | None],
        why: str | None,
        user: str | None,
        search: str | None,
    ) -> tuple[Any, Any]:
        if not ctx.triggered or not ctx.triggered[0]["value"]:
            return no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True)
        query, what = _query(search), ctx.triggered_id
        if not isinstance(what, dict):
            return attempt(lambda: _freeze(backend, query, user, why or ""), "Limits frozen")
        excluded = what["type"] == "spc-out"
        done = "Left out" if excluded else "Taken in again"
        return attempt(lambda: _exclude(backend, query, what["time"], excluded, user, why or ""), done)


def _freeze(backend: Backend, query: Mapping[str, str], user: str, why: str) -> None:
    asked, window = _asked(backend, query), _window(backend, query)
    frozen = spc.freezing(spc.find(backend, asked, window), window, backend.now(), user, why.strip())
    backend.freeze_limits(asked.machine, asked.signal, frozen)


def _exclude(
    backend: Backend, query: Mapping[str, str], time: str, excluded: bool, user: str, why: str
) -> None:
    asked = _asked(backend, query)
    shown = spc.find(backend, asked, _window(backend, query))
    entry = spc.excluding(shown, params.instant("time", time), excluded, backend.now(), user, why)
    backend.exclude_point(asked.machine, asked.signal, entry)


def _query(search: str | None) -> dict[str, str]:
    return dict(parse_qsl((search or "").lstrip("?"), max_num_fields=50))


PAGE = Page(path=PATH, title="SPC", icon="spc", order=16, layout=layout, register=register)
