"""One KPI per module: a module here with a `KPI` is in the catalogue, and in every summary."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import polars as pl

from plant.model import Convention


class Pass(StrEnum):
    """What else than sums of rows a KPI needs; it takes another pass over the ledger."""

    FAILURES = "failures"
    """`analytics.figures.reliability.failures`"""
    STEPS = "steps"
    """`analytics.figures.yields.rolled`"""
    ALERTS = "alerts"
    """`analytics.figures.reliability.attended`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A ratio of sums (`analytics.figures.elements.SUMS`, `ELEMENTS`, and what the KPI's passes give); without
    denominator there is no value. Numerator and denominator are linear, so that they add up over the rows behind
    them."""

    text: str
    numerator: pl.Expr
    denominator: pl.Expr
    times: tuple[pl.Expr, pl.Expr] | None = None
    """A second ratio the first one is multiplied with."""
    where: pl.Expr | None = None
    """There is a value only where this holds."""
    otherwise: "Formula | None" = None
    """What is divided where the denominator is zero."""

    def ratio(self) -> tuple[pl.Expr, pl.Expr]:
        """Numerator and denominator; the denominator is null or zero where there is no value."""
        above, below = self.numerator, self.denominator
        if self.times:
            above, below = (a.cast(pl.Float64) * b for a, b in zip((above, below), self.times, strict=True))
        if self.where is not None:
            below = pl.when(self.where).then(below)
        if self.otherwise is None:
            return above, below
        here = self.denominator != 0
        other = self.otherwise.ratio()
        return pl.when(here).then(above).otherwise(other[0]), pl.when(here).then(below).otherwise(other[1])


RATED_OR_STOPPED = (
    (pl.col("rated_running") + pl.col("rated_micro_stop") > 0)
    | (pl.col("running") + pl.col("micro_stop") == 0)
    | (pl.col("rated_ideal") > 0)
)
"""Something that can be rated ran, or nothing at all. Where a machine made only what has no ideal cycle, its stops alone
must not say that it was good for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """A figure, where it is from and how it is computed in each convention."""

    id: str
    name: str
    unit: str
    """"1": a share."""
    source: str
    formulas: Mapping[Convention, Formula]
    higher_is_better: bool = True
    scale: float = 1
    """From parts and microseconds to `unit`."""
    passes: tuple[Pass, ...] = ()


def same(formula: Formula) -> Mapping[Convention, Formula]:
    """Both conventions agree."""
    return dict.fromkeys(Convention, formula)


@cache
def catalogue() -> Mapping[str, Kpi]:
    """All KPIs by id, in alphabetical order of their modules."""
    found: dict[str, Kpi] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        kpi: Kpi = importlib.import_module(f"{__name__}.{module}").KPI
        found[kpi.id] = kpi
    return found
