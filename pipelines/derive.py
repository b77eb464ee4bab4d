"""From samples to facts to the ledger. Live (`pipelines.fold`) and offline use these same functions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from analytics.facts.counters import COUNTED, count, increments
from analytics.facts.cycles import cycle_ends, signalled
from analytics.facts.orders import order_edges, order_runs, products
from analytics.facts.readings import readings, series
from analytics.facts.telling import input_edges, lapses, told, told_edges
from analytics.facts.timeline import intervals, state_edges, state_map
from analytics.ledger.rows import ledger
from plant.frames import LEDGER, ORDER_RUNS, RECODES, Window, empty
from plant.model import Plant

GROUP_ROWS = 500_000
"""About the most samples derived at once: whole machines, at least one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the samples say, before calendar, re-coding and ideal cycles."""

    intervals: pl.DataFrame
    """`plant.frames.INTERVALS` up to the instant they were asked for."""
    increments: pl.DataFrame
    """`plant.frames.INCREMENTS`; of cycle signals too."""
    runs: pl.DataFrame
    """`plant.frames.ORDER_RUNS` from order and material signals; empty where no machine has one."""
    signalled: pl.DataFrame
    """`plant.frames.CYCLES` from cycle signals, for `analytics.facts.cycles.cycle_times`."""


def facts(samples: pl.DataFrame, plant: Plant, until: datetime, orders: pl.DataFrame | None = None) -> Facts:
    """State intervals, parts and order runs shown by samples before `until` (`SAMPLES`; any order,
    duplicates allowed, others ignored).

    `orders` (order, material) names what the orders of order signals make.
    """
    known = series(plant)
    read = readings(samples.filter(pl.col("time") < until), known)
    last = read.filter((pl.col("code") != pl.col("code").shift(-1)).fill_null(True)).select("code", "time")
    edges = [state_edges(read, known, state_map(plant, known))]
    if known["tells"].any():
        heard = pl.concat([input_edges(read, known), lapses(last, known, until)])
        edges.append(told_edges(heard, told(plant, known)))
    ended = cycle_ends(read, known)
    counted = pl.concat([count(read, known), ended.select(*list(COUNTED)[:3], flag=pl.lit(None, pl.String))])
    return Facts(
        intervals=intervals(pl.concat(edges), last, known, until),
        increments=increments(counted, known),
        runs=order_runs(order_edges(read, known), known, until, orders, products(plant, known)),
        signalled=signalled(ended, known),
    )


def derive(
    samples: pl.DataFrame | pl.LazyFrame,
    plant: Plant,
    window: Window,
    orders: pl.DataFrame | None = None,
    recodes: pl.DataFrame | None = None,
    runs: pl.DataFrame | None = None,
    until: datetime | None = None,
    edges: Iterable[datetime] = (),
    corrections: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The ledger (`plant.frames.LEDGER`) of a window, from samples to rows.

    Machines are derived in groups of `GROUP_ROWS`, so memory is bounded if `samples` is a scan of a file: thin and sink
    a long history first (`pipelines.thin`).
    Samples before the window say how it begins, samples after it how long its last stops were; give both.
    `runs` (`ORDER_RUNS`): booked order runs, in place of the order signal on the machines that occur in them.
    `until`: what lies behind it is not used, and an open stop is judged by its length up to it; by default
    the end of the window or of the samples, whichever is later.
    """
    rows, cuts = samples.lazy(), list(edges)
    if until is None:
        newest = rows.select(pl.col("time").max()).collect(engine="streaming").item()
        until = window.end if newest is None else max(window.end, newest + timedelta(microseconds=1))
    recodes = empty(RECODES) if recodes is None else recodes
    found = [empty(LEDGER)]
    for group in _groups(rows, plant):
        ours = pl.col("equipment").is_in(group)
        shown = facts(rows.filter(ours).collect(), plant, until, orders)
        counted = shown.increments if corrections is None else corrected(shown.increments, corrections)
        without = {machine.id: window.end for machine in plant.machines() if machine.id not in group}
        found.append(
            ledger(
                shown.intervals,
                counted.filter(ours),
                booked(shown.runs, runs).filter(ours),
                recodes.filter(ours),
                plant,
                window,
                cuts,
                since=without,
            )
        )
    return pl.concat(found)


def _groups(samples: pl.LazyFrame, plant: Plant) -> Iterator[list[str]]:
    """The machines of a plant in their order in the ledger, those together that have few samples."""
    counts = samples.group_by("equipment").len().collect(engine="streaming")
    rows = dict(counts.iter_rows())
    group: list[str] = []
    held = 0
    for machine in sorted(m.id for m in plant.machines()):
        if group and held + rows.get(machine, 0) > GROUP_ROWS:
            yield group
            group, held = [], 0
        group.append(machine)
        held += rows.get(machine, 0)
    if group:
        yield group


def corrected(increments: pl.DataFrame, corrections: pl.DataFrame) -> pl.DataFrame:
    """Increments with what people corrected (`plant.frames.CORRECTIONS`) among them."""
    said = corrections.select("equipment", "time", "kind", "quantity", flag=pl.lit("corrected", pl.String))
    return pl.concat([increments, said])


def booked(seen: pl.DataFrame, runs: pl.DataFrame | None) -> pl.DataFrame:
    """Order runs: the booked ones of a machine where there are any, else those its order signal shows."""
    if runs is None or runs.is_empty():
        return seen
    runs = runs.select(pl.col(name).cast(kind) for name, kind in ORDER_RUNS.items())
    return pl.concat([runs, seen.join(runs, on="equipment", how="anti")]).sort("equipment", "start")
