"""Whether a process is in control: control charts with limits that hold, and whether it can meet its specification."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import again, inspectionform, inspections, params, parts, spc, spccharts, spcpanels
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
            again.clock("spc", AGAIN, (above, below)),
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
        return [parts.panel(title, html.P(spcpanels.nothing(shown), className="empty"))], listed
    unit = shown.signal.unit if shown.signal else ""
    chart = parts.panel(
        title,
        spcpanels.verdict(shown),
        parts.graph("spc-chart", spccharts.control(found, unit, plant.site.zone, theme), tips=False),
        *spcpanels.about_limits(backend, shown),
        name="wide",
    )
    tables = [spcpanels.violations(backend, shown), spcpanels.left_out(backend, shown), *listed]
    if shown.signal is None:
        return [chart], tables
    return [html.Div([chart, spcpanels.capability(shown, theme)], className="columns")], tables


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
