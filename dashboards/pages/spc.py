"""Whether a process is in control: control charts with limits that hold, and whether it can meet its specification."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from analytics.spc.study import in_force
from dashboards import again, inspectionform, inspections, params, parts, spc, spccharts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from plant.frames import Window

PATH = "/spc"
PERIODS = {
    "hour": "1 hour",
    "shift": "This shift",
    "last": "Last shift",
    "day": "24 hours",
    "week": "7 days",
    "month": "30 days",
}
MONTH = timedelta(days=30)
AGAIN = 5
"""Seconds between two looks for new points."""
ROWS = 15
"""Violations listed: the newest ones."""
KINDS = {"p": "p: share", "np": "np: count", "u": "u: per part", "c": "c: count"}


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The page for a machine, one of its signals or its rejects, and a window."""
    asked = _asked(backend, query)
    signal = None if asked.counts else backend.plant.signals[asked.machine, asked.signal]
    above, below = _drawn(backend, query, theme)
    inspected = _inspected(backend, asked)
    return html.Div(
        [
            _toolbar(backend, query, asked),
            html.Div(above, id="spc-live", className="stacked"),
            inspectionform.form(backend, asked, signal) if inspected else None,
            _decide(),
            html.Div(below, id="spc-rows", className="stacked"),
            again.clock("spc", AGAIN),
        ],
        className="page",
    )


def _inspected(backend: Backend, asked: spc.Asked) -> bool:
    """People record what the chart is of."""
    return asked.test is not None or asked.signal in [
        signal.id for signal in inspections.by_hand(backend.plant, asked.machine)
    ]


def _usual_window(backend: Backend, asked: spc.Asked) -> str:
    """As long as it takes to have points."""
    if _inspected(backend, asked):
        return "month"
    if asked.signal == spc.REJECTS:
        return "day" if asked.per == "hour" else "week"
    return "shift"


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
    name = query.get("window") or _usual_window(backend, _asked(backend, query))
    now = backend.now()
    if name in ("hour", "month"):
        return Window(now - (MONTH if name == "month" else timedelta(hours=1)), now)
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
    names = inspections.specifications(backend, asked.machine)
    if asked.test and asked.test not in names:
        names.append(asked.test)
    offered += [(f"{spc.INSPECTION}{name}", name) for name in names] or [(spc.INSPECTION, "Inspections")]
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
    if asked.counts:
        rows.append(
            parts.choice("Chart", KINDS.items(), asked.chart, lambda v: parts.link(PATH, query, chart=v))
        )
    name = "" if "from" in query else query.get("window") or _usual_window(backend, asked)

    def to_window(value: str) -> str:
        return parts.link(PATH, query, window=value, **{"from": None, "to": None})

    return html.Div(
        [html.Div(rows, className="choices"), parts.choice("Window", PERIODS.items(), name, to_window)],
        className="toolbar",
    )


def _drawn(backend: Backend, query: Mapping[str, str], theme: str) -> tuple[list[Component], list[Component]]:
    """All that changes while somebody looks: the chart, and the tables."""
    asked, window = _asked(backend, query), _window(backend, query)
    shown = spc.find(backend, asked, window)
    plant, found = backend.plant, shown.study
    what = asked.signal if shown.signal else "rejects" if asked.test is None else asked.test or "inspections"
    title = f"{plant.equipment[asked.machine].name}, {what}: {found.chart.name}"
    listed = [inspectionform.recorded(backend, shown.inspections)] if _inspected(backend, asked) else []
    if found.points.is_empty():
        return [parts.panel(title, html.P(_nothing(shown), className="empty"))], listed
    unit = shown.signal.unit if shown.signal else ""
    chart = parts.panel(
        title,
        _verdict(shown),
        parts.graph("spc-chart", spccharts.control(found, unit, plant.site.zone, theme), tips=False),
        *_about_limits(backend, shown),
        name="wide",
    )
    tables = [_violations(backend, shown), _left_out(backend, shown), *listed]
    if shown.signal is None:
        return [chart], tables
    return [html.Div([chart, _capability(shown, theme)], className="columns")], tables


def _nothing(shown: spc.Shown) -> str:
    if shown.asked.test is not None or (shown.signal is not None and shown.signal.source is None):
        counted = {"p": "nonconforming units", "np": "nonconforming units"}.get(shown.asked.chart, "defects")
        of = f" with {counted} counted" if shown.asked.test is not None else ""
        return (
            f"No inspection{of} in this window. Record one below, or choose a longer window or another chart."
        )
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
    breaks = "breaks" if out == 1 else "break"
    if shown.too_few is not None:
        broken = f" {words.number(out)} of them {breaks} a rule." if out else ""
        text = (
            f"Too few points to judge: {shown.too_few} of {spc.ENOUGH} that limits should be estimated from."
        )
        return html.P([html.B(text), broken], className="lead")
    if not out:
        text = f"In control: none of {words.number(points.height)} points breaks a rule."
        return html.P([html.B(text)], className="lead")
    last = found.violations.filter(pl.col("time") == points["time"][-1])
    return html.P(
        [
            html.B(
                f"{words.number(out)} of {words.number(points.height)} points {breaks} a rule.",
                className="late",
            ),
            " The newest point does not."
            if last.is_empty()
            else f" The newest point does: {last['text'][0].lower()}.",
        ],
        className="lead",
    )


