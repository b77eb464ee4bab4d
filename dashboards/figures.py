"""The read models behind pages and API: ledger rows to stops, losses and KPIs of a window."""

from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from analytics.buckets import EVERY, edges
from dashboards.ports import Backend, Refused
from plant.frames import LEDGER, Window, empty
from plant.model import Plant
from plant.states import TimeCategory

MOST_BUCKETS = 24 * 31
"""Hours or days one request may ask for."""

STOPS = (
    TimeCategory.UNPLANNED_DOWNTIME,
    TimeCategory.MICRO_STOP,
    TimeCategory.CHANGEOVER,
    TimeCategory.STARVED,
    TimeCategory.BLOCKED,
)
"""Categories in which planned time is lost without running."""


def cut_ledger(
    backend: Backend, window: Window, machines: Sequence[str] | None, by: Sequence[str] = ()
) -> pl.DataFrame:
    """The ledger of a window, cut at plant-local hours or days when it is grouped by them.

    Raises:
        Refused: more than `MOST_BUCKETS` of them.
    """
    asked = [name for name in by if name in EVERY]
    if not asked:
        return backend.ledger(window, machines)
    inner = [
        edge for edge in edges(window, backend.plant.site.zone, *asked) if window.start < edge < window.end
    ]
    if len(inner) >= MOST_BUCKETS:
        raise Refused(f"by: the window has {len(inner) + 1} of {asked[0]}; ask for at most {MOST_BUCKETS}")
    marks = [window.start, *inner, window.end]
    return pl.concat(backend.ledger(Window(a, b), machines) for a, b in pairwise(marks))


def stops(ledger: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """One row per stop, oldest first: equipment, stop_start, start, end, category, reason, seconds, orders.

    The pieces the ledger cut a stop into (at shift, order and calendar edges) are put together again.
    """
    if ledger.is_empty():
        ledger = empty(LEDGER)
    return (
        ledger.filter(pl.col("category").is_in([c.value for c in STOPS]))
        .group_by("equipment", "stop_start", "category", "reason")
        .agg(
            pl.col("start").min(),
            pl.col("end").max(),
            seconds=pl.col("duration").sum() / 1e6,
            order=pl.col("order").drop_nulls().last(),
        )
        .sort("stop_start", "equipment")
    )


def loss_name(plant: Plant, category: str, reason: str | None) -> str:
    """What a loss is called: its reason, or its category when a reason is not asked for."""
    if reason is not None:
        found = plant.reasons.get(reason)
        return found.name if found else reason
    return {
        TimeCategory.UNPLANNED_DOWNTIME.value: NO_REASON,
        TimeCategory.MICRO_STOP.value: "Micro-stops",
        TimeCategory.CHANGEOVER.value: "Changeover",
        TimeCategory.STARVED.value: "Starved",
        TimeCategory.BLOCKED.value: "Blocked",
    }.get(category, category)


NO_REASON = "No reason yet"


def losses(found: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """The Pareto of stops: key, name, uncoded, seconds, count; largest first, stops nobody coded last.

    `key` is the reason id, or "category:<category>" where there is none.
    """
    named = found.with_columns(
        key=pl.coalesce("reason", pl.concat_str(pl.lit("category:"), "category")),
        uncoded=pl.col("reason").is_null() & (pl.col("category") == TimeCategory.UNPLANNED_DOWNTIME.value),
    )
    sums = named.group_by("key", "reason", "uncoded").agg(
        pl.col("seconds").sum(),
        pl.col("category").first(),
        count=pl.struct("equipment", "stop_start").n_unique(),
    )
    names = [loss_name(plant, row["category"], row["reason"]) for row in sums.iter_rows(named=True)]
    return (
        sums.with_columns(name=pl.Series(names, dtype=pl.String))
        .sort("uncoded", "seconds", "key", descending=[False, True, False])
        .select("key", "name", "uncoded", "seconds", "count")
    )
