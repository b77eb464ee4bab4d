"""What every historian does to a frame of samples: check it on the way in, make it unique on the way out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from plant.frames import BAD, SAMPLES, TIME, Window

KEY = ("equipment", "signal", "time")
SERIES = ("equipment", "signal")
_REST = tuple(name for name in SAMPLES if name not in SERIES)
_REQUIRED = ("time", "equipment", "signal", "quality", "received")


def checked(samples: pl.DataFrame) -> pl.DataFrame:
    """The frame with exactly the columns of `SAMPLES`, in that order.

    Raises ValueError naming the column: a missing or wrongly typed one, a null in a key, a value that is
    not finite, an unknown quality. No historian can store such a frame; writing it again does not help.
    """
    for name, dtype in SAMPLES.items():
        if name not in samples.columns:
            raise ValueError(f"samples have no column {name!r}; expected {', '.join(SAMPLES)}")
        if samples.schema[name] != dtype:
            raise ValueError(f"samples column {name!r} is {samples.schema[name]}, expected {dtype}")
    for name in _REQUIRED:
        if samples[name].null_count():
            raise ValueError(f"samples column {name!r} has {samples[name].null_count()} rows without a value")
    if not samples["value"].is_finite().all():
        raise ValueError("samples column 'value' holds NaN or infinity; a sample without a value is null")
    unknown = samples["quality"].max()
    if isinstance(unknown, int) and unknown > BAD:
        raise ValueError(f"samples column 'quality' holds {unknown}; 0 is good, 1 uncertain, 2 bad")
    return samples[list(SAMPLES)]


def unique(samples: pl.DataFrame) -> pl.DataFrame:
    """Sorted by (equipment, signal, time), one row per key: received last, of equals last in the frame."""
    # Batches come nearly in the order of time: sorting by it and grouping by name beats sorting by name.
    series = samples.sort("time", "received", maintain_order=True).group_by(SERIES, maintain_order=True).all()
    ordered = series.sort(SERIES).explode(_REST).select(SAMPLES.keys())
    times = ordered["time"]
    return _newest(ordered, KEY) if (times == times.shift(-1)).any() else ordered


def newest(samples: pl.DataFrame) -> pl.DataFrame:
    """The newest row of each (equipment, signal) of a frame `unique` has sorted."""
    return _newest(samples, SERIES)


def _newest(ordered: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    return ordered.filter(pl.any_horizontal(pl.col(k).ne_missing(pl.col(k).shift(-1)) for k in key))


def chosen(window: Window, equipment: Sequence[str] | None, signals: Sequence[str] | None) -> pl.Expr:
    """The rows a read asks for. An empty sequence asks for none, None for all."""
    rows = (pl.col("time") >= instant(window.start)) & (pl.col("time") < instant(window.end))
    if equipment is not None:
        rows &= pl.col("equipment").is_in(list(equipment))
    if signals is not None:
        rows &= pl.col("signal").is_in(list(signals))
    return rows


def instant(at: datetime) -> pl.Expr:
    """A time with any zone as a literal that compares with `SAMPLES` times."""
    return pl.lit(microseconds(at)).cast(TIME)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """The UTC time of `microseconds`."""
    return _EPOCH + timedelta(microseconds=us)
