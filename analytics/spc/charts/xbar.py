"""Means and spread of subgroups: X-bar/R and X-bar/S (ISO 7870-2, section 6; Montgomery, chapter 6).

With subgroups of different sizes sigma is the mean of what each subgroup says of it (Burr 1969); with equal sizes that is
R-bar/d2 and s-bar/c4.
"""

import math
from collections.abc import Callable

import polars as pl

from analytics.spc import constants
from analytics.spc.charts import (
    Chart,
    Estimate,
    NoLimits,
    by_size,
    grand_mean,
    require,
    require_spread,
    total_sd,
)
from plant.model import ChartKind, ControlChart

_Constant = Callable[[int], float]


def _chart(
    kind: ChartKind, name: str, column: str, spread: str, how: str, mean: _Constant, sd: _Constant
) -> Chart:
    """`mean`, `sd`: of the spread statistic, in sigmas."""

    def estimate(points: pl.DataFrame, plan: ControlChart) -> Estimate:
        require(points, 2, "subgroups")
        if bool((points["n"] < 2).any()):
            raise NoLimits("a subgroup of one value has no spread: use an I-MR chart, or a larger size")
        try:
            parts = points[column] / by_size(points, mean)
            freedom = sum(n_freedom(int(n), mean, sd) for n in points["n"])
        except ValueError as error:
            raise NoLimits(str(error)) from None
        sigma = float(parts.sum()) / points.height
        require_spread(sigma)
        return Estimate(
            center=grand_mean(points),
            sigma=sigma,
            overall=total_sd(points),
            points=points.height,
            values=int(points["n"].sum()),
            freedom=freedom,
            how=how,
        )

    def lines(points: pl.DataFrame, found: Estimate, plan: ControlChart) -> pl.DataFrame:
        error = found.sigma / points["n"].cast(pl.Float64).sqrt()
        usual = by_size(points, mean) * found.sigma
        off = 3 * by_size(points, sd) * found.sigma
        return points.with_columns(
            value=pl.col("mean"),
            center=pl.lit(found.center),
            error=error,
            lower=found.center - 3 * error,
            upper=found.center + 3 * error,
            spread=pl.col(column),
            spread_center=usual,
            spread_lower=(usual - off).clip(lower_bound=0),
            spread_upper=usual + off,
        )

    return Chart(
        kind=kind,
        name=name,
        location="Mean of the subgroup",
        spread=spread,
        source="ISO 7870-2; Montgomery, chapter 6; ASTM E2587",
        estimate=estimate,
        lines=lines,
    )


def n_freedom(n: int, mean: _Constant, sd: _Constant) -> float:
    """Degrees of freedom a subgroup's spread is worth (Patnaik 1950, large samples)."""
    return mean(n) ** 2 / (2 * sd(n) ** 2)


def sd_of_s(n: int) -> float:
    """Standard deviation of the standard deviation of n values, in sigmas."""
    return math.sqrt(1 - constants.c4(n) ** 2)


CHARTS = (
    _chart(
        ChartKind.XBAR_R,
        "X-bar and R",
        "range",
        "Range of the subgroup",
        "R-bar/d2",
        constants.d2,
        constants.d3,
    ),
    _chart(
        ChartKind.XBAR_S,
        "X-bar and S",
        "sd",
        "Standard deviation of the subgroup",
        "s-bar/c4",
        constants.c4,
        sd_of_s,
    ),
)