def _about_limits(backend: Backend, shown: spc.Shown) -> list[Component]:
    plant, now, found = backend.plant, backend.now(), shown.study
    said = []
    used = found.points["limits"].drop_nulls()
    held = in_force(shown.limits, found.points["time"][-1])
    back = max((f for f in shown.limits if not f.estimate), key=lambda f: f.valid_from, default=None)
    if back is not None and in_force(shown.limits, now) is None:
        since = words.moment(back.valid_from, plant.site.zone, now)
        said.append(
            f"Back in phase 1 since {since}, by {_name(backend, back.user)}: {back.why}. Limits are estimated from the"
            " points since then; those before keep the limits of their time."
        )
    elif held is None or used.is_empty():
        said.append(
            "Phase 1: the limits are estimated from the points shown, so they move with the window. Freeze them once the"
            " points show only common causes."
        )
    else:
        since = words.moment(held.valid_from, plant.site.zone, now)
        why = held.why or "no reason given"
        said.append(f"Phase 2: limits frozen by {_name(backend, held.user)}, valid from {since}: {why}.")
    if found.estimate is not None:
        how = found.estimate
        said.append(
            f"{words.number(how.points)} points, n = {words.number(how.values)}"
            + (" parts" if found.chart.attribute else f" values, sigma {words.value(how.sigma)} ({how.how})")
            + (f", overall {words.value(how.overall)}." if how.overall else f", {how.how}.")
        )
    if found.points.height > spccharts.MOST:
        said.append(f"Drawn are the newest {spccharts.MOST} of {words.number(found.points.height)} points.")
    lines = "CL: centre line; UCL, LCL: control limits" + (
        "; dotted: one and two sigma." if found.chart.zoned else "."
    )
    said.append(f"{found.chart.source}. {lines}")
    return [html.P(text, className="muted") for text in said]


def _name(backend: Backend, user: str) -> str:
    known = backend.plant.users.get(user)
    return known.name if known else user


