"""The control charts, one module per family, found by looking into this package: a module's `CHARTS` are charts.

POINTS is what goes in: one row per subgroup of values, or per inspected lot. Variable sizes are allowed; each point then
has limits of its own.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache

import polars as pl

from plant.frames import TIME
from plant.model import ChartKind, ControlChart

POINTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,  # first value of the subgroup, or start of the lot
    "end": TIME,  # last value of the subgroup, or end of the lot
    "n": pl.Int64,  # values, or inspected parts
    "mean": pl.Float64,
    "range": pl.Float64,  # of one value: 0
    "sd": pl.Float64,  # with n - 1; of one value: null
    "count": pl.Int64,  # attribute charts: rejects (p, np) or defects (c, u)
}


class NoLimits(Exception):  # noqa: N818 - it is an answer, not a fault
    """There is nothing to draw limits from; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What phase 1 found: all that limits and capability need."""

    center: float
    """Mean of the values; share (p), rejects per lot (np), defects per lot (c) or per part (u)."""
    sigma: float
    """Within subgroups. Attribute charts: 0, their limits follow from the centre."""
    overall: float
    """Standard deviation of all values, subgroups or not. Attribute charts: 0."""
    points: int
    values: int
    """Values, or inspected parts."""
    freedom: float
    """Degrees of freedom of sigma."""
    how: str
    """How sigma was estimated."""

    def to_json(self) -> dict[str, float | int | str]:
        """As it is kept."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A control chart: how its limits are estimated, and what it draws."""

    kind: ChartKind
    name: str
    location: str
    """What the first of its two plots shows."""
    spread: str | None
    """What the second shows; None: there is none."""
    source: str
    estimate: Callable[[pl.DataFrame, ControlChart], Estimate]
    """From POINTS in control (phase 1). Raises NoLimits."""
    lines: Callable[[pl.DataFrame, Estimate, ControlChart], pl.DataFrame]
    """Adds to POINTS: value, center, error (its standard error), lower, upper, and, with a second plot, spread,
    spread_center, spread_lower, spread_upper."""
    attribute: bool = False
    """It counts rejects instead of measuring."""
    zoned: bool = True
    """Run rules make sense; where not, only its limits do."""
    remembers: bool = False
    """A point depends on those before it: EWMA, CUSUM."""


@cache
def charts() -> Mapping[ChartKind, Chart]:
    """Every chart there is."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        for chart in importlib.import_module(f"{__name__}.{module.name}").CHARTS:
            found[chart.kind] = chart
    return found


def by_size(points: pl.DataFrame, constant: Callable[[int], float]) -> pl.Series:
    """A constant of each point's subgroup size."""
    sizes = points["n"].unique().to_list()
    return points["n"].replace_strict(sizes, [constant(size) for size in sizes], return_dtype=pl.Float64)


def total_sd(points: pl.DataFrame) -> float:
    """Standard deviation of all values, from those of the subgroups and their means."""
    n, mean = points["n"], points["mean"]
    center = _sum(mean * n) / _sum(n)
    squares = _sum((n - 1) * (points["sd"].fill_null(0) ** 2)) + _sum(n * (mean - center) ** 2)
    values = _sum(n)
    return float((squares / (values - 1)) ** 0.5) if values > 1 else 0.0


def grand_mean(points: pl.DataFrame) -> float:
    """Mean of all values."""
    return _sum(points["mean"] * points["n"]) / _sum(points["n"])


def require(points: pl.DataFrame, least: int, what: str) -> None:
    """Raises NoLimits when there are fewer points than a limit needs."""
    if points.height < least:
        raise NoLimits(
            f"{points.height} {what} {'is' if points.height == 1 else 'are'} too few; it takes {least}"
        )


def require_spread(sigma: float) -> None:
    """Raises NoLimits when nothing varies."""
    if not sigma > 0:
        raise NoLimits("all values are equal: without spread there are no limits")


def _sum(values: pl.Series) -> float:
    return float(values.sum())
