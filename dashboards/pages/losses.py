"""Where the minutes went: the Pareto of stops, each machine's timeline, and the stops one by one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import polars as pl
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import charts, figures, params, parts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Page, Query
from dashboards.ports import Backend
from dashboards.view import SaidView
from plant.model import Plant

PATH = "/losses"
TAKEN_BACK = "Taken back"
SHOWN = 200
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
            _stop(backend, query) if query.get("stop") else None,
            html.Div(
                [
                    parts.panel("Downtime by reason", _pareto(bars, theme), name="wide"),
                    parts.panel("Losses", _bars(bars, query)),
                ],
                className="columns",
            ),
            parts.panel("State timeline", _timeline(backend, ledger, theme)),
            _stops(backend, stops, query),
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


def _stops(backend: Backend, stops: pl.DataFrame, query: Query) -> Component:
    plant, now = backend.plant, backend.now()
    rows = [
        (
            words.moment(stop["stop_start"], plant.site.zone, now),
            plant.equipment[stop["equipment"]].name,
            figures.loss_name(plant, stop["key"]),
            words.length(stop["seconds"]),
            stop["order"] or words.NONE,
            dcc.Link(
                "Give reason" if stop["key"] == figures.UNCODED else "Change",
                href=parts.link(PATH, query, stop=f"{stop['equipment']}|{words.utc(stop['stop_start'])}"),
                className="button small",
            ),
        )
        for stop in stops.sort("stop_start", descending=True).head(SHOWN).iter_rows(named=True)
    ]
    picked = query.get("reason")
    title = f"Stops: {figures.loss_name(plant, picked)}" if picked else "Stops"
    clear = dcc.Link("Show all stops", href=parts.link(PATH, query, reason=None)) if picked else None
    heads = ("Began", "Machine", "Reason", "Length", "Order", "Reason code")
    return parts.panel(title, parts.table(heads, rows, "No stops.", numeric=(3,)), extra=clear)


def _stop(backend: Backend, query: Query) -> Component:
    """What was this stop? One tap on a reason answers; what was said before stays."""
    plant = backend.plant
    machine, start = _which(plant, query["stop"])
    said = backend.recodes(machine, start)
    leaves = [r for r in plant.reasons.values() if not any(o.parent == r.id for o in plant.reasons.values())]
    buttons = [
        html.Button(
            reason.name,
            id={"type": "recode", "reason": reason.id, "stop": query["stop"]},
            className="button",
            **{"data-needs-user": "1"},
        )
        for reason in leaves
    ]
    if said and said[-1]["reason"]:
        buttons.append(
            html.Button(
                "Take it back",
                id={"type": "recode", "reason": "", "stop": query["stop"]},
                className="button small",
                **{"data-needs-user": "1"},
            )
        )
    history = [
        (
            words.moment(e["at"], plant.site.zone, backend.now()),
            figures.loss_name(plant, e["reason"]) if e["reason"] else TAKEN_BACK,
            _who(plant, e),
        )
        for e in said
    ]
    began = words.moment(start, plant.site.zone, backend.now())
    close = dcc.Link("Close", href=parts.link(PATH, query, stop=None), className="button small")
    return parts.panel(
        f"{plant.equipment[machine].name}, stop of {began}: what was it?",
        html.Div(buttons, className="picks"),
        parts.table(
            ("When", "Reason", "Who"), history, "Nobody has coded it. The last entry counts; all are kept."
        ),
        extra=close,
        name="ask",
    )


def _which(plant: Plant, text: str) -> tuple[str, datetime]:
    machine, _, start = text.partition("|")
    params.machines(plant, [machine])
    return machine, params.instant("stop", start)


def _who(plant: Plant, entry: SaidView) -> str:
    user = plant.users.get(entry["user"])
    return user.name if user else entry["user"]


def register(backend: Backend, cb: Callbacks) -> None:
    """Re-coding, and the drill from a bar of the Pareto."""

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input({"type": "recode", "reason": ALL, "stop": ALL}, "n_clicks"),
        State("user", "data"),
        prevent_initial_call=True,
    )
    def recode(clicks: list[int | None], user: str | None) -> tuple[Any, Any]:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict):
            return no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True)
        picked = ctx.triggered_id
        machine, start = _which(backend.plant, picked["stop"])
        name = figures.loss_name(backend.plant, picked["reason"])
        done = f"Coded as {name}" if picked["reason"] else TAKEN_BACK
        return attempt(lambda: backend.recode(machine, start, picked["reason"], user), done)

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
