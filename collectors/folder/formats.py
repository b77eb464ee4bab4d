"""Slices of a file, in long or wide format, to samples. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from collectors.samples import from_text, number, signal_table
from collectors.tables import Check, blank, headings, numbered, qualities, times, wrong_rows
from plant.frames import BAD, FUTURE, GOOD, SAMPLES, empty
from plant.model import Role, Signal

NO_VALUE = ("nan", "-nan", "null", "none", "n/a", "#n/a", "unavailable")
"""What files write for a number they do not have, besides nothing."""
TEXT_ROLES = (Role.STATE, Role.ORDER, Role.MATERIAL, Role.ALARM)
"""Roles whose values may be words."""
TIME_FIX = (
    'write it like "2026-01-31T06:00:00Z" or "2026-01-31T06:00:00.25+01:00", or as a number since 1970; without an '
    "offset it is a wall time of the option zone, where an hour that comes twice or not at all is no time; and it may be at "
    "most 5 minutes ahead of this machine's clock"
)


@dataclass(frozen=True, slots=True)
class Slice:
    """What a slice of a file gives."""

    samples: pl.DataFrame
    """`plant.frames.SAMPLES`."""
    problems: list[str]
    """What is wrong, each with row, column and fix; then `samples` is empty."""
    others: int
    """Rows that are of no signal of this source."""


class Format:
    """How the files of one source are read. `options`: those of the source."""

    def __init__(self, signals: Sequence[Signal], options: Mapping[str, Any]) -> None:
        numeric = [s.role not in TEXT_ROLES for s in signals]
        self._table = signal_table(signals).with_columns(
            pl.col("address").str.strip_chars().str.to_lowercase(), pl.Series("numeric", numeric, pl.Boolean)
        )
        self._addresses = self._table["address"].to_list()
        self._wide = options["format"] == "wide"
        self._zone, self._comma = options["zone"], options["decimal"] == ","
        self._time = options["time_column"].strip().lower() if self._wide else "time"

    def heading_problem(self, names: Sequence[str]) -> str:
        """What is wrong with a file that has these columns; empty when nothing is."""
        found = list(headings(list(names)).values())
        has = f"it has {', '.join(found)}" if any(found) else "it is empty"
        if doubled := sorted({name for name in found if found.count(name) > 1}):
            return (
                f"column {', '.join(doubled)} is there more than once; give each column a heading of its own"
            )
        needed = [self._time] if self._wide else ["time", "equipment", "signal", "value"]
        if missing := [name for name in needed if name not in found]:
            fix = "correct the headings in the first line, or the source's options time_column, format and delimiter"
            return f"column {', '.join(missing)} is missing ({has}); {fix}"
        if self._wide and not set(self._addresses) & set(found):
            return (
                f"it has a column for none of the source's signals ({has}); write their headings as addresses: "
                f"{', '.join(self._addresses[:10])} are looked for"
            )
        return ""

    def absent(self, names: Sequence[str]) -> list[str]:
        """Signals ("equipment.signal") that have no column among these (wide format)."""
        found = set(headings(list(names)).values())
        rows = self._table.select("equipment", "signal", "address").iter_rows()
        return [f"{e}.{s}" for e, s, address in rows if self._wide and address not in found]

    def read(self, rows: pl.DataFrame, first_row: int, received: datetime) -> Slice:
        """Rows of a file as they are in it; `first_row` is the number a spreadsheet shows for the first of them."""
        rows = numbered(rows.rename(headings(rows.columns)), first_row)
        return (self._read_wide if self._wide else self._read_long)(rows, received)

    def _read_long(self, rows: pl.DataFrame, received: datetime) -> Slice:
        known = [c for c in ("time", "equipment", "signal", "value", "quality") if c in rows.columns]
        rows = rows.select("row", *known)
        rows = rows.with_columns(
            pl.col("equipment", "signal").cast(pl.String).str.strip_chars(),
            times(rows, "time", self._zone).alias("_time"),
            qualities(rows).alias("_quality"),
        ).with_columns(pl.col("signal").str.to_lowercase().alias("address"))
        raw = self._text(rows, "value")
        joined = rows.rename({"signal": "written"}).join(
            self._table, on=["equipment", "address"], how="left", maintain_order="left"
        )
        joined = joined.with_columns(raw.alias("raw")).with_columns(self._pointed().alias("raw"))
        checks: dict[str, Check] = {
            "time": (_no_time(received), TIME_FIX),
            "equipment": (blank("equipment"), "write the equipment's id"),
            "signal": (blank("signal"), "write the signal's name"),
            "quality": (
                pl.col("_quality").is_null(),
                "write good, uncertain or bad (0, 1, 2), or leave it empty",
            ),
            "value": self._number_check(),
        }
        if "quality" not in rows.columns:
            del checks["quality"]
        mine = joined.filter(pl.col("scale").is_not_null())
        as_written = joined.drop("signal").rename({"written": "signal"})
        if problems := wrong_rows("", as_written, checks):
            return Slice(empty(SAMPLES), [p.removeprefix(", ") for p in problems], 0)
        raw_or_none = self._or_none()
        return Slice(
            from_text(
                mine.with_columns(
                    pl.col("_time").alias("time"),
                    raw_or_none.alias("raw"),
                    pl.lit(None, pl.String).alias("detail"),
                    pl.when(raw_or_none.is_null())
                    .then(pl.lit(BAD, pl.UInt8))
                    .otherwise("_quality")
                    .alias("quality"),
                ),
                received,
            ),
            [],
            joined.height - mine.height,
        )

    def _read_wide(self, rows: pl.DataFrame, received: datetime) -> Slice:
        columns = [a for a in self._addresses if a in rows.columns]
        rows = rows.select("row", self._time, *columns)
        rows = rows.with_columns(times(rows, self._time, self._zone).alias("_time"))
        problems = wrong_rows("", rows, {self._time: (_no_time(received), TIME_FIX)})
        rows = rows.with_columns(self._text(rows, column).alias(column) for column in columns)
        for column in columns:
            of = (
                self._table.filter(pl.col("address") == column)
                .select("numeric")
                .with_columns(pl.lit(1.0).alias("scale"))
            )
            one = rows.select("row", pl.col(column).alias("raw"), pl.col(column)).join(of, how="cross")
            one = one.with_columns(self._pointed().alias("raw"))
            problems += wrong_rows("", one, {column: self._number_check()})
        if problems:
            return Slice(empty(SAMPLES), [p.removeprefix(", ") for p in problems], 0)
        cells = rows.unpivot(columns, index=["row", "_time"], variable_name="address", value_name="raw")
        # Nothing in a cell says nothing: its column has a value only now and then.
        cells = cells.filter(pl.col("raw").is_not_null()).sort("row", maintain_order=True)
        joined = cells.join(self._table, on="address", how="inner", maintain_order="left")
        joined = joined.with_columns(self._pointed().alias("raw"))
        raw = self._or_none()
        return Slice(
            from_text(
                joined.with_columns(
                    pl.col("_time").alias("time"),
                    raw.alias("raw"),
                    pl.lit(None, pl.String).alias("detail"),
                    pl.when(raw.is_null())
                    .then(pl.lit(BAD))
                    .otherwise(pl.lit(GOOD))
                    .cast(pl.UInt8)
                    .alias("quality"),
                ),
                received,
            ),
            [],
            0,
        )

    def _text(self, rows: pl.DataFrame, column: str) -> pl.Expr:
        """A cell as text; null when there is nothing in it."""
        given, kind = pl.col(column), rows.schema[column]
        if kind == pl.Boolean:
            return given.cast(pl.Int8).cast(pl.String)
        text = given.cast(pl.String).str.strip_chars()
        return pl.when(text != "").then(text)

    def _pointed(self) -> pl.Expr:
        """Column `raw`, a number's comma turned into a point where the files have commas."""
        raw = pl.col("raw")
        if not self._comma:
            return raw
        is_one = pl.col("numeric") & raw.str.contains(r"^[+-]?\d*,\d+([eE][+-]?\d+)?$")
        return pl.when(is_one).then(raw.str.replace(",", ".", literal=True)).otherwise(raw)

    def _number_check(self) -> Check:
        raw = pl.col("raw")
        said = raw.is_not_null() & ~raw.str.to_lowercase().is_in(NO_VALUE) & pl.col("scale").is_not_null()
        return (
            (said & pl.col("numeric") & number(raw).is_null()).fill_null(False),
            'it must be a number, with a decimal point (or decimal = ","), or nothing',
        )

    def _or_none(self) -> pl.Expr:
        raw = pl.col("raw")
        return pl.when(~(pl.col("numeric") & raw.str.to_lowercase().is_in(NO_VALUE))).then(raw)


def _no_time(received: datetime) -> pl.Expr:
    """Where a row has no time it can have been measured at."""
    return pl.col("_time").is_null() | (pl.col("_time") > pl.lit(received + FUTURE))
