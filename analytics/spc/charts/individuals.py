"""Single values and their moving range: I-MR (ISO 7870-2; Montgomery, section 6.4; NIST handbook 6.3.2.2)."""

import polars as pl

from analytics.spc.charts import Chart, Estimate, grand_mean, require, require_spread
from analytics.spc.constants import d2, lower_range, upper_range
from plant.model import ChartKind, ControlChart

_WORTH = 0.605
"""Degrees of freedom of a moving range, as neighbours share a value: var(MR-bar/d2) = 0.8264 sigma^2 / m."""


def mean_range(points: pl.DataFrame) -> float:
    """Mean of the ranges of two neighbours."""
    found = points["mean"].diff().abs().mean()
    return float(found) if isinstance(found, float) else 0.0


def _estimate(points: pl.DataFrame, plan: ControlChart) -> Estimate:
    require(points, 3, "values")
    sigma = mean_range(points) / d2(2)
    require_spread(sigma)
    overall = points["mean"].std()
    return Estimate(
        center=grand_mean(points),
        sigma=sigma,
        overall=float(overall) if isinstance(overall, float) else 0.0,
        points=points.height,
        values=points.height,
        freedom=_WORTH * (points.height - 1),
        how="MR-bar/1.128",
    )


def _lines(points: pl.DataFrame, found: Estimate, plan: ControlChart) -> pl.DataFrame:
    usual = found.sigma * d2(2)
    return points.with_columns(
        value=pl.col("mean"),
        center=pl.lit(found.center),
        error=pl.lit(found.sigma),
        lower=pl.lit(found.center - 3 * found.sigma),
        upper=pl.lit(found.center + 3 * found.sigma),
        spread=pl.col("mean").diff().abs(),
        spread_center=pl.lit(usual),
        spread_lower=pl.lit(lower_range(2) * usual),
        spread_upper=pl.lit(upper_range(2) * usual),
    )


CHARTS = (
    Chart(
        kind=ChartKind.I_MR,
        name="Individuals and moving range",
        location="Value",
        spread="Moving range",
        source="ISO 7870-2; Montgomery, section 6.4",
        estimate=_estimate,
        lines=_lines,
    ),
)
