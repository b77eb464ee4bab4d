"""Decoded OPC UA data change notifications to columns. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from collectors.samples import signal_table, to_samples
from plant.frames import BAD, GOOD, TIME, UNCERTAIN
from plant.model import Signal

COLUMNS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "handle": pl.UInt32,
    "time": TIME,
    "value": pl.Float64,
    "text": pl.String,
    "quality": pl.UInt8,
}
SEVERITY = (GOOD, UNCERTAIN, BAD, BAD)
"""By the two highest bits of a status code (OPC 10000-4, 7.39)."""


def utc(time: datetime) -> datetime:
    """The library's times, which are UTC with or without saying so."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def handles(signals: Sequence[Signal]) -> pl.DataFrame:
    """Client handle (the signal's place in the list) to signal."""
    return signal_table(signals).with_row_index("handle")


def to_frame(
    items: Iterable[Any], table: pl.DataFrame, published: datetime, received: datetime
) -> pl.DataFrame:
    """SAMPLES from `MonitoredItemNotification`s (ClientHandle, Value: a DataValue), in their order.

    The source's timestamp counts, then the server's, then when it was published. A BAD status has no value,
    whatever the server sent with it. Numbers and booleans are numbers, texts are texts; a structure or an
    array is no value.
    """
    rows = [_row(item.ClientHandle, item.Value, published) for item in items]
    got = pl.DataFrame(rows, schema=dict(COLUMNS), orient="row").join(
        table, on="handle", how="inner", maintain_order="left"
    )
    as_text = pl.when(pl.col("keep_text") & pl.col("text").is_null()).then(
        pl.col("value").cast(pl.String).str.replace(r"\.0$", "")
    )
    return to_samples(
        got.with_columns(pl.coalesce("text", as_text).alias("text")).with_columns(
            pl.when(~pl.col("keep_text")).then("value").alias("value")
        ),
        received,
    )


def _row(handle: int, data: Any, published: datetime) -> tuple[int, datetime, float | None, str | None, int]:
    time = data.SourceTimestamp or data.ServerTimestamp
    quality = SEVERITY[(data.StatusCode.value >> 30) & 3] if data.StatusCode is not None else GOOD
    number: float | None = None
    text: str | None = None
    given = data.Value.Value if data.Value is not None and quality != BAD else None
    if isinstance(given, bool | int | float):
        number = float(given)
    elif isinstance(given, str):
        text = given
    elif isinstance(said := getattr(given, "Text", None), str):  # LocalizedText
        text = said
    elif isinstance(given, datetime):
        text = utc(given).isoformat()
    return handle, utc(time) if time is not None else published, number, text, quality
