"""SHDR, the MTConnect adapter's line protocol, decoded as columns. Pure.

Source: MTConnect adapter agent protocol (github.com/mtconnect/cppagent, README, "Adapter Agent Protocol").
"""

import re
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from collectors.samples import from_text, signal_table, text_quality
from collectors.shdr.items import Items
from collectors.shdr.lines import Lines, Problem
from collectors.times import iso_time
from plant.frames import TIME
from plant.model import Signal

RECORDS = {"time": TIME, "item": pl.String, "value": pl.String, "detail": pl.String}
"""What `decode` gives: time null means the adapter sent none (the receive time stands for it); value null
means UNAVAILABLE; detail is what else a condition or a message says (native code, severity, qualifier,
text)."""

DEVICE = r"^\*\s*[dD]evice:([^\r\n]*)"
BAR = "\x1f"
"""Stands for a bar that separates nothing while a line is taken apart."""
LEVELS = ("UNAVAILABLE", "NORMAL", "WARNING", "FAULT")


def decode(text: bytes | list[str], device: str = "") -> tuple[pl.DataFrame, list[Problem]]:
    """Lines to records (`RECORDS`), in the order they came, and what could not be read.

    A line is `time|item|value`, several `item|value` pairs, a condition
    (`item|level|code|severity|qualifier|text`), a message (`item|code|text`) or a time series
    (`item|count|rate|values`), of which the last value is taken. `* ...` (protocol), `@...` (assets) and blank lines
    are passed over; after `* device: NAME` items without a device are of that one (`device`: the one before the first
    line). `\\|` in quotes is a bar in a value. Lines given as a list are whole (`lines.Lines`).
    A time without a zone is UTC; digits beyond microseconds are cut. Never raises on any input.
    """
    early: list[Problem] = []
    if isinstance(text, bytes):
        whole = Lines()
        text = [*whole.feed(text), *whole.end()]
        early = whole.problems()
    named = pl.col("text").str.extract(DEVICE, 1).str.strip_chars()
    lines = (
        pl.DataFrame({"text": text}, schema={"text": pl.String})
        .with_row_index("line", offset=1)
        .with_columns(pl.col("text").fill_null("").str.strip_chars("\r\n\0"))
        .with_columns(named.forward_fill().fill_null(device).alias("device"))
        .filter(pl.col("text").str.contains(r"\S") & ~pl.col("text").str.starts_with("*"))
        .with_columns(
            pl.col("text")
            .str.replace_all(r"\|", BAR, literal=True)
            .str.split("|")
            .list.eval(_unquoted(pl.element()))
            .alias("f")
        )
        .filter(~_field(1).str.starts_with("@").fill_null(False))
        .with_columns(pl.col("f").list.len().alias("n"), _time().alias("time"))
        .with_columns(_reason().alias("reason"))
    )
    good = lines.filter(pl.col("reason").is_null())
    records = pl.concat(
        [
            _conditions(good.filter(_is_condition())),
            _messages(good.filter(pl.col("n") == 4)),
            _series(good.filter(_is_series())),
            _pairs(good.filter(~_is_condition() & ~_is_series() & (pl.col("n") != 4))),
        ]
    ).sort("line", maintain_order=True)
    value, item = pl.col("value").str.strip_chars(), pl.col("item").str.strip_chars()
    bare = (pl.col("device") != "") & ~item.str.contains(":", literal=True)
    records = records.select(
        "time",
        pl.when(bare).then(pl.concat_str("device", item, separator=":")).otherwise(item).alias("item"),
        pl.when(value.str.to_uppercase() != "UNAVAILABLE").then(value).alias("value"),
        "detail",
    )
    return records, early + _problems(lines)


def named_device(lines: list[str], device: str) -> str:
    """The device that items without one belong to after these lines; `device`: before them."""
    for line in reversed(lines):
        if line.startswith("*") and (found := re.match(DEVICE, line)) is not None:
            return found[1].strip()
    return device


