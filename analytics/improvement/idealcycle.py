"""Is the standard right: cycle times as they are against the ideal cycle, and what it should be.

An ideal cycle that is too slow hides speed loss and gives performance above 1; one that was never reached makes losses of
what nobody can win. The best demonstrated cycle is the one a tenth of the parts were at least as fast as, over many parts in
a row: a standard that is kept up, not met by chance or by the moment a counter was read (Hansen, Overall Equipment
Effectiveness, 2001, asks for the best sustained rate).
"""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import polars as pl

from analytics.figures.buckets import bucket
from analytics.ledger.attributes import ideal_cycles
from plant.frames import TIME
from plant.model import Plant

AUDIT: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "material": pl.String,
    "ideal": pl.Int64,  # microseconds, as of the last part; null: none is known
    "parts": pl.Int64,
    "best": pl.Int64,  # microseconds: best demonstrated cycle
    "median": pl.Int64,
    "slowest": pl.Int64,  # microseconds: nine tenths of the parts were at least as fast
    "performance": pl.Float64,  # ideal time of the parts / the time they took
    "verdict": pl.String,  # right, too_slow, never_reached, missing, too_few
    "proposal": pl.Int64,  # microseconds; null where there is nothing to change
    "valid_from": TIME,  # from when the proposal holds; null with it
}
"""One row per machine and product that made parts."""

IN_A_ROW = 20
"""Parts a cycle is the mean of when it is judged, and more where they take less than `LASTING`: of a counter that is read
once a second, two parts in one reading are not twice as fast."""
LASTING = 100_000_000
"""Microseconds."""
FEWEST = 100
"""Parts below which nothing is said."""
FASTER, SLOWER = 0.95, 1.1
"""What the best demonstrated cycle may be of the ideal one. Somewhat slower is a loss that can be won."""
BEST, SLOWEST = 0.1, 0.9

SHAPE: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "material": pl.String,
    "from": pl.Int64,  # microseconds: lower edge of the bin
    "to": pl.Int64,
    "parts": pl.Int64,
}
BINS = 40
FAST, READ = 2_000_000, 10_000_000
"""Microseconds. Of cycles shorter than the first the shape is of means over the second: a counter read twice a second
cannot tell single ones."""


