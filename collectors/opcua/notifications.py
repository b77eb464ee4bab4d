"""OPC UA notifications to samples. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

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
    kept = table.keep_text[rows]
    raw = items["value"].to_numpy()  # null is NaN here
    value = raw * table.scale[rows] + table.offset[rows]
    valued = np.isfinite(value) & np.isfinite(raw) & ~kept
    text = _texts(items, kept)
    said = valued if text.null_count() == len(text) else valued | text.is_not_null().to_numpy()
    quality = np.where(said, SEVERITY[items["status"].to_numpy() >> 30], BAD).astype(np.uint8)
    names = table.names[rows]
    columns = {
        "time": _times(items, published),
        "equipment": names["equipment"],
        "signal": names["signal"],
        "value": pl.Series(value).zip_with(pl.Series(valued), pl.Series([None], dtype=pl.Float64)),
        "text": text,
        "quality": pl.Series(quality),
        "received": _at(received, len(rows)),
    }
    return pl.DataFrame([columns[name].alias(name) for name in SAMPLES])


def _times(items: pl.DataFrame, published: datetime) -> pl.Series:
    times = items["source_time"]
    for otherwise in (items["server_time"], _at(published, 1)):
        if not times.null_count():
            break
        times = times.zip_with(times.is_not_null(), otherwise)
    return times


def _texts(items: pl.DataFrame, kept: NDArray[np.bool_]) -> pl.Series:
    """The texts; a number of a signal that is kept as text is one too."""
    text = items["text"]
    if not kept.any():
        return text
    number = items["value"].cast(pl.String).str.replace(r"\.0$", "")
    return text.zip_with(text.is_not_null() | pl.Series(~kept), number)


def _at(time: datetime, times: int) -> pl.Series:
    return pl.Series([time]).cast(TIME).new_from_index(0, times)
