"""SHDR, the MTConnect adapter's line protocol, decoded as columns. Pure.

Source: MTConnect adapter agent protocol (github.com/mtconnect/cppagent, README, "Adapter Agent Protocol").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from collectors.samples import from_text, signal_table, text_quality
from collectors.times import iso_time
from plant.frames import TIME
from plant.model import Signal

RECORDS = {"time": TIME, "item": pl.String, "value": pl.String, "detail": pl.String}
"""What `decode` gives: time null means the adapter sent none (the receive time stands for it); value null
means UNAVAILABLE; detail is what else a condition or a message says (native code, severity, qualifier,
text)."""

LEVELS = ("UNAVAILABLE", "NORMAL", "WARNING", "FAULT")


@dataclass(frozen=True, slots=True)
class Problem:
    """Lines of one kind that were left out: how many, and the first of them (line counts from 1)."""

    reason: str
    count: int
    line: int
    text: str


def decode(text: bytes | list[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """Lines to records (`RECORDS`), in the order they came, and what could not be read.

    A line is `time|item|value`, several `item|value` pairs, a condition
    (`item|level|code|severity|qualifier|text`) or a message (`item|code|text`). `* ...` (protocol), `@...`
    (assets) and blank lines are passed over.
    A time without a zone is UTC; digits beyond microseconds are cut. Never raises on any input.
    """
    raw = text.decode("utf-8", "replace").split("\n") if isinstance(text, bytes) else text
    lines = (
        pl.DataFrame({"text": raw}, schema={"text": pl.String})
        .with_row_index("line", offset=1)
        .with_columns(pl.col("text").fill_null("").str.strip_chars("\r\n\0"))
        .filter(pl.col("text").str.contains(r"\S") & ~pl.col("text").str.starts_with("*"))
        .with_columns(pl.col("text").str.split("|").alias("f"))
        .filter(~_field(1).str.starts_with("@").fill_null(False))
        .with_columns(pl.col("f").list.len().alias("n"), _time().alias("time"))
        .with_columns(_reason().alias("reason"))
    )
    good = lines.filter(pl.col("reason").is_null())
    records = pl.concat(
        [
            _conditions(good.filter(_is_condition())),
            _messages(good.filter(pl.col("n") == 4)),
            _pairs(good.filter(~_is_condition() & (pl.col("n") != 4))),
        ]
    ).sort("line", maintain_order=True)
    value = pl.col("value").str.strip_chars()
    records = records.select(
        "time",
        pl.col("item").str.strip_chars(),
        pl.when(value.str.to_uppercase() != "UNAVAILABLE").then(value).alias("value"),
        "detail",
    )
    return records, _problems(lines)


def samples(decoded: pl.DataFrame, signals: Iterable[Signal], received: datetime) -> pl.DataFrame:
    """Records as `plant.frames.SAMPLES`; items without a signal are left out.

    An item matches a signal whose address it is, with or without its `device:` prefix. Numbers are scaled;
    orders and alarms stay text, and an alarm's text carries the condition's details.
    """
    table = signal_table(signals)
    joined = (
        decoded.with_row_index("row")
        .with_columns(
            pl.when(pl.col("item").is_in(table["address"].to_list()))
            .then(pl.col("item"))
            .otherwise(pl.col("item").str.replace(r"^[^:]*:", ""))
            .alias("address")
        )
        .join(table, on="address", how="inner")
        .sort("row")
    )
    columns = joined.rename({"value": "raw"}).with_columns(
        pl.col("time").fill_null(pl.lit(received).cast(TIME)),
        text_quality(pl.col("raw")).alias("quality"),
    )
    return from_text(columns, received)


def _field(index: int) -> pl.Expr:
    return pl.col("f").list.get(index, null_on_oob=True)


def _time() -> pl.Expr:
    # "time@duration" is a time with the duration of the value; the time is what counts.
    return iso_time(_field(0).str.replace(r"@.*$", ""))


def _is_condition() -> pl.Expr:
    # A condition and three pairs both have seven fields. The level tells them apart, except UNAVAILABLE,
    # which every item can be: there a condition's native code is empty, where a pair would have the next
    # item's name.
    level = _field(2).str.strip_chars().str.to_uppercase()
    return (
        (pl.col("n") == 7)
        & level.is_in(LEVELS)
        & ((level != "UNAVAILABLE") | (_field(3) == "")).fill_null(False)
    )


def _reason() -> pl.Expr:
    names = pl.col("f").list.slice(1).list.gather_every(2)
    blank = names.list.eval(pl.element().str.strip_chars() == "").list.any().fill_null(True)
    series = (pl.col("n") == 5) & (_field(3).str.contains(r"^\s*[\d.]*\s*$"))
    return (
        pl.when(pl.col("time").is_null() & (_field(0).str.strip_chars() != ""))
        .then(pl.lit("no timestamp like 2017-05-16T12:00:00.123Z before the first '|'"))
        .when(pl.col("n") < 3)
        .then(pl.lit("fewer than three fields: time|item|value expected"))
        .when(_is_condition() | (pl.col("n") == 4))
        .then(pl.when(_field(1).str.strip_chars() == "").then(pl.lit("an item without a name")))
        .when(pl.col("n") % 2 == 0)
        .then(pl.lit("an item without a value: the number of fields after the time is odd"))
        .when(series)
        .then(pl.lit("a time series (count, rate, values): not supported"))
        .when(blank)
        .then(pl.lit("an item without a name"))
    )


def _pairs(lines: pl.DataFrame) -> pl.DataFrame:
    rest = pl.col("f").list.slice(1)
    return (
        lines.select(
            "line",
            "time",
            rest.list.gather_every(2).alias("item"),
            rest.list.gather_every(2, 1).alias("value"),
        )
        .explode("item", "value")
        .with_columns(pl.lit(None, pl.String).alias("detail"))
    )


def _conditions(lines: pl.DataFrame) -> pl.DataFrame:
    said = (
        pl.col("f")
        .list.slice(3)
        .list.eval(pl.element().str.strip_chars().replace("", None))
        .list.drop_nulls()
    )
    return lines.select(
        "line",
        "time",
        _field(1).alias("item"),
        _field(2).str.strip_chars().str.to_uppercase().alias("value"),
        said.list.join(" ").alias("detail"),
    )


def _messages(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select(
        "line",
        "time",
        _field(1).alias("item"),
        _field(3).alias("value"),
        _field(2).str.strip_chars().alias("detail"),
    )


def _problems(lines: pl.DataFrame) -> list[Problem]:
    bad = (
        lines.filter(pl.col("reason").is_not_null())
        .group_by("reason", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("line").first(), pl.col("text").first().str.slice(0, 120))
    )
    return [Problem(**row) for row in bad.to_dicts()]
