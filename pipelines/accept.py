"""The gate between the spool and the historian: what is stored, what is set aside, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from plant.frames import BAD, FUTURE, SAMPLES


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch, sorted out."""

    samples: pl.DataFrame
    """`plant.frames.SAMPLES`, in the order they came; the historian and the fold settle duplicates."""
    rejected: pl.DataFrame
    """`plant.frames.SAMPLES` plus `problem`: what is wrong with the row."""


def accept(batch: pl.DataFrame, known: Iterable[tuple[str, str]], now: datetime) -> Accepted:
    """Check a batch against the plant's signals (`known`: equipment, signal) and the clock.

    NaN and infinite values become "no value" with BAD quality: they are no measurement, but that they
    came is a fact. Rows with no time, an unknown signal or a time in the future are rejected.
    """
    value, rest = pl.col("value"), [pl.col(name) for name in SAMPLES if name not in ("value", "quality")]
    unusable = value.is_not_null() & ~value.is_finite()
    batch = batch.select(
        *rest,
        value=pl.when(unusable).then(None).otherwise(value),
        quality=pl.when(unusable).then(pl.lit(BAD, pl.UInt8)).otherwise("quality"),
    ).select(pl.col("received").fill_null(now) if name == "received" else pl.col(name) for name in SAMPLES)
    problem = (
        pl.when(pl.col("time").is_null())
        .then(pl.lit("it has no time"))
        .when(pl.col("time") > now + FUTURE)
        .then(pl.lit("its time is more than 5 minutes ahead of this machine's clock: set the source's clock"))
        .when(pl.col("quality").is_null() | (pl.col("quality") > BAD))
        .then(pl.lit("its quality is none of 0 good, 1 uncertain, 2 bad"))
        .when(_unknown(batch, known))
        .then(pl.lit("the plant file has no such signal"))
    )
    judged = batch.with_columns(problem=problem)
    if judged["problem"].null_count() == judged.height:
        return Accepted(batch, judged.clear())
    rejected = pl.col("problem").is_not_null()
    return Accepted(judged.filter(~rejected).drop("problem"), judged.filter(rejected))


def _unknown(batch: pl.DataFrame, known: Iterable[tuple[str, str]]) -> pl.Expr:
    """Whether the plant lacks a row's signal. Looked up once per signal: names are slow to compare row by row."""
    key = ["equipment", "signal"]
    signals = pl.DataFrame(list(known), schema=dict.fromkeys(key, pl.String), orient="row")
    strange = batch.select(key).unique().join(signals, on=key, how="anti", nulls_equal=True)
    if strange.is_empty():
        return pl.lit(False)
    return pl.struct(key).is_in(strange.select(pl.struct(key)).to_series().implode())
