"""Counts: p and np (rejected parts), c and u (defects) (ISO 7870-2, section 7; Montgomery, chapter 7).

p and u have limits for each lot's own size.
"""

from collections.abc import Callable

import polars as pl

from analytics.spc.charts import Chart, Estimate, NoLimits, require
from plant.model import ChartKind, ControlChart


def _estimate(per_part: bool, share: bool) -> Callable[[pl.DataFrame, ControlChart], Estimate]:
    """`per_part`: the centre is for one part, so lots may differ in size. `share`: of parts, 1 at most."""

    def estimate(points: pl.DataFrame, plan: ControlChart) -> Estimate:
        require(points, 2, "lots")
        parts, counted = int(points["n"].sum()), int(points["count"].sum())
        if not per_part and points["n"].n_unique() > 1:
            raise NoLimits("the lots differ in size: use a p or u chart, which allows that")
        if share and bool((points["count"] > points["n"]).any()):
            raise NoLimits("more parts are rejected than were inspected")
        if not parts:
            raise NoLimits("nothing was inspected")
        if not counted:
            raise NoLimits("nothing was rejected: without a reject there are no limits")
        if share and counted == parts:
            raise NoLimits("everything was rejected: without a good part there are no limits")
        return Estimate(
            center=counted / parts if per_part else counted / points.height,
            sigma=0.0,
            overall=0.0,
            points=points.height,
            values=parts,
            freedom=0.0,
            how="from the centre line: binomial" if share else "from the centre line: Poisson",
        )

    return estimate


def _lines(
    value: pl.Expr, variance: Callable[[float, pl.Expr], pl.Expr], most: Callable[[pl.Expr], pl.Expr] | None
) -> Callable[[pl.DataFrame, Estimate, ControlChart], pl.DataFrame]:
    def lines(points: pl.DataFrame, found: Estimate, plan: ControlChart) -> pl.DataFrame:
        n = pl.col("n").cast(pl.Float64)
        error = variance(found.center, n).sqrt()
        upper = found.center + 3 * error
        return points.with_columns(
            value=value,
            center=pl.lit(found.center),
            error=error,
            lower=(found.center - 3 * error).clip(lower_bound=0),
            upper=upper if most is None else pl.min_horizontal(upper, most(n)),
        )

    return lines


def _chart(
    kind: ChartKind,
    name: str,
    location: str,
    estimate: Callable[[pl.DataFrame, ControlChart], Estimate],
    lines: Callable[[pl.DataFrame, Estimate, ControlChart], pl.DataFrame],
) -> Chart:
    return Chart(
        kind=kind,
        name=name,
        location=location,
        spread=None,
        source="ISO 7870-2; Montgomery, chapter 7; ASTM E2587",
        estimate=estimate,
        lines=lines,
        attribute=True,
    )


_COUNT = pl.col("count").cast(pl.Float64)
_EACH = pl.when(pl.col("n") > 0).then(_COUNT / pl.col("n"))

CHARTS = (
    _chart(
        ChartKind.P,
        "p: share nonconforming",
        "Share nonconforming",
        _estimate(per_part=True, share=True),
        _lines(_EACH, lambda p, n: p * (1 - p) / n, lambda n: pl.lit(1.0)),
    ),
    _chart(
        ChartKind.NP,
        "np: nonconforming units in lots of one size",
        "Nonconforming units",
        _estimate(per_part=False, share=True),
        _lines(_COUNT, lambda c, n: c * (1 - c / n), lambda n: n),
    ),
    _chart(
        ChartKind.C,
        "c: defects in lots of one size",
        "Defects",
        _estimate(per_part=False, share=False),
        _lines(_COUNT, lambda c, n: pl.lit(c), None),
    ),
    _chart(
        ChartKind.U,
        "u: defects per part",
        "Defects per part",
        _estimate(per_part=True, share=False),
        _lines(_EACH, lambda u, n: u / n, None),
    ),
)
