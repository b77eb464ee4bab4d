"""Where the minutes went: the Pareto of stops, each machine's timeline, and the stops one by one."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import polars as pl
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from analytics.ledger.firstcause import WAITING
from dashboards import charts, figures, lineaccount, params, parts, stopform, words
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend
from plant.frames import Window

PATH = "/losses"
SHOWN = 60
"""Stops the table lists; the API gives all."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The page for a window, machines, and a loss (`reason`) or stop that was picked."""
    name = query.get("window", "shift")
    window = parts.period(backend, name)
    machines = params.machines(backend.plant, [query["machine"]] if query.get("machine") else [])
    ledger = backend.ledger(window, machines)
    bars = figures.losses(ledger, backend.plant)
    stops = figures.stops(ledger)
    picked = query.get("reason")
    if picked:
        stops = stops.filter(pl.col("key") == picked)
    return html.Div(
        [
            html.Div(
                [
                    parts.choice(
                        "Window", parts.PERIODS.items(), name, lambda v: parts.link(PATH, query, window=v)
                    ),
                    parts.machine_choice(backend, PATH, query),
                ],
                className="toolbar",
            ),
            stopform.stop_form(backend, PATH, query) if query.get("stop") else None,
            html.Div(
                [
                    parts.panel("Downtime by reason", _pareto(bars, theme), name="wide"),
                    parts.panel("Losses", _bars(bars, query)),
                ],
                className="columns",
            ),
            lineaccount.panel(
                backend,
                window,
                lineaccount.lines(backend.plant, machines),
                lambda v: parts.link(PATH, query, machine=v),
            ),
            parts.panel("State timeline", _timeline(backend, ledger, theme)),
            _stops(backend, stops, query, window),
        ],
        className="page",
    )


def _pareto(bars: list[figures.Loss], theme: str) -> Component:
    if not bars:
        return html.P("No stops in this window.", className="empty")
    return parts.graph("pareto", charts.pareto(bars, theme))


def _bars(bars: list[figures.Loss], query: Query) -> Component:
    total = sum(loss.seconds for loss in bars) or 1.0
    rows = [
        (
            dcc.Link(loss.name, href=parts.link(PATH, query, reason=loss.key, stop=None)),
            words.length(loss.seconds),
            words.number(loss.count),
            words.percent(loss.seconds / total, 0),
        )
        for loss in bars
    ]
    return parts.table(("Reason", "Time", "Stops", "Share"), rows, "Nothing was lost.", numeric=(1, 2, 3))


def _timeline(backend: Backend, ledger: pl.DataFrame, theme: str) -> Component:
    if ledger.is_empty():
        return html.P("Nothing is known of this window.", className="empty")
    return parts.graph("timeline", charts.timeline(ledger, backend.plant, theme))


def _stops(backend: Backend, stops: pl.DataFrame, query: Query, window: Window) -> Component:
    plant, now = backend.plant, backend.now()
    stops = stops.sort("stop_start", descending=True).head(SHOWN)
    waited = stops.filter(pl.col("category").is_in(WAITING))["equipment"].unique().to_list()
    causes = lineaccount.charged_to(plant, lineaccount.charged(backend, window, waited), stops)
    rows = [
        (
            words.moment(stop["stop_start"], plant.site.zone, now),
            plant.equipment[stop["equipment"]].name,
            figures.loss_name(plant, stop["key"]),
            cause,
            words.length(stop["seconds"]),
            stop["order"] or words.NONE,
            dcc.Link(
                "Give reason" if stop["key"] == figures.UNCODED else "Change",
                href=parts.link(PATH, query, stop=f"{stop['equipment']}|{words.utc(stop['stop_start'])}"),
                className="button small",
            ),
        )
        for stop, cause in zip(stops.iter_rows(named=True), causes, strict=True)
    ]
    picked = query.get("reason")
    title = f"Stops: {figures.loss_name(plant, picked)}" if picked else "Stops"
    clear = dcc.Link("Show all stops", href=parts.link(PATH, query, reason=None)) if picked else None
    heads = ("Began", "Machine", "Reason", "Charged to", "Length", "Order", "Reason code")
    return parts.panel(title, parts.table(heads, rows, "No stops.", numeric=(4,)), extra=clear)


def register(backend: Backend, cb: Callbacks) -> None:
    """Re-coding, and the drill from a bar of the Pareto."""

    stopform.register(backend, cb)

    @cb(
        Output("url", "search", allow_duplicate=True),
        Input("pareto", "clickData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def drill(click: Mapping[str, Any] | None, search: str | None) -> Any:
        if not click or "customdata" not in click["points"][0]:
            return no_update
        query = dict(parse_qsl((search or "").lstrip("?"), max_num_fields=50))
        return parts.link("", query, reason=click["points"][0]["customdata"], stop=None)


PAGE = Page(path=PATH, title="Losses", icon="losses", order=10, layout=layout, register=register)
