"""Who stopped the line: the account of a line's time, and what waiting machines waited for."""

from collections.abc import Collection, Sequence
from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from analytics.ledger.firstcause import Topology, charges
from analytics.ledger.lineaccount import CHARGED, OWN, PLANNED, RUNNING, constraint, line_account
from dashboards import figures, parts, words
from dashboards.charts import SHOWN
from dashboards.ports import Backend, Refused
from plant.frames import Window
from plant.model import Plant
from plant.states import TimeCategory

MOST = 6
"""Causes the bar tells apart; the others are one piece. The table has all."""


def lines(plant: Plant, machines: Collection[str] | None = None) -> list[str]:
    """Lines whose machines feed one another, in the order of the plant file; of all, or of those machines."""
    topology = Topology(plant)
    linked = [m.id for m in plant.machines() if topology.before[m.id] or topology.behind[m.id]]
    return list(dict.fromkeys(plant.line_of(m) for m in linked if machines is None or m in machines))


def charged(backend: Backend, window: Window, machines: Collection[str]) -> pl.DataFrame:
    """`plant.frames.CHARGES` of those machines in the window."""
    topology = Topology(backend.plant)
    among = sorted(topology.connected(machines))
    rows = backend.ledger(window, among)
    if topology.reach:  # stops that ended just before are causes still
        earlier = backend.ledger(Window(window.start - topology.reach, window.start), among)
        rows = pl.concat([earlier, rows]).sort("equipment", "start")
    found = charges(rows, backend.plant, window)
    return found.filter(pl.col("equipment").is_in(list(machines)))


def account(backend: Backend, window: Window, line: str) -> pl.DataFrame:
    """`plant.frames.LINE_ACCOUNT` of a line over the part of the window that is over.

    Raises:
        Refused: there is no such line.
    """
    plant = backend.plant
    now = backend.now()
    window = Window(min(window.start, now), min(window.end, now))
    try:
        machine = constraint(plant, line, window.end)
    except KeyError:
        known = sorted({plant.line_of(m.id) for m in plant.machines()})
        raise Refused(f"line: {line!r} is not one of {', '.join(known)}") from None
    ledger = backend.ledger(window, [machine])
    return line_account(ledger, charged(backend, window, [machine]), plant, line, window)


def charged_to(plant: Plant, found: pl.DataFrame, stops: pl.DataFrame) -> list[str]:
    """Of each stop (`dashboards.figures.stops`), in words, the cause most of its waiting is charged to, if it waited."""
    spans: dict[str, list[dict[str, Any]]] = {}
    for charge in found.iter_rows(named=True):
        spans.setdefault(charge["equipment"], []).append(charge)
    told = []
    for stop in stops.iter_rows(named=True):
        sums: dict[tuple[str | None, str, str | None], float] = {}
        for charge in spans.get(stop["equipment"], ()):
            both = min(charge["end"], stop["end"]) - max(charge["start"], stop["start"])
            if stop["category"] == charge["category"] and both.total_seconds() > 0:
                key = charge["cause"], charge["cause_category"], charge["cause_reason"]
                sums[key] = sums.get(key, 0) + both.total_seconds()
        told.append(figures.cause_name(plant, *max(sums, key=lambda key: sums[key])) if sums else words.NONE)
    return told


def panel(backend: Backend, window: Window, chosen: Sequence[str], query_link: Any) -> Component | None:
    """The view of the chosen lines: of one the account with its causes, of several a bar each. `query_link(line)`: the
    address that shows one of them alone."""
    if not chosen:
        return None
    if len(chosen) == 1:
        return _whole(backend.plant, account(backend, window, chosen[0]))
    rows = []
    for line in chosen:
        found = account(backend, window, line)
        name = backend.plant.equipment[line].name
        rows.append(html.Div([html.H3(dcc.Link(name, href=query_link(line))), _bar(backend.plant, found)]))
    return parts.panel("Who stopped the line", *rows, name="account-panel")


