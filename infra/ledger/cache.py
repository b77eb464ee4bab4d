"""The stored ledger in columns: a Parquet file per UTC day, made from the records database and thrown away when the
day changes there. Pages over weeks read these, not rows of a database (docs/adr/0016)."""

import contextlib
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Connection

from infra.records.database import Database
from infra.records.ledger import DAY, LedgerRows
from plant.frames import LEDGER, Window, empty

_BEGUN, _OVER = "begun", "over"
"""The rows that begin on a day, and those that began before and reach into it."""

_TRIES = 5


class LedgerCache:
    """Whole ledger rows of any window, as the records database holds them.

    Of each day there are two files named by the day's version (`LedgerRows.versions`), so a file is either right or not
    looked at. They are made when they are asked for. Removing any of them at any time loses nothing.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._making = threading.Lock()

    def rows(self, window: Window, equipment: Sequence[str] | None = None) -> pl.LazyFrame:
        """Whole rows that overlap the window (`plant.frames.LEDGER`), in no order. Collect it at once: files of days that
        change go. Raises RecordsError."""
        overlaps = (pl.col("end") > window.start) & (pl.col("start") < window.end)
        if equipment is not None:
            overlaps &= pl.col("equipment").is_in(list(equipment))
        files = self._files(window)
        if not files:
            return empty(LEDGER).lazy()
        return pl.scan_parquet(files, glob=False, schema=dict(LEDGER)).filter(overlaps)

    def collected(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """The same as a frame, whatever changes meanwhile."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return self.rows(window, equipment).collect()
        with self._database.read() as connection:
            return LedgerRows(connection).touching(window, equipment)

    def _files(self, window: Window) -> list[Path]:
        with self._making, self._database.read() as connection:
            days = LedgerRows(connection).versions(window)
            for day, version in days.items():
                if not all(self._path(day, version, part).exists() for part in (_OVER, _BEGUN)):
                    self._make(connection, day, version)
        first = [self._path(day, version, _OVER) for day, version in list(days.items())[:1]]
        return first + [self._path(day, version, _BEGUN) for day, version in days.items()]

    def _make(self, connection: Connection, day: datetime, version: int) -> None:
        rows = LedgerRows(connection).touching(Window(day, day + DAY))
        self._folder.mkdir(parents=True, exist_ok=True)
        old = list(self._folder.glob(f"{day:%Y-%m-%d}.*"))
        begun = pl.col("start") >= day
        for part, of_part in ((_OVER, rows.filter(~begun)), (_BEGUN, rows.filter(begun))):
            target = self._path(day, version, part)
            temporary = self._folder / f".tmp-{os.getpid()}-{target.name}"
            of_part.write_parquet(temporary, compression="lz4", statistics=True)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.rename(target)
        for path in old:
            if f".{version}." not in path.name:
                path.unlink(missing_ok=True)

    def _path(self, day: datetime, version: int, part: str) -> Path:
        return self._folder / f"{day:%Y-%m-%d}.{version}.{part}.parquet"
