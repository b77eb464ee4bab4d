"""Samples as InfluxDB line protocol, built column-wise in polars.

One line per sample: `signals,equipment=E,signal=S [value=F,][text="T",]holds=Hi,quality=Qi,received=Ri TIME`,
times in microseconds since 1970. InfluxDB overwrites field by field, so a number written over a text would
leave the text; `holds` says what the newest line had: NUMBER, TEXT, both or neither.
https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import polars as pl

from infra.historians.samples import SERIES

MEASUREMENT = "signals"
NUMBER, TEXT = 1, 2
POST_BYTES = 4_000_000
"""A post is about this long: servers refuse 10 MB (3.x) or 25 MB (1.x)."""

_UNSAFE = re.compile(r"[%\\\x00-\x1f\x7f]")
_SPECIAL = re.compile(r"([,= ])")
_EMPTY = "%"


def posts(samples: pl.DataFrame) -> Iterator[bytes]:
    """The bodies of the writes that store a checked, unique frame; their precision is "us"."""
    frame = lines(samples).to_frame("line")
    part = (pl.col("line").str.len_bytes().cast(pl.Int64).cum_sum() // POST_BYTES).alias("part")
    for post in frame.with_columns(part).partition_by("part", maintain_order=True):
        yield "\n".join(post["line"].to_list()).encode()


def lines(samples: pl.DataFrame) -> pl.Series:
    """One line per sample, in the order of the frame. Values must be finite (`SAMPLES`)."""
    series = samples.select(SERIES).unique()
    prefix = [f"{MEASUREMENT},equipment={_tag(e)},signal={_tag(s)} " for e, s in series.iter_rows()]
    prefixed = samples.join(
        series.with_columns(prefix=pl.Series(prefix, dtype=pl.String)),
        on=SERIES,
        how="left",
        maintain_order="left",
    )
    text = (
        pl.col("text").str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    )
    holds = (
        pl.col("value").is_not_null().cast(pl.Int8) * NUMBER
        + pl.col("text").is_not_null().cast(pl.Int8) * TEXT
    )
    line = pl.concat_str(
        pl.col("prefix"),
        pl.format("value={},", pl.col("value")),
        pl.format('text="{}",', text),
        pl.format("holds={}i,quality={}i,received={}i ", holds, "quality", pl.col("received").to_physical()),
        pl.col("time").to_physical(),
        ignore_nulls=True,
    )
    return prefixed.select(line.alias("line"))["line"]


def encoded(name: str) -> str:
    """A name as the tag value that is stored: what line protocol cannot carry is percent-encoded."""
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name) or _EMPTY


def decoded(tag: str) -> str:
    """The name that `encoded` made a tag value of."""
    return "" if tag == _EMPTY else unquote(tag)


def _tag(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", encoded(name))
