"""The read models behind pages and API: ledger rows to stops, losses and KPIs of a window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

import analytics.figures.losses
from analytics.figures.buckets import EVERY, edges
from analytics.figures.losses import pareto
from analytics.ledger.firstcause import SPEED
from dashboards.ports import Backend, Refused
from plant.frames import Window
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

UNCODED = f"category:{TimeCategory.UNPLANNED_DOWNTIME}"
"""Key of the unplanned stops nobody has given a reason."""

_KEY = pl.coalesce("reason", pl.concat_str(pl.lit("category:"), "category")).alias("key")
_NAMES = {
    UNCODED: "No reason yet",
    f"category:{TimeCategory.MICRO_STOP}": "Micro-stops",
    f"category:{TimeCategory.CHANGEOVER}": "Changeover",
    f"category:{TimeCategory.STARVED}": "Starved",
    f"category:{TimeCategory.BLOCKED}": "Blocked",
}

_DOING = {
    SPEED: "too slow",
    TimeCategory.UNKNOWN.value: "no data",
    TimeCategory.NOT_SCHEDULED.value: "not scheduled",
    TimeCategory.PLANNED_DOWNTIME.value: "break or planned stop",
    TimeCategory.UNPLANNED_DOWNTIME.value: "no reason yet",
    TimeCategory.MICRO_STOP.value: "micro-stop",
    TimeCategory.CHANGEOVER.value: "changeover",
    TimeCategory.STARVED.value: "nothing came from outside",
    TimeCategory.BLOCKED.value: "nothing was taken away",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A bar of the Pareto."""

    key: str
    name: str
    seconds: float
    count: int
    cost: float | None
    """Money; None where no machine of it has a `cost_per_hour`."""
    category: TimeCategory
    """Where most of its time is booked."""
    uncoded: bool

    def amount(self, measure: str) -> float:
        """Of `MEASURES`; a cost nobody knows counts as none."""
        return {"duration": self.seconds, "count": self.count, "cost": self.cost or 0.0}[measure]


MEASURES = {"duration": "Minutes", "count": "Stops", "cost": "Cost"}
"""By what a Pareto is drawn."""


def cut_ledger(
    backend: Backend, window: Window, machines: Sequence[str] | None, by: Sequence[str] = ()
) -> pl.DataFrame:
    """The ledger of a window, cut at plant-local hours or days when it is grouped by them.

    Raises:
        Refused: more than `MOST_BUCKETS` of them.
    """
    return backend.ledger(window, machines, bucket_edges(backend, window, by))


def bucket_edges(backend: Backend, window: Window, by: Sequence[str]) -> list[datetime]:
    """Where the plant-local hours or days it is grouped by begin inside the window.

    Raises:
        Refused: more than `MOST_BUCKETS` of them.
    """
    asked = [name for name in by if name in EVERY]
    inner = edges(window, backend.plant.site.zone, *asked)
    if len(inner) >= MOST_BUCKETS:
        raise Refused(f"by: the window has {len(inner) + 1} of {asked[0]}; ask for at most {MOST_BUCKETS}")
    return inner


def stops(
    ledger: pl.DataFrame, categories: Iterable[TimeCategory] = STOPS, key: str | None = None
) -> pl.DataFrame:
    """The stops of `analytics.figures.losses.stops` in the rows of these categories, with `key` and `seconds`; those of one
    key only, when one is given.

    `key` is the reason's id, or "category:<category>" for a stop nobody gave one.
    """
    rows = ledger.filter(pl.col("category").is_in([c.value for c in categories]))
    if key is not None:
        rows = rows.filter(_KEY.eq(key))
    found = analytics.figures.losses.stops(rows)
    return found.with_columns(_KEY, seconds=pl.col("duration") / 1e6)


def losses(ledger: pl.DataFrame, plant: Plant, measure: str = "duration") -> list[Loss]:
    """The Pareto, the largest of the measure (`MEASURES`) first; stops nobody coded stand last, so that they do not pass
    for a cause."""
    found = pareto(ledger.with_columns(_KEY), STOPS, ("key",), plant, measure)
    booked = pareto(ledger.with_columns(_KEY), STOPS, ("key", "category")).sort("duration", descending=True)
    category = dict(
        booked.unique("key", keep="first", maintain_order=True).select("key", "category").iter_rows()
    )
    bars = [
        Loss(
            key=r["key"],
            name=loss_name(plant, r["key"]),
            seconds=r["duration"] / 1e6,
            count=r["count"],
            cost=r["cost"],
            category=TimeCategory(category[r["key"]]),
            uncoded=r["key"] == UNCODED,
        )
        for r in found.iter_rows(named=True)
    ]
    return sorted(bars, key=lambda loss: loss.uncoded)


def loss_name(plant: Plant, key: str) -> str:
    """What people call the loss of a `key`."""
    reason = plant.reasons.get(key)
    return reason.name if reason else _NAMES.get(key, key)


def cause_name(plant: Plant, cause: str | None, category: str, reason: str | None) -> str:
    """A first cause in words: "Filler: Hydraulic pressure"."""
    if cause is None:
        return "Nobody can say"
    return f"{plant.equipment[cause].name}: {cause_doing(plant, category, reason)}"


def cause_doing(plant: Plant, category: str, reason: str | None) -> str:
    """What the cause was doing, in words."""
    known = plant.reasons.get(reason) if reason else None
    return known.name if known else reason or _DOING.get(category, category)
