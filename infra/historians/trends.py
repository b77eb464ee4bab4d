"""Numbers thinned out to buckets, a batch at a time."""

from collections.abc import Iterable
from datetime import timedelta

import polars as pl

from pipelines.minutes import SUMS, bucket_length, bucketed, merged
from plant.frames import TREND, empty

_PENDING_ROWS = 1_000_000


def thinned(batches: Iterable[pl.DataFrame], every: timedelta) -> pl.DataFrame:
    """`plant.frames.TREND` of samples, each in one batch only, in any order.

    Holds the buckets and one batch. Raises ValueError unless `every` is positive.
    """
    bucket_length(every)
    held = [empty(SUMS)]
    rows, limit = 0, _PENDING_ROWS
    for batch in batches:
        held.append(bucketed(batch.lazy(), every).collect())
        rows += held[-1].height
        if rows > limit:
            held = [merged(pl.concat(held))]
            rows = held[0].height
            limit = rows + _PENDING_ROWS
    mean = pl.col("sum") / pl.col("count")
    return merged(pl.concat(held)).with_columns(mean=mean).select(TREND.keys())
