"""From decoded columns to `plant.frames.SAMPLES`. Pure."""

from collections.abc import Iterable
from datetime import datetime

import polars as pl

from plant.frames import BAD, GOOD, SAMPLES, TIME
from plant.model import Role, Signal

TEXT_ROLES = (Role.ORDER, Role.MATERIAL, Role.ALARM)
"""Roles whose values stay text: "0042" is an order number, not 42."""

NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
"""What counts as a number in text; "inf", "nan" and "0x10" do not."""

SIGNAL_KEYS = {
    "address": pl.String,
    "equipment": pl.String,
    "signal": pl.String,
    "scale": pl.Float64,
    "offset": pl.Float64,
    "keep_text": pl.Boolean,
}


def number(text: pl.Expr) -> pl.Expr:
    """The finite number a text is, null when it is none."""
    value = text.str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(text.str.contains(NUMBER) & value.is_finite()).then(value)


def signal_table(signals: Iterable[Signal]) -> pl.DataFrame:
    """Signals as a frame to join on, one row each (columns `SIGNAL_KEYS`)."""
    rows = [(s.address, s.equipment, s.id, s.scale, s.offset, s.role in TEXT_ROLES) for s in signals]
    return pl.DataFrame(rows, schema=SIGNAL_KEYS, orient="row")


def scaled() -> pl.Expr:
    """Column `value` in the signal's unit; null when that is not finite."""
    value = pl.col("value") * pl.col("scale") + pl.col("offset")
    return pl.when(value.is_finite()).then(value)


def to_samples(decoded: pl.DataFrame, received: datetime) -> pl.DataFrame:
    """SAMPLES from columns time, equipment, signal, value, text, quality, scale, offset.

    A value that is not finite, raw or scaled, is no value and BAD: NaN must not reach a sum.
    """
    return decoded.select(
        pl.col("time").cast(TIME),
        "equipment",
        "signal",
        scaled().alias("value"),
        "text",
        pl.when(scaled().is_null() & pl.col("text").is_null())
        .then(pl.lit(BAD))
        .otherwise(pl.col("quality"))
        .cast(pl.UInt8)
        .alias("quality"),
        pl.lit(received).cast(TIME).alias("received"),
    )


def from_text(joined: pl.DataFrame, received: datetime) -> pl.DataFrame:
    """SAMPLES from columns time, raw (text; null: no value), detail, quality and those of `signal_table`.

    A raw text that is a number is one, scaled; orders and alarms stay text, with the detail behind it.
    """
    raw = pl.col("raw")
    detail = pl.when(pl.col("keep_text") & (pl.col("detail") != "")).then(pl.col("detail"))
    columns = joined.with_columns(pl.when(~pl.col("keep_text")).then(number(raw)).alias("value"))
    text = pl.when(pl.col("value").is_null() & raw.is_not_null()).then(
        pl.concat_str(raw, detail, separator=" ", ignore_nulls=True)
    )
    return to_samples(columns.with_columns(text.alias("text")), received)


def no_value(signals: Iterable[Signal], time: datetime) -> pl.DataFrame:
    """One BAD sample without a value per signal: what a lost connection says."""
    rows = [(time, s.equipment, s.id, None, None, BAD, time) for s in signals]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def text_quality(raw: pl.Expr) -> pl.Expr:
    """GOOD where there is a value, BAD where there is none."""
    return pl.when(raw.is_null()).then(pl.lit(BAD)).otherwise(pl.lit(GOOD)).cast(pl.UInt8)
