"""Time elements: the sums of ledger rows every KPI is made of (ISO 22400-2 names in brackets).

*Known* time is planned busy time less unknown time. *Rated* sums are over machines that have a part counter
and an ideal cycle; a machine without them can be available, but nobody can say how fast it should have been.
Parts made outside known planned busy time count, but do not rate it.
"""

import polars as pl

from plant.model import Plant, Role
from plant.states import BUSY_CATEGORIES, TimeCategory

RATED_MACHINE = "rated_machine"
"""Boolean ledger column added by `with_rated`."""

_is_busy = pl.col("category").is_in([c.value for c in BUSY_CATEGORIES])
_is_known = _is_busy & (pl.col("category") != TimeCategory.UNKNOWN.value)
_rated = pl.col(RATED_MACHINE)


def _time(condition: pl.Expr) -> pl.Expr:
    return pl.col("duration").filter(condition).sum()


def _category(category: TimeCategory) -> pl.Expr:
    return pl.col("category") == category.value


COUNTS = ("good", "reject", "rework", "startup", "unrated", "flagged")
"""Parts, and counter readings with a flag."""

SUMS: dict[str, pl.Expr] = {
    "duration": pl.col("duration").sum(),  # calendar time
    **{c.value: _time(_category(c)) for c in TimeCategory},
    "busy": _time(_is_busy),  # planned busy time (PBT)
    "known": _time(_is_known),
    **{name: pl.col(name).sum() for name in (*COUNTS, "ideal", "ideal_good")},
    "known_good": pl.col("good").filter(_is_known).sum(),
    "known_reject": pl.col("reject").filter(_is_known).sum(),
    "rated_calendar": _time(_rated & ~_category(TimeCategory.UNKNOWN)),
    "rated_known": _time(_rated & _is_known),
    "rated_running": _time(_rated & _category(TimeCategory.RUNNING)),
    "rated_micro_stop": _time(_rated & _category(TimeCategory.MICRO_STOP)),
    "rated_ideal": pl.col("ideal").filter(_rated & _is_known).sum(),
    "rated_ideal_good": pl.col("ideal_good").filter(_rated & _is_known).sum(),
}
"""Columns of a summary. Times in microseconds, integers; they add up over any rows."""


def with_rated(ledger: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """The ledger with `RATED_MACHINE`: the machine has a good or total counter and an ideal cycle."""
    counted = {machine for machine, roles in plant.roles().items() if roles & {Role.GOOD, Role.TOTAL}}
    cycled = {c.equipment for material in plant.materials.values() for c in material.ideal_cycles}
    return ledger.with_columns(pl.col("equipment").is_in(sorted(counted & cycled)).alias(RATED_MACHINE))
