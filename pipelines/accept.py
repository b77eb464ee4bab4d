"""The gate between the spool and the historian: what is stored, what is set aside, and why."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from pipelines.names import Names
from plant.frames import BAD, FUTURE, REFUSED, SAMPLES, empty


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch, sorted out."""

    samples: pl.DataFrame
    """`plant.frames.SAMPLES`, in the order they came; the historian and the fold settle duplicates."""
    rejected: pl.DataFrame
    """`plant.frames.REFUSED`: with what is wrong with the row."""


def accept(batch: pl.DataFrame, known: Names, now: datetime) -> Accepted:
    """Check a batch against the plant's signals and the clock.

    NaN and infinite values become "no value" with BAD quality: they are no measurement, but that they
    came is a fact. Rows with no time, an unknown signal or a time in the future are rejected.
    """
    batch = batch[list(SAMPLES)]
    found = known.find(batch)[0]
    if len(found) == batch.height and _faultless(batch, now):
        return Accepted(batch, empty(REFUSED))
    value = pl.col("value")
    unusable = value.is_not_null() & ~value.is_finite()
    strange = np.ones(batch.height, bool)
    strange[found] = False
    problem = (
        pl.when(pl.col("time").is_null())
        .then(pl.lit("it has no time"))
        .when(pl.col("time") > now + FUTURE)
        .then(pl.lit("its time is more than 5 minutes ahead of this machine's clock: set the source's clock"))
        .when(pl.col("quality").is_null() | (pl.col("quality") > BAD))
        .then(pl.lit("its quality is none of 0 good, 1 uncertain, 2 bad"))
        .when(pl.Series(strange))
        .then(pl.lit("the plant file has no such signal"))
    )
    judged = batch.with_columns(
        value=pl.when(unusable).then(None).otherwise(value),
        quality=pl.when(unusable).then(pl.lit(BAD, pl.UInt8)).otherwise("quality"),
        received=pl.col("received").fill_null(now),
    ).with_columns(problem=problem)
    rejected = pl.col("problem").is_not_null()
    return Accepted(judged.filter(~rejected).drop("problem"), judged.filter(rejected))


def _faultless(batch: pl.DataFrame, now: datetime) -> bool:
    """Whether nothing is to be changed or refused. Most batches are: one look at each column says so."""
    time, quality, value = batch["time"], batch["quality"], batch["value"]
    if time.null_count() or quality.null_count() or batch["received"].null_count():
        return False
    if batch.height and (time.max() > now + FUTURE or quality.max() > BAD):  # type: ignore[operator]
        return False
    usable = np.isfinite(value.to_numpy())
    # Of numbers that are missing numpy says that they are not.
    return int(np.count_nonzero(usable)) == batch.height - value.null_count()
