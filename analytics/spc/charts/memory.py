"""Charts that remember: EWMA (Roberts 1959) and the tabular CUSUM (Page 1954), for small shifts (ISO 7870-4, ISO 7870-6;
Montgomery, chapter 9). Both begin at the centre line with the first point they are given."""

import polars as pl

from analytics.spc.charts import Chart, Estimate, charts, require, require_spread
from plant.model import ChartKind, ControlChart


def _estimate(points: pl.DataFrame, plan: ControlChart) -> Estimate:
    """As of the chart that subgroups of this size would have."""
    require(points, 3, "points")
    sizes = points["n"]
    kind = ChartKind.I_MR if bool((sizes == 1).any()) else ChartKind.XBAR_S
    found = charts()[kind].estimate(points, plan)
    require_spread(found.sigma)
    return found


def _error(found: Estimate) -> pl.Expr:
    return found.sigma / pl.col("n").cast(pl.Float64).sqrt()


def _ewma(points: pl.DataFrame, found: Estimate, plan: ControlChart) -> pl.DataFrame:
    weight, z, share = plan.weight, found.center, 0.0
    values, shares = [], []
    for mean, n in points.select("mean", "n").iter_rows():
        z = weight * mean + (1 - weight) * z
        # Variance of z in units of sigma^2; of equal sizes weight/(2-weight) * (1-(1-weight)^2i) / n.
        share = weight**2 / n + (1 - weight) ** 2 * share
        values.append(z)
        shares.append(share)
    error = pl.Series(shares, dtype=pl.Float64).sqrt() * found.sigma
    return points.with_columns(
        value=pl.Series(values, dtype=pl.Float64),
        center=pl.lit(found.center),
        error=error,
        lower=found.center - plan.width * error,
        upper=found.center + plan.width * error,
    )


def _cusum(points: pl.DataFrame, found: Estimate, plan: ControlChart) -> pl.DataFrame:
    """In standard errors of a point: above the centre, and below it."""
    z = points.select((pl.col("mean") - found.center) / _error(found)).to_series()
    high = low = 0.0
    highs, lows = [], []
    for one in z:
        high, low = max(0.0, high + one - plan.slack), max(0.0, low - one - plan.slack)
        highs.append(high)
        lows.append(low)
    return points.with_columns(
        value=pl.Series(highs, dtype=pl.Float64),
        center=pl.lit(0.0),
        error=pl.lit(plan.decision),
        lower=pl.lit(None, pl.Float64),
        upper=pl.lit(plan.decision),
        spread=pl.Series(lows, dtype=pl.Float64),
        spread_center=pl.lit(0.0),
        spread_lower=pl.lit(None, pl.Float64),
        spread_upper=pl.lit(plan.decision),
    )


CHARTS = (
    Chart(
        kind=ChartKind.EWMA,
        name="EWMA",
        location="Exponentially weighted moving average",
        spread=None,
        source="Roberts 1959; ISO 7870-6; Montgomery, section 9.2",
        estimate=_estimate,
        lines=_ewma,
        zoned=False,
        remembers=True,
    ),
    Chart(
        kind=ChartKind.CUSUM,
        name="CUSUM",
        location="Sum above the centre, in sigmas",
        spread="Sum below the centre, in sigmas",
        source="Page 1954; ISO 7870-4; Montgomery, section 9.1",
        estimate=_estimate,
        lines=_cusum,
        zoned=False,
        remembers=True,
    ),
)
