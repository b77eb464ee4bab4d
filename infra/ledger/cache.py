"""The stored ledger in columns: a Parquet file per UTC day, made from the records database and thrown away when the
day changes there. Pages over weeks read these, not rows of a database (docs/adr/0016)."""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import polars as pl
from sqlalchemy import Connection

from analytics.figures.cells import cells
from analytics.figures.reliability import loose
from infra.ledger.days import Day, Days
from infra.records.database import Database
from infra.records.ledger import DAY, LedgerRows, days_of
from plant.frames import LEDGER, Window, empty

_BEGUN, _OVER = "begun", "over"
"""The rows that begin on a day, and those that began before and reach into it."""
_CELLS, _LOOSE = "summed", "loose"
"""Of the rows that begin on a day: `analytics.figures.cells.cells`, and what tells the failures that are not in them
(`analytics.figures.reliability.loose`)."""

_HELD = 100
"""Days that are held in memory: those of a quarter."""

_TRIES = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WholeDays:
    """The stored rows that overlap a window, those of its inner days in cells. Columns as in `plant.frames.LEDGER`."""

    inner: Window
    """UTC days: the rows that begin here reach over no end of the window."""
    days: Days
    """Of those rows."""
    rows: pl.LazyFrame
    """All of them."""
    others: pl.LazyFrame
    """The other rows that overlap the window."""


class LedgerCache:
    """Whole ledger rows of any window, as the records database holds them.

    Of each day there are files named by the day's version (`LedgerRows.versions`), so a file is either right or not
    looked at. They are made when they are asked for. Removing any of them at any time loses nothing.
    """

    def __init__(self, database: Database, folder: Path, zone: ZoneInfo) -> None:
        """`zone`: the site's, whose days cells are of."""
        self._database, self._folder = database, folder
        self._parts = (_OVER, _BEGUN, _LOOSE, f"{_CELLS}-{zone.key.replace('/', '-')}")
        self._zone = zone
        self._making = threading.Lock()
        # By their files: another version is another file.
        self._day = lru_cache(maxsize=_HELD)(Day)
        self._days = lru_cache(maxsize=2)(lambda *files: Days([self._day(*of_day) for of_day in files]))

    def rows(self, window: Window, equipment: Sequence[str] | None = None) -> pl.LazyFrame:
        """Whole rows that overlap the window (`plant.frames.LEDGER`), in no order. Collect it at once: files of days that
        change go. Raises RecordsError."""
        overlaps = (pl.col("end") > window.start) & (pl.col("start") < window.end)
        if equipment is not None:
            overlaps &= pl.col("equipment").is_in(list(equipment))
        return self._scanned(window).filter(overlaps)

    def summed(self, window: Window, take: Callable[[WholeDays], T]) -> T:
        """What `take` makes of the same rows, those of whole days added up; whatever changes meanwhile."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return take(self._whole_days(window))
        none, rows = empty(LEDGER), self.collected(window).lazy()
        nowhere = Window(window.start, window.start)
        return take(WholeDays(nowhere, Days([]), none.lazy(), rows))

    def _whole_days(self, window: Window) -> WholeDays:
        over, begun, loose, of_cells = self._parts
        inner = _inner(window)
        overlaps = (pl.col("end") > window.start) & (pl.col("start") < window.end)
        days = self._made(window)
        inside = {day: version for day, version in days.items() if inner.start <= day < inner.end}
        outside = {day: version for day, version in days.items() if day not in inside}
        first = dict(list(days.items())[:1])
        return WholeDays(
            inner,
            self._days(*zip(self._paths(inside, of_cells), self._paths(inside, loose), strict=True)),
            self._scan(self._paths(inside, begun)),
            self._scan(self._paths(first, over) + self._paths(outside, begun)).filter(overlaps),
        )

    def collected(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """The same as a frame, whatever changes meanwhile."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return self.rows(window, equipment).collect()
        with self._database.read() as connection:
            return LedgerRows(connection).touching(window, equipment)

    def _scanned(self, window: Window) -> pl.LazyFrame:
        days = self._made(window)
        first = dict(list(days.items())[:1])
        return self._scan(self._paths(first, _OVER) + self._paths(days, _BEGUN))

    def _scan(self, files: list[Path]) -> pl.LazyFrame:
        if not files:
            return empty(LEDGER).lazy()
        return pl.scan_parquet(files, glob=False, schema=dict(LEDGER))

    def _paths(self, days: Mapping[datetime, int], part: str) -> list[Path]:
        return [self._path(day, version, part) for day, version in days.items()]

    def _made(self, window: Window) -> Mapping[datetime, int]:
        """The stored days the window touches and their versions, whose files are there now."""
        with self._making, self._database.read() as connection:
            days = LedgerRows(connection).versions(window)
            there = {path.name for path in self._folder.glob("*.parquet")}
            for day, version in days.items():
                if not all(_name(day, version, part) in there for part in self._parts):
                    self._make(connection, day, version)
        return days

    def _make(self, connection: Connection, day: datetime, version: int) -> None:
        rows = LedgerRows(connection).touching(Window(day, day + DAY))
        self._folder.mkdir(parents=True, exist_ok=True)
        old = list(self._folder.glob(f"{day:%Y-%m-%d}.*"))
        begun = rows.filter(pl.col("start") >= day)
        frames = (
            rows.filter(pl.col("start") < day),
            begun,
            loose(begun),
            cells(begun, self._zone),
        )
        for part, frame in zip(self._parts, frames, strict=True):
            target = self._path(day, version, part)
            temporary = self._folder / f".tmp-{os.getpid()}-{target.name}"
            frame.write_parquet(temporary, compression="lz4", statistics=True)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.rename(target)
        for path in old:
            if f".{version}." not in path.name:
                path.unlink(missing_ok=True)

    def _path(self, day: datetime, version: int, part: str) -> Path:
        return self._folder / _name(day, version, part)


def _name(day: datetime, version: int, part: str) -> str:
    return f"{day.date()}.{version}.{part}.parquet"


def _inner(window: Window) -> Window:
    """UTC days whose rows lie in the window, as no row is longer than a day and over a local midnight."""
    days = [day for day in days_of(window) if window.start <= day and day + 2 * DAY <= window.end]
    return Window(days[0], days[-1] + DAY) if days else Window(window.start, window.start)
