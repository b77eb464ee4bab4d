"""Numbers in buckets of time: how many, their sum, least and most of each minute of every process variable."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from pipelines.thin import only
from plant.frames import BAD, TIME
from plant.model import Plant, Role

SUMS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "signal": pl.String,
    "time": TIME,  # start of the bucket: a multiple of its length since 1970-01-01 UTC
    "count": pl.Int64,  # numbers in the bucket
    "sum": pl.Float64,
    "min": pl.Float64,
    "max": pl.Float64,
}
"""Additive: `merged` makes one row of all that are of one bucket. Mean is sum / count (`plant.frames.TREND`)."""

_KEY = ("equipment", "signal", "time")


def minutes(samples: pl.LazyFrame, plant: Plant) -> pl.LazyFrame:
    """`SUMS` of the process variables of a plant by the minute, from samples as `bucketed` takes them."""
    keys = [(s.equipment, s.id) for s in plant.signals.values() if s.role is Role.PROCESS_VALUE]
    variables = pl.DataFrame(keys, schema={"equipment": pl.String, "signal": pl.String}, orient="row")
    rows = samples.filter(pl.col("signal").is_in(variables["signal"].unique().implode()))
    return bucketed(rows, timedelta(minutes=1)).pipe(only, variables)


def bucket_length(every: timedelta) -> int:
    """Microseconds of a bucket. Raises ValueError unless it is longer than nothing."""
    length = every // timedelta(microseconds=1)
    if length <= 0:
        raise ValueError(f"a trend needs buckets longer than nothing, not {every}")
    return length


def bucketed(samples: pl.LazyFrame, every: timedelta) -> pl.LazyFrame:
    """`SUMS` of samples (`plant.frames.SAMPLES`) by buckets of length `every`.

    Only samples with a number and a quality better than BAD count. Neighbours are summed as they come, which streams
    at the speed of reading: of samples sorted by (equipment, signal, time) that is one row for each bucket, else
    more, to be `merged`. Raises ValueError unless `every` is longer than nothing.
    """
    length = bucket_length(every)
    value, bucket = pl.col("value"), pl.col("time").to_physical() // length
    differs = (
        (pl.col("equipment") != pl.col("equipment").shift())
        | (pl.col("signal") != pl.col("signal").shift())
        | (bucket != bucket.shift())
    )
    return (
        samples.filter(value.is_not_null(), pl.col("quality") < BAD)
        .select("equipment", "signal", "value", bucket=bucket, run=differs.fill_null(True).cum_sum())
        .set_sorted("run")  # a count that only grows: neighbours are grouped without a table of all keys
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("equipment", "signal", "bucket").first(),
            count=pl.len().cast(pl.Int64),
            sum=value.sum(),
            min=value.min(),
            max=value.max(),
        )
        .select("equipment", "signal", (pl.col("bucket") * length).cast(TIME).alias("time"), *list(SUMS)[3:])
    )


def merged(sums: pl.DataFrame) -> pl.DataFrame:
    """`SUMS` with one row for each bucket."""
    return (
        sums.group_by(_KEY)
        .agg(pl.sum("count"), pl.sum("sum"), pl.min("min"), pl.max("max"))
        .select(list(SUMS))
        .sort(_KEY)
    )