def _capability(shown: spc.Shown, theme: str) -> Component:
    found, signal = shown.study, shown.signal
    assert signal is not None
    if found.estimate is None or not shown.histogram:
        return parts.panel(
            "Capability", html.P(f"No value: {found.problem or 'no points'}.", className="empty")
        )
    marks = [
        (name, at)
        for name, at in (("LSL", signal.lower), ("Target", signal.target), ("USL", signal.upper))
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
    held += f"n = {words.number(how.values)}, mean {words.value(how.center)}. "
    outside = sum(
        (signal.lower is not None and one < signal.lower) or (signal.upper is not None and one > signal.upper)
        for one in shown.histogram
    )
    if marks:
        held += f"Outside of the specification: {words.number(outside)} of {words.number(len(shown.histogram))} values."
    unstable = (
        "" if found.violations.is_empty() else " The process is not in control: Cp and Cpk say little yet."
    )
    return parts.panel(
        "Capability",
        parts.graph("spc-histogram", chart, tips=False),
        html.Div(figures, className="figures-row two-by-two")
        if marks
        else html.P(shown.indices[0].reason.capitalize() + "."),
        html.P(held + unstable, className="muted"),
    )


def _violations(backend: Backend, shown: spc.Shown) -> Component:
    plant, now = backend.plant, backend.now()
    chart, found = shown.study.chart, shown.study.violations
    points = (
        found.group_by("time", "plot", maintain_order=True)
        .agg("number", "name", "text", pl.col("value").first(), pl.col("phase").first())
        .sort("time", descending=True, maintain_order=True)
    )
    rows = []
    for row in points.head(ROWS).iter_rows(named=True):
        at = words.moment(row["time"], plant.site.zone, now)
        out = html.Button(
            "Leave out",
            id={"type": "spc-out", "time": words.utc(row["time"]), "plot": row["plot"]},
            className="button small",
            **{"data-needs-user": "1", "aria-label": f"Leave out {at}"},
        )
        broken = [
            html.Span(str(number), title=f"{name}: {text}", className="state")
            for number, name, text in zip(row["number"], row["name"], row["text"], strict=True)
        ]
        plot = chart.location if row["plot"] == "location" else chart.spread
        rows.append(
            (
                at,
                plot,
                words.value(row["value"]),
                f"Phase {row['phase']}",
                html.Div(broken, className="chips"),
                out,
            )
        )
    rules = found.group_by("number", "text").agg(points=pl.len()).sort("number", "text")
    meaning = [
        html.Span(
            [
                html.B(str(number), className="state"),
                f" {text}: {words.number(count)} {'point' if count == 1 else 'points'}.",
            ]
        )
        for number, text, count in rules.iter_rows()
    ]
    heads = ("When", "Plot", "Value", "Limits", "Rules it breaks", "")
    note = html.P(f"The newest {ROWS} of {words.number(points.height)}.", className="muted")
    table = parts.table(heads, rows, "No point breaks a rule in this window.", numeric=(2,))
    told = [html.Div(meaning, className="rules")] if meaning else []
    return parts.panel("Points that break a rule", *told, table, *([note] if points.height > ROWS else []))


def _left_out(backend: Backend, shown: spc.Shown) -> Component:
    if not shown.exclusions:
        return html.Div(hidden=True)
    plant, now = backend.plant, backend.now()
    rows = [
        (
            words.moment(entry.time, plant.site.zone, now),
            _name(backend, entry.user),
            words.moment(entry.at, plant.site.zone, now),
            entry.why,
            html.Button(
                "Take in again",
                id={"type": "spc-in", "time": words.utc(entry.time)},
                className="button small",
                **{"data-needs-user": "1"},
            ),
        )
        for entry in shown.exclusions
    ]
    return parts.panel("Points left out", parts.table(("Point", "By", "When", "Why", ""), rows, ""))


def _decide() -> Component:
    """Outside of what is drawn again, so that nobody loses what they type."""
    typed = dcc.Input(
        id="spc-why", type="text", value="", placeholder="The cause, or why these limits", autoComplete="off"
    )
    fields = [
        html.Label(["Why ", typed], htmlFor="spc-why", className="grow"),
        html.Button("Freeze limits", id="spc-freeze", className="button", **{"data-needs-user": "1"}),
        html.Button("Back to phase 1", id="spc-unfreeze", className="button", **{"data-needs-user": "1"}),
    ]
    note = (
        "Freezing estimates the limits from the points shown and judges every later point by them; a point that"
        " breaks a rule then raises an alert. Limits frozen before stay, for the points of their time. Back to phase 1"
        " when the process is another one. Leave a point out only when its cause was found: write it here first, then"
        " press the point's button below. It stays on the chart, and can be taken in again."
    )
    return parts.panel("Decide", html.Div(fields, className="fields"), html.P(note, className="muted"))


def register(backend: Backend, cb: Callbacks) -> None:
    """New points, freezing limits, leaving points out."""

    inspectionform.register(backend, cb)

    again.register(backend, cb, "spc", ("spc-live", "spc-rows"), _drawn)

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input("spc-freeze", "n_clicks"),
        Input("spc-unfreeze", "n_clicks"),
        Input({"type": "spc-out", "time": ALL, "plot": ALL}, "n_clicks"),
        Input({"type": "spc-in", "time": ALL}, "n_clicks"),
        State("spc-why", "value"),
        State("user", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def decide(
        freeze: int | None,
        unfreeze: int | None,
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
        query, what = params.query(search), ctx.triggered_id
        if not isinstance(what, dict):
            if what == "spc-unfreeze":
                return attempt(lambda: _unfreeze(backend, query, user, why or ""), "Back in phase 1")
            return attempt(lambda: _freeze(backend, query, user, why or ""), "Limits frozen")
        excluded = what["type"] == "spc-out"
        done = "Left out" if excluded else "Taken in again"
        return attempt(lambda: _exclude(backend, query, what["time"], excluded, user, why or ""), done)


def _freeze(backend: Backend, query: Mapping[str, str], user: str, why: str) -> None:
    asked, window = _asked(backend, query), _window(backend, query)
    frozen = spc.freezing(spc.find(backend, asked, window), window, backend.now(), user, why.strip())
    backend.freeze_limits(asked.machine, asked.signal, frozen)


def _unfreeze(backend: Backend, query: Mapping[str, str], user: str, why: str) -> None:
    asked = _asked(backend, query)
    shown = spc.find(backend, asked, _window(backend, query))
    backend.freeze_limits(asked.machine, asked.signal, spc.unfreezing(shown, backend.now(), user, why))


def _exclude(
    backend: Backend, query: Mapping[str, str], time: str, excluded: bool, user: str, why: str
) -> None:
    asked = _asked(backend, query)
    shown = spc.find(backend, asked, _window(backend, query))
    entry = spc.excluding(shown, params.instant("time", time), excluded, backend.now(), user, why)
    backend.exclude_point(asked.machine, asked.signal, entry)


PAGE = Page(path=PATH, title="SPC", icon="spc", order=16, layout=layout, register=register)
