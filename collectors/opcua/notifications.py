"""Decoded OPC UA notifications to samples. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from collectors.samples import signal_table, to_samples
from plant.frames import BAD, GOOD, TIME, UNCERTAIN
from plant.model import Signal

OVERFLOW = 0x480
"""The bits of a status code that say values were lost before this one (OPC 10000-4, 7.39)."""


def utc(time: datetime) -> datetime:
    """The library's times, which are UTC with or without saying so."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def handles(signals: Mapping[int, Signal]) -> pl.DataFrame:
    """Client handle to signal."""
    return signal_table(signals.values()).with_columns(pl.Series("handle", list(signals), pl.UInt32))


def quality() -> pl.Expr:
    """Of column `status`: by the two highest bits of a status code (OPC 10000-4, 7.39)."""
    severity = pl.col("status") // 2**30
    return (
        pl.when(severity == 0)
        .then(pl.lit(GOOD))
        .when(severity == 1)
        .then(pl.lit(UNCERTAIN))
        .otherwise(pl.lit(BAD))
    )


def to_frame(
    items: pl.DataFrame, table: pl.DataFrame, published: datetime, received: datetime
) -> pl.DataFrame:
    """SAMPLES from `collectors.opcua.publish.NOTIFICATIONS`, in their order.

    The source's timestamp counts, then the server's, then when it was published.
    """
    got = items.join(table, on="handle", how="inner", maintain_order="left").with_columns(
        pl.coalesce("source_time", "server_time", pl.lit(published).cast(TIME)).alias("time"),
        quality().alias("quality"),
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