def samples(
    decoded: pl.DataFrame, signals: Sequence[Signal], received: datetime, items: Items | None = None
) -> pl.DataFrame:
    """Records as `plant.frames.SAMPLES`; items without a signal are left out.

    An item matches a signal whose address it is, with or without its `device:` prefix (`items`: what was known of the
    adapter's before). Numbers are scaled; orders and alarms stay text, and an alarm's text carries the condition's
    details.
    """
    items = items or Items(signals)
    table = signal_table(signals).with_columns(pl.col("address").str.strip_chars())
    named = decoded["item"].unique(maintain_order=True).to_list()
    addresses = {"item": named, "address": [items.address(item) for item in named]}
    known = pl.DataFrame(addresses, schema={"item": pl.String, "address": pl.String}).drop_nulls()
    joined = (
        decoded.with_row_index("row")
        .join(known, on="item", how="inner")
        .join(table, on="address", how="inner")
        .sort("row", maintain_order=True)
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


def _is_series() -> pl.Expr:
    """`item|5|100|1 2 3 4 5`: how many, how many a second (or nothing), the values."""
    return (
        (pl.col("n") == 5)
        & _field(2).str.contains(r"^\s*\d+\s*$")
        & _field(3).str.contains(r"^\s*[\d.]*\s*$")
        & _field(4).str.contains(r"^[\s\d.eE+-]*$")
    ).fill_null(False)


def _unquoted(field: pl.Expr) -> pl.Expr:
    """Bars a value has in it, and the quotes that say so."""
    barred = field.str.contains(BAR, literal=True)
    inside = field.str.extract(r'(?s)^\s*"(.*)"\s*$', 1)
    plain = pl.coalesce(inside, field).str.replace_all(BAR, "|", literal=True)
    return pl.when(barred).then(plain).otherwise(field)


def _reason() -> pl.Expr:
    names = pl.col("f").list.slice(1).list.gather_every(2)
    blank = names.list.eval(pl.element().str.strip_chars() == "").list.any().fill_null(True)
    values = _field(4).str.extract_all(r"\S+").list.len()
    uneven = values != _field(2).str.strip_chars().cast(pl.Int64, strict=False)
    return (
        pl.when(pl.col("time").is_null() & (_field(0).str.strip_chars() != ""))
        .then(pl.lit("no timestamp like 2017-05-16T12:00:00.123Z before the first '|'"))
        .when(pl.col("n") < 3)
        .then(pl.lit("fewer than three fields: time|item|value expected"))
        .when(_is_condition() | (pl.col("n") == 4))
        .then(pl.when(_field(1).str.strip_chars() == "").then(pl.lit("an item without a name")))
        .when(pl.col("n") % 2 == 0)
        .then(pl.lit("an item without a value: the number of fields after the time is odd"))
        .when(_is_series() & uneven.fill_null(True))
        .then(pl.lit("a time series (item|count|rate|values) that has not as many values as it says"))
        .when(_is_series())
        .then(None)
        .when(blank)
        .then(pl.lit("an item without a name"))
    )


def _pairs(lines: pl.DataFrame) -> pl.DataFrame:
    rest = pl.col("f").list.slice(1)
    return (
        lines.select(
            "line",
            "time",
            "device",
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
        "device",
        _field(1).alias("item"),
        _field(2).str.strip_chars().str.to_uppercase().alias("value"),
        said.list.join(" ").alias("detail"),
    )


def _messages(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select(
        "line",
        "time",
        "device",
        _field(1).alias("item"),
        _field(3).alias("value"),
        _field(2).str.strip_chars().alias("detail"),
    )


def _series(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select(
        "line",
        "time",
        "device",
        _field(1).alias("item"),
        _field(4).str.extract(r"(\S+)\s*$", 1).alias("value"),
        pl.lit(None, pl.String).alias("detail"),
    )


def _problems(lines: pl.DataFrame) -> list[Problem]:
    bad = (
        lines.filter(pl.col("reason").is_not_null())
        .group_by("reason", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("line").first(), pl.col("text").first().str.slice(0, 120))
    )
    return [Problem(**row) for row in bad.to_dicts()]
