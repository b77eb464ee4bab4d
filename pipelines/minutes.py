"""Numbers in buckets of time: how many, their sum, least and most."""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from pipelines.thin import Numbers, begins_series
from plant.frames import BAD, TIME, empty

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
_PIECE = 100_000


def bucket_length(every: timedelta) -> int:
    """Microseconds of a bucket. Raises ValueError unless it is longer than nothing."""
    length = every // timedelta(microseconds=1)
    if length <= 0:
        raise ValueError(f"a trend needs buckets longer than nothing, not {every}")
    return length


def bucketed(samples: pl.LazyFrame, every: timedelta) -> pl.LazyFrame:
    """`SUMS` of samples (`plant.frames.SAMPLES`) by buckets of length `every`.

    Only samples with a number and a quality better than BAD count. Neighbours are summed as they come, which streams
    at the speed of reading. Of samples sorted by (equipment, signal, time) nearly all rows are whole buckets; one that
    two pieces of a streaming query share has a row of each, so the result is to be `merged`.
    Raises ValueError unless `every` is longer than nothing.
    """
    length = bucket_length(every)
    return samples.select("equipment", "signal", "time", "value", "quality").map_batches(
        lambda rows: empty(SUMS) if rows.is_empty() else summed(rows, begins_series(rows), length),
        schema=dict(SUMS),
        streamable=True,
        predicate_pushdown=False,
        projection_pushdown=False,
    )


def summed(rows: pl.DataFrame, begins: Numbers, length: int) -> pl.DataFrame:
    """`SUMS` of neighbours among these rows, of which there are some. `length`: of a bucket, in microseconds; `begins`:
    `begins_series` of the rows."""
    if rows["value"].null_count() or (rows["quality"].to_numpy() >= BAD).any():
        rows = rows.filter(pl.col("value").is_not_null(), pl.col("quality") < BAD)
        if rows.is_empty():
            return empty(SUMS)
        begins = begins_series(rows)
    value = rows["value"].to_numpy()
    bucket = rows["time"].to_numpy().view(np.int64) // length
    begins = begins.copy()
    begins[1:] |= bucket[1:] != bucket[:-1]
    first = np.flatnonzero(begins)
    columns = {
        "equipment": rows["equipment"][first],
        "signal": rows["signal"][first],
        "time": pl.Series(bucket[first] * length).cast(TIME),
        "count": pl.Series(np.diff(first, append=rows.height)).cast(pl.Int64),
        "sum": pl.Series(np.add.reduceat(value, first)),
        "min": pl.Series(np.minimum.reduceat(value, first)),
        "max": pl.Series(np.maximum.reduceat(value, first)),
    }
    return pl.DataFrame(columns, schema=dict(SUMS))


def merged(sums: pl.DataFrame) -> pl.DataFrame:
    """`SUMS` with one row for each bucket, sorted by equipment, signal and time."""
    rows = sums.select(list(SUMS))
    if rows.is_empty():
        return rows
    if not _in_order(rows):
        rows = rows.sort(_KEY, maintain_order=True)
    done: list[pl.DataFrame] = []
    for piece in rows.iter_slices(_PIECE):  # all at once, more than twice the table would be held
        if done:
            piece, done[-1] = pl.concat([done[-1].tail(1), piece]), done[-1].head(-1)
        done.append(_added(piece))
    return pl.concat(done, rechunk=False)


def _added(rows: pl.DataFrame) -> pl.DataFrame:
    """Neighbours that are of one bucket made one."""
    begins = begins_series(rows)
    time = rows["time"].to_numpy()
    begins[1:] |= time[1:] != time[:-1]
    if begins.all():
        return rows
    first = np.flatnonzero(begins)
    added = {"count": np.add, "sum": np.add, "min": np.minimum, "max": np.maximum}
    return rows[first].with_columns(
        pl.Series(name, how.reduceat(rows[name].to_numpy(), first)) for name, how in added.items()
    )


def _in_order(rows: pl.DataFrame) -> bool:
    """Whether rows are sorted by `_KEY`; sorting those of a long history by name takes much time and memory."""
    begins = begins_series(rows)
    time = rows["time"].to_numpy()
    if ((time[1:] < time[:-1]) & ~begins[1:]).any():
        return False
    names = rows.filter(begins).select("equipment", "signal").rows()
    return names == sorted(names)
