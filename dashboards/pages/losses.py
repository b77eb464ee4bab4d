"""Where the minutes and the money went: Pareto, waterfall, six big losses, who stopped the line, and each stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from analytics.figures.losses import six_big_losses
from dashboards import (
    again,
    charts,
    figures,
    kpitables,
    lineaccount,
    losspanels,
    params,
    parts,
    stateform,
    stopform,
    stoptable,
    words,
)
from dashboards.callbacks import Callbacks
from dashboards.figures import MEASURES, Loss
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from plant.frames import Window
from plant.model import Plant

PATH = "/losses"
LIVE = ("losses-pareto", "losses-kinds", "losses-lines", "losses-timeline", "losses-stops")
"""Where the parts of the page are that are drawn again."""
VITAL = 0.8
"""The share that the vital few of a Pareto make (Juran)."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The page for a window, machines and a `measure`, with the loss (`reason`) or `step` of the waterfall that was
    picked, and the stop somebody looks at."""
    name = query.get("window", "shift")
    now, drawn = backend.now(), _drawn(backend, query, theme)
    window = parts.period(backend, name)
    return html.Div(
        [
            html.Div(
                [
                    parts.choice(
                        "Window",
                        parts.PERIODS.items(),
                        name,
                        lambda v: parts.link(PATH, query, window=v, page=None),
                    ),
                    parts.machine_choice(backend, PATH, query),
                ],
                className="toolbar",
            ),
            stopform.stop_form(backend, PATH, query) if query.get("stop") else None,
            stateform.state_form(backend, PATH, query) if query.get("say") else None,
            *(
                html.Div(shown, id=place, className="stacked")
                for place, shown in zip(LIVE, drawn, strict=True)
            ),
            again.clock("losses", parts.pace(window), drawn, going=window.end >= now),
        ],
        className="page",
    )


def _drawn(backend: Backend, query: Query, theme: str) -> list[list[Component]]:
    """All that changes while the window is running."""
    measure = query.get("measure", "duration")
    if measure not in MEASURES:
        raise Refused(f"measure: {measure!r} is not one of {', '.join(MEASURES)}")
    if query.get("step") and not losspanels.known(query["step"]):
        raise Refused(f"step: {query['step']!r} is no loss of the waterfall")
    window = parts.period(backend, query.get("window", "shift"))
    machines = params.machines(backend.plant, [query["machine"]] if query.get("machine") else [])
    ledger = backend.ledger(window, machines)
    stops = _stops(backend, ledger, query, window)
    reason, step = query.get("reason"), query.get("step")
    kinds = html.Div(
        [
            losspanels.falling(backend.plant, ledger, PATH, query),
            losspanels.six_big(
                backend, six_big_losses(ledger, backend.plant), lambda v: _picked(query, step=v)
            ),
        ],
        className="columns even",
    )
    lines = lineaccount.panel(
        backend,
        window,
        lineaccount.lines(backend.plant, machines),
        lambda v: parts.link(PATH, query, machine=v),
    )
    return [
        [_pareto(backend.plant, ledger, measure, query, theme), *([stops] if reason else [])],
        [kinds, *([stops] if step and not reason else [])],
        [lines] if lines else [],
        [parts.panel("State timeline", _timeline(backend, ledger, theme))],
        [] if reason or step else [stops],
    ]


def _picked(query: Query, **what: str) -> str:
    """The address with another loss picked; `query` may name one already."""
    return parts.link(PATH, query, **{"reason": None, "step": None, "stop": None, "page": None, **what})


def _pareto(plant: Plant, ledger: pl.DataFrame, measure: str, query: Query, theme: str) -> Component:
    bars = figures.losses(ledger, plant, measure)
    switch = parts.choice(
        "Measured in",
        MEASURES.items(),
        measure,
        lambda v: parts.link(PATH, query, measure=None if v == "duration" else v),
    )
    drawn: Component
    if not bars:
        drawn = html.P("Nothing was lost in this window.", className="empty")
    elif not any(loss.amount(measure) for loss in bars):
        drawn = html.Div(
            [html.P("No machine that stopped has a price yet.", className="empty"), losspanels.priced(plant)]
        )
    else:
        drawn = parts.graph(
            "pareto", charts.pareto(bars, theme, measure, query.get("reason"), plant.site.currency)
        )
    return html.Div(
        [
            parts.panel(
                "Pareto of losses",
                html.P(_told(plant, bars, measure), className="note") if bars else None,
                drawn,
                extra=switch,
                name="wide",
            ),
            parts.panel("Losses", _bars(plant, bars, measure, query)),
        ],
        className="columns",
    )


def _told(plant: Plant, bars: Sequence[Loss], measure: str) -> str:
    """The biggest in a sentence, and how few make most of it."""
    whole = sum(loss.amount(measure) for loss in bars)
    if not whole:
        return ""
    most = max(bars, key=lambda loss: loss.amount(measure))
    share = words.percent(most.amount(measure) / whole, 0)
    amounts = f"{words.length(most.seconds)} in {_stopped(most.count)}"
    if most.cost is not None:
        amounts += f", {kpitables.money(plant, most.cost)}"
    of = {"duration": "the time lost", "count": "all stops", "cost": "the cost"}[measure]
    if most.uncoded:
        return f"Most has no reason yet: {amounts}, {share} of {of}. Give these stops a reason first."
    text = f"{most.name} is the biggest: {amounts}, {share} of {of}."
    together, few = 0.0, 0
    for loss in sorted(bars, key=lambda loss: -loss.amount(measure)):
        if together >= VITAL * whole:
            break
        together, few = together + loss.amount(measure), few + 1
    if 1 < few <= len(bars) / 2:
        text += f" {few} of {len(bars)} losses make {words.percent(together / whole, 0)}."
    return text


def _stopped(count: int) -> str:
    return f"{words.number(count)} {'stop' if count == 1 else 'stops'}"


def _bars(plant: Plant, bars: Sequence[Loss], measure: str, query: Query) -> Component:
    total = sum(loss.amount(measure) for loss in bars) or 1.0
    money = any(loss.cost is not None for loss in bars)
    rows = [
        (
            dcc.Link(loss.name, href=_picked(query, reason=loss.key)),
            words.length(loss.seconds),
            words.number(loss.count),
            *([kpitables.money(plant, loss.cost)] if money else []),
            words.percent(loss.amount(measure) / total, 0),
        )
        for loss in bars
    ]
    heads = ("Reason", "Time", "Stops", *(["Cost"] if money else []), "Share")
    return parts.table(heads, rows, "Nothing was lost.", numeric=(1, 2, 3, 4))


def _timeline(backend: Backend, ledger: pl.DataFrame, theme: str) -> Component:
    if ledger.is_empty():
        return html.P("Nothing is known of this window.", className="empty")
    return parts.graph("timeline", charts.timeline(ledger, backend.plant, theme))


def _stops(backend: Backend, ledger: pl.DataFrame, query: Query, window: Window) -> Component:
    """All stops, or what is in the loss that was picked."""
    plant, reason, step = backend.plant, query.get("reason"), query.get("step")
    clear = parts.link(PATH, query, reason=None, step=None, page=None, stop=None)
    extra = dcc.Link("Show all stops", href=clear, className="button small") if reason or step else None
    if step and not reason and step not in losspanels.STOPPED:
        return losspanels.behind(backend, ledger, step, PATH, query, extra)
    if step and not reason:
        found, title = figures.stops(ledger, losspanels.STOPPED[step]), f"Stops: {losspanels.step_name(step)}"
    else:
        found = figures.stops(ledger, key=reason)
        title = f"Stops: {figures.loss_name(plant, reason)}" if reason else "Stops"
    return stoptable.panel(backend, PATH, query, found, window, title, extra)


def register(backend: Backend, cb: Callbacks) -> None:
    """Re-coding, and the drill from a bar of the Pareto."""

    stopform.register(backend, cb)
    stateform.register(backend, cb)
    again.register(backend, cb, "losses", LIVE, _drawn)

    @cb(
        Output("url", "search", allow_duplicate=True),
        Input("pareto", "clickData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def drill(click: Mapping[str, Any] | None, search: str | None) -> Any:
        if not click or "customdata" not in click["points"][0]:
            return no_update
        query = params.query(search)
        return _picked(query, reason=click["points"][0]["customdata"]).removeprefix(PATH)


PAGE = Page(path=PATH, title="Losses", icon="losses", order=10, layout=layout, register=register)