def _whole(plant: Plant, found: pl.DataFrame) -> Component:
    if found.is_empty():
        return parts.panel("Who stopped the line", html.P("The window has not begun.", className="empty"))
    line, machine = found.select("line", "constraint").row(0)
    sums: dict[tuple[str | None, str, str], tuple[int, int]] = {}
    for row in found.filter(pl.col("kind").is_in([OWN, CHARGED])).iter_rows(named=True):
        key = row["cause"], figures.cause_doing(plant, row["category"], row["reason"]), row["kind"]
        time, stops = sums.get(key, (0, 0))
        sums[key] = time + row["duration"], stops + row["count"]
    total = sum(time for time, _ in sums.values()) or 1
    rows = [
        (
            plant.equipment[cause].name if cause else "Nobody can say",
            doing[:1].upper() + doing[1:],
            "itself" if kind == OWN else "waiting for it",
            words.length(time / 1e6),
            words.number(stops),
            words.percent(time / total, 0),
        )
        for (cause, doing, kind), (time, stops) in sorted(sums.items(), key=lambda item: -item[1][0])
    ]
    heads = ("First cause", "What", "The line lost it by", "Time", "Stops", "Share")
    return parts.panel(
        "Who stopped the line",
        html.P(_sentence(plant, found, line, machine), className="note"),
        _bar(plant, found),
        parts.table(heads, rows, "The line lost nothing.", numeric=(3, 4, 5)),
        name="account-panel",
    )


def _sentence(plant: Plant, found: pl.DataFrame, line: str, machine: str) -> str:
    sums = dict(found.group_by("kind").agg(pl.col("duration").sum() / 1e6).iter_rows())
    pieces = [
        f"{words.length(sums[kind])} {said}"
        for kind, said in (
            (RUNNING, "running"),
            (OWN, "lost by itself"),
            (CHARGED, "lost waiting, charged to first causes"),
            (PLANNED, "planned or not scheduled"),
        )
        if kind in sums
    ]
    whole = words.length(sum(sums.values()))
    name = plant.equipment[machine].name
    return f"{plant.equipment[line].name} is as fast as {name}. Its {whole}: {', '.join(pieces)}. Every second is here once."


def _bar(plant: Plant, found: pl.DataFrame) -> Component:
    """One bar as long as the window, and what its pieces are."""
    total = found["duration"].sum() or 1
    pieces: list[tuple[str, str, int]] = []
    charge = found.filter(pl.col("kind") == CHARGED)
    for row in found.filter(pl.col("kind") == RUNNING).iter_rows(named=True):
        pieces.append(("Running", "running", row["duration"]))
    own = (
        found.filter(pl.col("kind").is_in([OWN, PLANNED]))
        .group_by("kind", "category")
        .agg(pl.col("duration").sum())
    )
    for kind in (OWN, PLANNED):
        for row in own.filter(pl.col("kind") == kind).sort("duration", descending=True).iter_rows(named=True):
            name, colour = SHOWN[TimeCategory(row["category"])]
            pieces.append((name, colour, row["duration"]))
        if kind == OWN:
            by_cause = (
                charge.group_by("cause")
                .agg(pl.col("duration").sum())
                .sort("duration", "cause", descending=True)
            )
            for row in by_cause.head(MOST).iter_rows(named=True):
                name = plant.equipment[row["cause"]].name if row["cause"] else "nobody knows whom"
                pieces.append((f"Waiting for {name}", "waiting", row["duration"]))
            if rest := sum(by_cause.slice(MOST)["duration"]):
                pieces.append(("Waiting for others", "waiting", rest))
    bar = [
        html.I(
            className=f"piece {colour}",
            style={"width": f"{100 * duration / total:.3f}%"},
            title=f"{name}: {words.length(duration / 1e6)}",
        )
        for name, colour, duration in pieces
    ]
    legend = [
        html.Li([html.I(className=f"piece {colour}"), f"{name} ", html.B(words.length(duration / 1e6))])
        for name, colour, duration in pieces
    ]
    said = ", ".join(f"{name} {words.length(duration / 1e6)}" for name, _, duration in pieces)
    return html.Div(
        [
            html.Div(bar, className="account-bar", role="img", **{"aria-label": said}),
            html.Ul(legend, className="account-legend"),
        ]
    )
