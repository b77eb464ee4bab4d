"""Samples as line protocol: how they lie in InfluxDB.

Samples are wide: one line per equipment and time, `signals,equipment=E f:meta=Mi,f=1.5,... TIME`, with up to
three fields for a signal f. `f` is its number and `f:text` its text, each only when the sample has one; `f:meta`
is always there: received * 100 + holds * 10 + quality. InfluxDB overwrites field by field, so a number written
over a text would leave the text; `holds` says which of the two the newest write had: NUMBER, TEXT, both or
neither. Times, and received, are microseconds since 1970.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast
from urllib.parse import unquote

import polars as pl

from infra.historians.influx.protocol import POST_BYTES, encoded, escaped, inside_quotes, written
from infra.historians.samples import SERIES
from plant.frames import SAMPLES, TIME

MEASUREMENT = "signals"
TAG = "equipment"
TEXT_SUFFIX, META_SUFFIX = ":text", ":meta"
NUMBER, TEXT = 1, 2
EARLIEST, LATEST = -9_223_372_036_854_775, 9_223_372_036_854_775
"""What a signed 64 bit number of nanoseconds can say, in microseconds: the years 1677 to 2262."""

_UNSAFE_IN_FIELD = re.compile(r'[%\\:"\x00-\x1f\x7f]')
_RESERVED = ("time", TAG)
_SAMPLE_BYTES = 45
"""Of a sample beside its names and text: meta, number, punctuation."""


def encoded_tag(name: str) -> str:
    """A name as the tag value that is stored: what line protocol cannot carry is percent-encoded."""
    return encoded(name)


def encoded_field(name: str) -> str:
    """A name as the field that is stored: what line protocol, InfluxQL or the suffixes cannot carry is
    percent-encoded. No field may be called time, and 3.x wants tags and fields to differ."""
    if name in _RESERVED:
        return f"%{ord(name[0]):02X}{name[1:]}"
    return encoded(name, _UNSAFE_IN_FIELD)


def decoded(stored: str) -> str:
    """The name that `encoded_tag` or `encoded_field` made this of."""
    return "" if stored == encoded("") else unquote(stored)


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples in the order of their lines, one row per key."""

    rows: pl.DataFrame
    """equipment, signal (positions in the names), time, received (microseconds), value, text, quality."""
    equipment: pl.Series
    signals: pl.Series

    @classmethod
    def of(cls, samples: pl.DataFrame) -> "Batch":
        """Of a checked frame in any order; of equal keys the row received last, of equals last in the frame."""
        equipment, signals = (samples[name].unique().sort() for name in SERIES)
        numbered = samples.select(
            pl.col("equipment").cast(pl.Enum(equipment)).to_physical().cast(pl.UInt32),
            pl.col("signal").cast(pl.Enum(signals)).to_physical().cast(pl.UInt32),
            pl.col("time", "received").to_physical(),
            "value",
            "text",
            "quality",
        )
        return cls(_in_lines(numbered, len(equipment), len(signals)), equipment, signals)

    def __len__(self) -> int:
        return self.rows.height

    def part(self, rows: pl.DataFrame) -> "Batch":
        """Some of the rows, in their order."""
        return Batch(rows, self.equipment, self.signals)

    def samples(self) -> pl.DataFrame:
        """`plant.frames.SAMPLES` of them."""
        return self.rows.with_columns(
            self.equipment.gather(self.rows["equipment"]),
            self.signals.gather(self.rows["signal"]),
            pl.col("time", "received").cast(TIME),
        ).select(SAMPLES.keys())

    def lines(self) -> int:
        """How many lines they are."""
        return int(self.rows.select(_begins().sum()).item())

    def posts(self, longest: int = POST_BYTES) -> "Iterator[Batch]":
        """Parts whose bodies are about `longest` bytes, cut between lines."""
        texts = self.rows["text"].str.len_bytes()
        name = self.signals.str.len_bytes().cast(pl.Int64) * 2 + _SAMPLE_BYTES
        if len(self) * cast(int, name.max() or 0) + texts.sum() < longest:
            yield self
            return
        length = name.gather(self.rows["signal"]) + texts.fill_null(0)
        starts = (
            self.rows.select(_begins().alias("begins"), part=(length.cum_sum() - length) // longest)
            .with_row_index("row")
            .filter("begins")
            .filter(pl.col("part") != pl.col("part").shift(1, fill_value=-1))["row"]
            .to_list()
        )
        for start, end in pairwise([*starts, len(self)]):
            yield self.part(self.rows[start:end])

    def body(self) -> bytes:
        """The body of the write that stores them; its precision is "us". Values must be finite."""
        heads = [f"\n{MEASUREMENT},{TAG}={escaped(encoded_tag(e))} " for e in self.equipment]
        fields = pl.Series([escaped(encoded_field(s)) for s in self.signals], dtype=pl.String)
        begins = pl.col("begins")
        ends = begins.shift(-1, fill_value=True)
        number, text = pl.col("value").is_not_null(), pl.col("text").is_not_null()
        holds = number.cast(pl.Int64) * (NUMBER * 10) + text.cast(pl.Int64) * (TEXT * 10)
        pieces = [
            _names([",", *heads], pl.when(begins).then(pl.col("equipment") + 1).otherwise(0)),
            _names(fields + f"{META_SUFFIX}=", pl.col("signal")),
            pl.col("received") * 100 + holds + pl.col("quality"),
            _names(["i", *("i," + fields + "=")], pl.when(number).then(pl.col("signal") + 1).otherwise(0)),
            pl.col("value"),
        ]
        if self.rows["text"].null_count() < len(self):
            names = _names("," + fields + f'{TEXT_SUFFIX}="', pl.when(text).then("signal"))
            pieces += [names, inside_quotes(pl.col("text")), pl.when(text).then(pl.lit('"'))]
        pieces += [pl.when(ends).then(pl.lit(" ")), pl.when(ends).then("time")]
        rows = self.rows.with_columns(begins=_begins())
        return written(rows.select(pl.concat_str(pieces, ignore_nulls=True)).to_series())


def _in_lines(numbered: pl.DataFrame, equipment: int, signals: int) -> pl.DataFrame:
    """Sorted by equipment, time, signal; of equal keys the row received last, of equals the last."""
    if numbered.is_empty():
        return numbered
    first, last = cast(int, numbered["time"].min()), cast(int, numbered["time"].max())
    if equipment * signals * (last - first + 1) < 2**63:
        # One number says where a row stands: sorted in a third of the time.
        moment = pl.col("equipment").cast(pl.Int64) * (last - first + 1) + pl.col("time") - first
        place = numbered.select(moment * signals + pl.col("signal")).to_series()
        order = place.arg_sort()
        if not (place.gather(order).diff() == 0).any():
            return numbered[order]
    key = ("equipment", "time", "signal")
    order = numbered.select(pl.arg_sort_by(*key, "received", maintain_order=True)).to_series()
    newest = pl.any_horizontal(pl.col(k).ne_missing(pl.col(k).shift(-1)) for k in key)
    return numbered[order].filter(newest)


def _begins() -> pl.Expr:
    """Whether the row is the first of its line."""
    return pl.any_horizontal(pl.col(k).ne_missing(pl.col(k).shift(1)) for k in ("equipment", "time"))


def _names(names: pl.Series | Sequence[str], position: pl.Expr) -> pl.Expr:
    return pl.lit(pl.Series(names, dtype=pl.String)).gather(position)