def rated_cycles(cycles: pl.DataFrame, runs: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """`plant.frames.CYCLES` with the material made and its ideal cycle (microseconds, null: unknown) at that time.

    `runs`: `plant.frames.ORDER_RUNS`; a machine without an order makes its usual material.
    """
    usual = {m.id: m.material for m in plant.machines() if m.material is not None}
    held = runs.select("equipment", "material", since="start", until="end").sort("since")
    made = cycles.sort("time").join_asof(
        held, left_on="time", right_on="since", by="equipment", check_sortedness=False
    )
    runs_on = pl.col("until").is_null() | (pl.col("until") > pl.col("time"))
    made = made.with_columns(
        material=pl.coalesce(
            pl.when(runs_on).then("material"),
            pl.col("equipment").replace_strict(usual, default=None, return_dtype=pl.String),
        )
    ).drop("since", "until")
    standards = (
        ideal_cycles(plant).select("equipment", "material", since="start", ideal="cycle").sort("since")
    )
    return made.join_asof(
        standards, left_on="time", right_on="since", by=["equipment", "material"], check_sortedness=False
    ).drop("since")


def audit(rated: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """`AUDIT` of cycles as of `rated_cycles`, what is wrong first.

    The proposal is the best demonstrated cycle, valid from the day (plant-local) since which every day with enough
    parts contradicts the standard the same way: a change of the machine in the middle of the window is dated, not smeared.
    """
    key = ["equipment", "material"]
    rows = _in_a_row(rated.filter(pl.col("material").is_not_null()), zone)
    found = rows.group_by(key).agg(
        *_figures(),
        ideal=pl.col("ideal").last(),
        performance=_performance(),
    )
    found = found.with_columns(verdict=_verdict())
    found = found.join(_since(rows, found), on=key, how="left")
    wrong = pl.col("verdict").is_in(["too_slow", "never_reached", "missing"])
    order = pl.col("verdict").replace_strict(
        {"too_slow": 0, "never_reached": 1, "missing": 2, "right": 3, "too_few": 4}, return_dtype=pl.Int8
    )
    return (
        found.with_columns(
            proposal=pl.when(wrong).then(pl.coalesce("best_since", "best")),
            valid_from=pl.when(wrong).then("valid_from"),
        )
        .sort(order, *key)
        .select(pl.col(name).cast(kind) for name, kind in AUDIT.items())
    )


def shape(rated: pl.DataFrame, bins: int = BINS) -> pl.DataFrame:
    """`SHAPE`: how many parts took how long, per machine and product, in `bins` equal bins up to twice the median; longer
    ones are in one more bin that is open above (`to` null). Of `FAST` cycles it is their means."""
    key = ["equipment", "material"]
    took = pl.col("cycle") * pl.col("parts")
    rows = (
        rated.filter(pl.col("material").is_not_null())
        .sort("time")
        .with_columns(
            block=pl.when(_weighted(0.5).over(key) < FAST)
            .then((took.cum_sum().over(key) - 1) // READ)
            .otherwise(pl.int_range(pl.len()).over(key))
        )
        .group_by(*key, "block")
        .agg(pl.col("parts").sum(), took=took.sum())
        .with_columns(cycle=pl.col("took") // pl.col("parts"))
    )
    widths = rows.group_by(key).agg(width=(_weighted(0.5) * 2 / bins).ceil().cast(pl.Int64).clip(1))
    numbered = rows.join(widths, on=key).with_columns(bin=(pl.col("cycle") // pl.col("width")).clip(0, bins))
    return (
        numbered.group_by(*key, "bin", "width")
        .agg(pl.col("parts").sum())
        .with_columns(
            (pl.col("bin") * pl.col("width")).alias("from"),
            pl.when(pl.col("bin") < bins).then((pl.col("bin") + 1) * pl.col("width")).alias("to"),
        )
        .sort(*key, "bin")
        .select(pl.col(name).cast(kind) for name, kind in SHAPE.items())
    )


def _in_a_row(rated: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """Cycles of one product and day that follow each other as one row: their mean, parts, time taken and ideal cycle."""
    key = ["equipment", "material"]
    rows = rated.sort("time").with_columns(day=bucket(rated["time"].sort(), zone, "day"))
    took = (pl.col("cycle") * pl.col("parts")).cum_sum().over(*key, "day")
    made = pl.col("parts").cum_sum().over(*key, "day")
    block = pl.min_horizontal((made - 1) // IN_A_ROW, (took - 1) // LASTING)
    # An ideal cycle from a date on begins a row of its own.
    return (
        rows.with_columns(block=block)
        .group_by(*key, "day", "ideal", "block", maintain_order=True)
        .agg(
            pl.col("time").last(),
            pl.col("parts").sum(),
            took=(pl.col("cycle") * pl.col("parts")).sum(),
        )
        .with_columns(cycle=pl.col("took") // pl.col("parts"))
        .sort("time")
    )


def _weighted(share: float) -> pl.Expr:
    """The cycle that this share of the parts did not exceed: a reading of n parts counts n times."""
    by_cycle = pl.col("parts").sort_by("cycle").cum_sum()
    reached = by_cycle >= (pl.col("parts").sum() * share)
    return pl.col("cycle").sort().filter(reached).first()


def _figures() -> list[pl.Expr]:
    return [
        pl.col("parts").sum(),
        _weighted(BEST).alias("best"),
        _weighted(0.5).alias("median"),
        _weighted(SLOWEST).alias("slowest"),
    ]


def _performance() -> pl.Expr:
    known = pl.col("ideal").is_not_null()
    took = pl.col("took").filter(known).sum()
    return pl.when(took > 0).then((pl.col("ideal") * pl.col("parts")).filter(known).sum() / took)


def _verdict() -> pl.Expr:
    ratio = pl.col("best") / pl.col("ideal")
    return (
        pl.when(pl.col("parts") < FEWEST)
        .then(pl.lit("too_few"))
        .when(pl.col("ideal").is_null())
        .then(pl.lit("missing"))
        .when(ratio < FASTER)
        .then(pl.lit("too_slow"))
        .when(ratio > SLOWER)
        .then(pl.lit("never_reached"))
        .otherwise(pl.lit("right"))
    )


def _since(rows: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Per machine and product: the day since which all days with enough parts have the verdict of the whole, and the best
    demonstrated cycle since then."""
    key = ["equipment", "material"]
    days = rows.join(found.select(*key, "ideal", whole="verdict"), on=key, suffix="_last")
    daily = (
        days.group_by(*key, "day", "whole")
        .agg(*_figures(), ideal=pl.col("ideal_last").first())
        .filter(pl.col("parts") >= FEWEST)
        .with_columns(agrees=_verdict() == pl.col("whole"))
        .sort(*key, "day")
    )
    broken = pl.col("day").filter(~pl.col("agrees")).max()
    first = daily.group_by(key).agg(
        valid_from=pl.coalesce(
            pl.col("day").filter(broken.is_null() | (pl.col("day") > broken)).min(), pl.col("day").min()
        )
    )
    since = days.join(first, on=key).filter(pl.col("day") >= pl.col("valid_from"))
    best = since.group_by(key).agg(best_since=_weighted(BEST))
    return first.join(best, on=key, how="left")
