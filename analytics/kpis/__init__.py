"""One KPI per module: a module here with a `KPI` is in the catalogue, and in every summary."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import polars as pl

from plant.model import Convention


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A ratio of two sums of `analytics.elements.SUMS`; without denominator there is no value."""

    text: str
    numerator: pl.Expr
    denominator: pl.Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """A figure, where it is from and how it is computed in each convention."""

    id: str
    name: str
    unit: str
    source: str
    formulas: Mapping[Convention, Formula]


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
