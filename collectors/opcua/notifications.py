"""OPC UA notifications to samples. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collectors.samples import signal_table
from plant.frames import BAD, GOOD, SAMPLES, TIME, UNCERTAIN
from plant.model import Signal

OVERFLOW = 0x480
"""The bits of a status code that say values were lost before this one (OPC 10000-4, 7.39)."""
SEVERITY = np.array([GOOD, UNCERTAIN, BAD, BAD], np.uint8)
"""By the two highest bits of a status code (OPC 10000-4, 7.39)."""
NO_NUMBER = pl.Series([None], dtype=pl.Float64)
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def utc(time: datetime) -> datetime:
    """The library's times, which are UTC with or without saying so."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Handles:
    """Client handle to signal, made to be looked up by the thousand."""

    rows: NDArray[np.int64]
    """By handle: its row in what follows; -1: nobody's."""
    names: pl.DataFrame
    """Columns equipment, signal."""
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    keep_text: NDArray[np.bool_]

    def rows_of(self, items: pl.DataFrame) -> NDArray[np.int64]:
        """The row of each notification; -1: it is nobody's."""
        given = items["handle"].to_numpy()
        found: NDArray[np.int64] = self.rows[np.minimum(given, len(self.rows) - 1)]
        return found


def handles(signals: Mapping[int, Signal]) -> Handles:
    """What `to_frame` needs of the signals, by their handles."""
    table = signal_table(signals.values())
    rows = np.full(max(signals, default=-1) + 2, -1)  # the last one is for handles beyond
    rows[list(signals)] = np.arange(len(signals))
    return Handles(
        rows,
        table.select("equipment", "signal"),
        table["scale"].to_numpy(),
        table["offset"].to_numpy(),
        table["keep_text"].to_numpy(),
    )


def to_frame(items: pl.DataFrame, table: Handles, published: datetime, received: datetime) -> pl.DataFrame:
    """SAMPLES from `collectors.opcua.publish.NOTIFICATIONS`, in their order; those of nobody are left out.

    The source's timestamp counts, then the server's, then when it was published. A value that is not finite, raw or
    scaled, is no value and BAD. Arrays and series only: an expression costs as much as a hundred notifications.
    """
    rows = table.rows_of(items)
    if not (known := rows >= 0).all():
        items, rows = items.filter(pl.Series(known)), rows[known]
    _, source_time, server_time, given, text, status = items.get_columns()
    kept = table.keep_text[rows]
    raw = given.to_numpy()  # null is NaN here
    value = raw * table.scale[rows] + table.offset[rows]
    valued = np.isfinite(value) & np.isfinite(raw) & ~kept
    if kept.any():  # a number of a signal that is kept as text is one too
        number = given.cast(pl.String).str.replace(r"\.0$", "")
        text = text.zip_with(pl.Series(there(text) | ~kept), number)
    quality = np.where(valued | there(text), SEVERITY[status.to_numpy() >> 30], BAD).astype(np.uint8)
    columns = {
        "time": _first_said(source_time, server_time, _at(published, len(rows))),
        "value": pl.Series(value)
        if valued.all()
        else pl.Series(value).zip_with(pl.Series(valued), NO_NUMBER),
        "text": text,
        "quality": pl.Series(quality),
        "received": _at(received, len(rows)),
    }
    made = {name: column.alias(name) for name, column in columns.items()}
    made |= {column.name: column for column in table.names[rows].get_columns()}
    return pl.DataFrame([made[name] for name in SAMPLES])


def there(column: pl.Series) -> NDArray[np.bool_]:
    """Where a column is not null."""
    if (nulls := column.null_count()) in (0, len(column)):
        return np.full(len(column), nulls == 0)
    found: NDArray[np.bool_] = column.is_not_null().to_numpy()
    return found


def _first_said(*times: pl.Series) -> pl.Series:
    said = times[0]
    for otherwise in times[1:]:
        if not said.null_count():
            break
        said = said.zip_with(pl.Series(there(said)), otherwise)
    return said


def _at(time: datetime, times: int) -> pl.Series:
    return pl.Series(np.full(times, (time - EPOCH) // MICROSECOND)).cast(TIME)
