"""Numbers thinned out to buckets, a batch at a time."""

from collections.abc import Iterable
from datetime import timedelta

import polars as pl

from infra.historians.samples import KEY, SERIES
from plant.frames import BAD, SAMPLES, TIME, TREND, empty

_PENDING_ROWS = 1_000_000
_SUMS = ("sum", "min", "max", "count")


def bucket_length(every: timedelta) -> int:
    """Microseconds of a bucket. Raises ValueError unless it is longer than nothing."""
    length = every // timedelta(microseconds=1)
    if length <= 0:
        raise ValueError(f"a trend needs buckets longer than nothing, not {every}")
    return length


def thinned(batches: Iterable[pl.DataFrame], every: timedelta) -> pl.DataFrame:
    """`plant.frames.TREND` of samples, each in one batch only, in any order.

    Holds the buckets and one batch. Raises ValueError unless `every` is positive.
    """
    length = bucket_length(every)
    held = [_sums(empty(SAMPLES), length)]
    rows, limit = 0, _PENDING_ROWS
    for batch in batches:
        held.append(_sums(batch, length))
        rows += held[-1].height
        if rows > limit:
            held = [_merged(held)]
            rows = held[0].height
            limit = rows + _PENDING_ROWS
    mean = pl.col("sum") / pl.col("count")
    return _merged(held).with_columns(mean=mean).select(TREND.keys()).sort(KEY)


def _sums(samples: pl.DataFrame, length: int) -> pl.DataFrame:
    bucket = (pl.col("time").to_physical() // length * length).cast(TIME)
    value = pl.col("value")
    return (
        samples.lazy()
        .filter(value.is_not_null(), pl.col("quality") < BAD)
        .group_by(*SERIES, bucket.alias("time"))
        .agg(sum=value.sum(), min=value.min(), max=value.max(), count=pl.len().cast(pl.Int64))
        .collect()
    )


def _merged(sums: list[pl.DataFrame]) -> pl.DataFrame:
    return (
        pl.concat(sums)
        .group_by(KEY)
        .agg(pl.sum("sum"), pl.min("min"), pl.max("max"), pl.sum("count"))
        .select(*KEY, *_SUMS)
    )
