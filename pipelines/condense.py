"""A long history read once: the few samples that facts follow from, and the minutes of its process variables."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from pipelines.minutes import SUMS, bucket_length, merged, summed
from pipelines.thin import Chosen, Thinning, begins_series
from plant.frames import SAMPLES
from plant.model import Plant, Role

_TOLD: Mapping[str, pl.DataType | type[pl.DataType]] = {
    name: kind for name, kind in SAMPLES.items() if name != "received"
}
CONDENSED: Mapping[str, pl.DataType | type[pl.DataType]] = {**_TOLD, **SUMS}
"""Samples, whose `count` is null, and sums of minutes."""
_NONE = pl.DataFrame(schema=dict(CONDENSED))


def condensed(samples: pl.LazyFrame, plant: Plant) -> pl.LazyFrame:
    """`CONDENSED`: what `pipelines.thin.thin` keeps of samples, and sums of each minute of a process variable.

    `samples` as `thin` wants them; only those of process variables with a number and a quality better than BAD are
    summed. Each piece a streaming query hands over is condensed by itself, so memory is bounded: sink the result, and take
    it apart with `thinned` and `minutes`. Reading is most of the work, so both are made of one reading.
    """
    keys = [(s.equipment, s.id) for s in plant.signals.values() if s.role is Role.PROCESS_VALUE]
    variables = Chosen(pl.DataFrame(keys, schema={"equipment": pl.String, "signal": pl.String}, orient="row"))
    thinning, minute = Thinning(plant), bucket_length(timedelta(minutes=1))

    def piece(rows: pl.DataFrame) -> pl.DataFrame:
        if rows.is_empty():
            return _NONE
        begins = begins_series(rows)
        found = [_NONE, thinning.thinned(rows, begins)]
        if begins[1:].any():
            found.append(variables.of(summed(rows, begins, minute)))
        elif variables.has(rows):
            found.append(summed(rows, begins, minute))
        return pl.concat(found, how="diagonal")

    return samples.select(list(_TOLD)).map_batches(
        piece, schema=dict(CONDENSED), streamable=True, predicate_pushdown=False, projection_pushdown=False
    )


def thinned(found: pl.LazyFrame) -> pl.LazyFrame:
    """Of `condensed` rows, what `pipelines.thin.thin` keeps; `received` is missing."""
    return found.filter(pl.col("count").is_null()).select(list(_TOLD))


def minutes(found: pl.LazyFrame) -> pl.DataFrame:
    """Of `condensed` rows, `SUMS` of the process variables by the minute, sorted by equipment, signal and time."""
    return merged(found.filter(pl.col("count").is_not_null()).select(list(SUMS)).collect(engine="streaming"))
