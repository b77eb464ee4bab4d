"""The gate between the spool and the historian: what is stored, what is set aside, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from plant.frames import BAD, SAMPLES

FUTURE = timedelta(minutes=5)
"""A source clock this far ahead of ours is wrong; its samples would hide the real ones."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch, sorted out."""

    samples: pl.DataFrame
    """`plant.frames.SAMPLES`, unique by (equipment, signal, time), sorted by it."""
    rejected: pl.DataFrame
    """`plant.frames.SAMPLES` plus `problem`: what is wrong with the row."""


def accept(batch: pl.DataFrame, known: Iterable[tuple[str, str]], now: datetime) -> Accepted:
    """Check a batch against the plant's signals (`known`: equipment, signal) and the clock.

    NaN and infinite values become "no value" with BAD quality: they are no measurement, but that they
    came is a fact. Rows with no time, an unknown signal or a time in the future are rejected.
    """
    keys = pl.DataFrame(list(known), schema={"equipment": pl.String, "signal": pl.String}, orient="row")
    unusable = pl.col("value").is_not_null() & ~pl.col("value").is_finite()
    batch = batch.select(list(SAMPLES)).with_columns(
        value=pl.when(unusable).then(None).otherwise(pl.col("value")),
        quality=pl.when(unusable).then(pl.lit(BAD, pl.UInt8)).otherwise(pl.col("quality")),
    )
    judged = batch.join(
        keys.with_columns(is_known=pl.lit(True)),
        on=["equipment", "signal"],
        how="left",
        maintain_order="left",
    ).with_columns(
        problem=pl.when(pl.col("time").is_null())
        .then(pl.lit("it has no time"))
        .when(pl.col("is_known").is_null())
        .then(pl.lit("the plant file has no such signal"))
        .when(pl.col("time") > now + FUTURE)
        .then(pl.lit("its time is more than 5 minutes ahead of this machine's clock: set the source's clock"))
    )
    good = judged.filter(pl.col("problem").is_null()).select(list(SAMPLES))
    return Accepted(
        samples=good.sort("equipment", "signal", "time", "received", maintain_order=True).unique(
            ["equipment", "signal", "time"], keep="last", maintain_order=True
        ),
        rejected=judged.filter(pl.col("problem").is_not_null()).drop("is_known"),
    )
