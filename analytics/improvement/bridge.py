"""The OEE bridge: why the OEE of one window differs from that of another, in points that add up to the difference.

OEE is the sum over products on machines of running share x effectiveness: of the known time, how much was run on it, and
how much ideal time of good parts an hour of that running gave. Each is compared with the mean of both windows as weight
(the indicator of Bennet, 1920), so nothing is left over and the two windows may be swapped:

* availability, per reason: a stop that takes more of the known time takes running time of the mean effectiveness;
* speed, quality, per product and machine: the same running gave more or less;
* mix: running moved to products or machines of another effectiveness.
"""

from collections.abc import Mapping

import polars as pl

from analytics.figures.elements import RATED, with_classes
from analytics.figures.summary import summarise
from plant.model import Plant
from plant.states import BUSY_CATEGORIES, TimeCategory

BRIDGE: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "effect": pl.String,  # availability, speed, quality, mix, outside
    "category": pl.String,  # availability: plant.states.TimeCategory
    "reason": pl.String,  # availability: reason id, null where nobody has said
    "equipment": pl.String,  # speed, quality, mix: the machine
    "material": pl.String,  # speed, quality, mix: the product
    "before": pl.Float64,  # what is compared: share of the known time, performance, quality rate; null: there was none
    "after": pl.Float64,
    "points": pl.Float64,  # what it added to OEE, 0.01 is one point
}
"""Columns of `bridge`. `outside`: good parts counted while their machine did not run."""

DUST = 1e-12
"""What rounding leaves of nothing."""
_RUNNING = TimeCategory.RUNNING.value
_BUSY_KNOWN = [c.value for c in BUSY_CATEGORIES if c is not TimeCategory.UNKNOWN]
_PRODUCT = ["equipment", "material"]


class NothingToCompareError(ValueError):
    """A window has no OEE: no known planned time of rated machines, or they made only what has no ideal cycle."""


def bridge(before: pl.DataFrame, after: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """`BRIDGE` from one ledger (`plant.frames.LEDGER`) to another, largest effect first; points add up to the difference of
    their OEE. The same in both conventions: micro-stops are a category of their own.

    Raises NothingToCompareError.
    """
    both = [_rated(ledger, plant) for ledger in (before, after)]
    known = [int(rows["duration"].sum()) for rows in both]
    if not all(known):
        which = "first" if not known[0] else "second"
        raise NothingToCompareError(
            f"the {which} window has no known planned time of a machine with counter and ideal cycle"
        )
    for which, ledger in (("first", before), ("second", after)):
        if summarise(ledger, [], plant, kpis=("oee",))["oee"].item() is None:
            raise NothingToCompareError(
                f"what ran in the {which} window has no ideal cycle, or nobody said what was made: it has no OEE"
            )
    products = _products(both, known)
    share, gained = products.select(
        _mean("share").sum(), gained=(_mean("share") * _mean("effectiveness")).sum()
    ).row(0)
    mean = gained / share if share else 0.0
    return (
        pl.concat(
            [
                _availability(both, known, mean),
                _speed_and_quality(products),
                _mix(products, mean),
                _outside(both, known),
            ]
        )
        .filter(pl.col("points").abs() > DUST)
        .sort(pl.col("points").abs(), *list(BRIDGE)[:5], descending=[True, *[False] * 5], nulls_last=True)
    )


def _rated(ledger: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    return with_classes(ledger, plant).filter(RATED, pl.col("category").is_in(_BUSY_KNOWN))


def _mean(name: str) -> pl.Expr:
    return (pl.col(name) + pl.col(f"{name}_after")) / 2


def _change(name: str) -> pl.Expr:
    return pl.col(f"{name}_after") - pl.col(name)


def _products(both: list[pl.DataFrame], known: list[int]) -> pl.DataFrame:
    """By machine and product: share of running in the known time, performance, quality and effectiveness of it, before and
    `_after`. Where it did not run in one of the windows, what the other one shows holds for both."""
    sides = [
        rows.filter(category=_RUNNING)
        .group_by(_PRODUCT)
        .agg(pl.col("duration", "ideal", "ideal_good").sum())
        .select(
            *_PRODUCT,
            share=pl.col("duration") / whole,
            performance=pl.col("ideal") / pl.col("duration"),
            quality=pl.when(pl.col("ideal") > 0).then(pl.col("ideal_good") / pl.col("ideal")),
        )
        for rows, whole in zip(both, known, strict=True)
    ]
    joined = sides[0].join(
        sides[1], on=_PRODUCT, how="full", coalesce=True, nulls_equal=True, suffix="_after"
    )
    joined = joined.with_columns(pl.col("share", "share_after").fill_null(0.0)).with_columns(
        ran=pl.col("performance").is_not_null(), ran_after=pl.col("performance_after").is_not_null()
    )
    held = [
        pl.coalesce(f"{name}{side}", f"{name}{other}", pl.lit(1.0)).alias(f"{name}{side}")
        for name in ("performance", "quality")
        for side, other in (("", "_after"), ("_after", ""))
    ]
    return joined.with_columns(held).with_columns(
        effectiveness=pl.col("performance") * pl.col("quality"),
        effectiveness_after=pl.col("performance_after") * pl.col("quality_after"),
    )


def _availability(both: list[pl.DataFrame], known: list[int], mean: float) -> pl.DataFrame:
    keys = ["category", "reason"]
    sides = [
        rows.filter(pl.col("category") != _RUNNING).group_by(keys).agg(share=pl.col("duration").sum() / whole)
        for rows, whole in zip(both, known, strict=True)
    ]
    joined = sides[0].join(sides[1], on=keys, how="full", coalesce=True, nulls_equal=True, suffix="_after")
    joined = joined.with_columns(pl.col("share", "share_after").fill_null(0.0))
    return _rows(
        joined.with_columns(
            effect=pl.lit("availability"),
            before="share",
            after="share_after",
            points=-_change("share") * mean,
        )
    )


def _speed_and_quality(products: pl.DataFrame) -> pl.DataFrame:
    pieces = []
    for effect, name, other in (("speed", "performance", "quality"), ("quality", "quality", "performance")):
        pieces.append(
            _rows(
                products.with_columns(
                    effect=pl.lit(effect),
                    points=_mean("share") * _mean(other) * _change(name),
                    before=pl.when("ran").then(name),
                    after=pl.when("ran_after").then(f"{name}_after"),
                )
            )
        )
    return pl.concat(pieces)


def _mix(products: pl.DataFrame, mean: float) -> pl.DataFrame:
    return _rows(
        products.with_columns(
            effect=pl.lit("mix"),
            before="share",
            after="share_after",
            points=_change("share") * (_mean("effectiveness") - mean),
        )
    )


def _outside(both: list[pl.DataFrame], known: list[int]) -> pl.DataFrame:
    shares = [
        rows.filter(pl.col("category") != _RUNNING)["ideal_good"].sum() / whole
        for rows, whole in zip(both, known, strict=True)
    ]
    frame = pl.DataFrame([shares], schema={"before": pl.Float64, "after": pl.Float64}, orient="row")
    return _rows(frame.with_columns(effect=pl.lit("outside"), points=pl.col("after") - pl.col("before")))


def _rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of `BRIDGE`, null where there is none."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in BRIDGE.items()
    )
