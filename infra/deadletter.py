"""The dead letter: samples that were refused for good, kept with the reason until somebody has looked at them.

A file is `<collector>-<sequence>-<checksum>.parquet` (`plant.frames.REFUSED`), named after the batch the samples
came with. Bounded: beyond `max_bytes` the oldest files are dropped, recorded as gaps of their collector.
"""

import contextlib
import io
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import polars as pl

from collectors.durable import make_directory, sync_directory, write_durably
from collectors.gaps import Gap, record
from collectors.spool import Spool
from plant.frames import REFUSED, SAMPLES

log = logging.getLogger(__name__)

NAME = re.compile(r"(.+)-(\d+)-([0-9a-f]{8})\.parquet")
OLD_NAME = re.compile(r"(.+)-\d{12}\.parquet")
"""Written by version 0.1."""
MAX_BYTES = 512_000_000
MOST_FILES = 500
"""More small files than this are merged: a signal the plant file lacks makes one a batch."""
FINISHED = 4 << 20
"""A file of this many bytes is not merged any more."""
RETRY_ROWS = 50_000
"""Samples of one batch put back."""


class DeadLetterError(Exception):
    """There is no such file, or it cannot be read; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class DeadFile:
    """Refused samples of one collector."""

    name: str
    collector: str
    kept: datetime
    rows: int
    bytes: int
    problem: str
    """The most frequent one."""


@dataclass(frozen=True, slots=True)
class _File:
    kept_ns: int
    path: Path
    bytes: int

    @property
    def collector(self) -> str:
        named = NAME.fullmatch(self.path.name) or OLD_NAME.fullmatch(self.path.name)
        return named[1] if named else "unknown"


class DeadLetter:
    """A folder of refused samples. One process keeps, others may look and put back at the same time."""

    def __init__(
        self,
        folder: Path,
        spool: Path,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            spool: the spool's folder; gaps are recorded there.
        """
        self._folder, self._spool, self._max_bytes, self._clock = folder, spool, max_bytes, clock
        self._swept = False

    def keep(self, collector: str, sequence: int, refused: pl.DataFrame) -> None:
        """Keep samples (`plant.frames.REFUSED`) refused from a batch; on disk when this returns. The same
        samples of the same batch again change nothing. Raises OSError: not kept, do not let go of the batch."""
        if refused.is_empty():
            return
        make_directory(self._folder)
        self._sweep()
        data = _encoded(refused)
        path = self._folder / f"{collector}-{sequence:016d}-{zlib.crc32(data):08x}.parquet"
        if path.exists():
            return
        files = self._make_room(len(data))
        write_durably(path, data)
        self._merge([file for file in files if file.bytes < FINISHED and NAME.fullmatch(file.path.name)])

    def files(self) -> list[DeadFile]:
        """What is kept, oldest first."""
        return [self._described(file) for file in self._found()]

    def rows(self, name: str) -> pl.DataFrame:
        """The samples of a file (`plant.frames.REFUSED`). Raises DeadLetterError."""
        return _read(self._find(name))

    def retry(self, names: Iterable[str], spool: Spool) -> int:
        """Put the samples of these files back into the spool, then remove the files; how many samples.

        Killed in between, they are put back twice, which stores them once. Raises DeadLetterError,
        `collectors.spool.SpoolFullError` and `SpoolError`: what was not put back is still here.
        """
        count = 0
        for name in names:
            path = self._find(name)
            samples = _read(path).select(SAMPLES.keys())
            for part in samples.iter_slices(RETRY_ROWS):
                spool.append(part)
            path.unlink(missing_ok=True)
            count += samples.height
        return count

    def _found(self) -> list[_File]:
        found = []
        for path in self._folder.glob("*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append(_File(stat.st_mtime_ns, path, stat.st_size))
        return sorted(found, key=lambda file: (file.kept_ns, file.path.name))

    def _find(self, name: str) -> Path:
        path = self._folder / (Path(name).name.removesuffix(".parquet") + ".parquet")
        if not path.is_file():
            raise DeadLetterError(
                f"there is no {name!r} in {self._folder}: `lineside spool dead` lists what there is"
            )
        return path

    def _described(self, file: _File) -> DeadFile:
        try:
            problems = _read(file.path)["problem"].value_counts(sort=True)
            rows, problem = int(problems["count"].sum()), str(problems["problem"][0])
        except DeadLetterError as error:
            rows, problem = 0, str(error)
        kept = datetime.fromtimestamp(file.kept_ns / 1e9, UTC)
        return DeadFile(file.path.name, file.collector, kept, rows, file.bytes, problem)

    def _make_room(self, size: int) -> list[_File]:
        files = self._found()
        total = sum(file.bytes for file in files)
        while files and total + size > self._max_bytes:
            oldest = files.pop(0)
            record(self._spool, [self._gap(oldest)])
            oldest.path.unlink(missing_ok=True)
            total -= oldest.bytes
            log.error("the dead letter is full (%d bytes): %s dropped", self._max_bytes, oldest.path.name)
        return files

    def _gap(self, file: _File) -> Gap:
        now = self._clock()
        why = f"refused samples were dropped, the dead letter was full: {file.path.name}"
        try:
            rows = _read(file.path)
        except DeadLetterError:
            kept = datetime.fromtimestamp(file.kept_ns / 1e9, UTC)
            return Gap(file.collector, kept, kept, 0, why, now)
        times = rows.select(pl.coalesce("time", "received", pl.lit(now, SAMPLES["time"])).alias("at"))["at"]
        first, last = times.sort()[0], times.sort()[-1]
        return Gap(file.collector, first, last, rows.height, why, now)

    def _merge(self, small: list[_File]) -> None:
        """Make few files of many small ones: the older half, by collector."""
        if len(small) < MOST_FILES:
            return
        older = sorted(small[: len(small) // 2], key=lambda file: file.collector)
        for collector, its in groupby(older, key=lambda file: file.collector):
            for group in _groups(list(its)):
                self._merged(collector, group)

    def _merged(self, collector: str, files: list[_File]) -> None:
        readable = []
        for file in files:
            with contextlib.suppress(DeadLetterError):
                readable.append((file, _read(file.path)))
        if len(readable) < 2:
            return
        data = _encoded(pl.concat([rows for _, rows in readable]))
        sequence = readable[0][0].path.stem.split("-")[-2]
        path = self._folder / f"{collector}-{sequence}-{zlib.crc32(data):08x}.parquet"
        write_durably(path, data)
        newest = max(file.kept_ns for file, _ in readable)
        os.utime(path, ns=(newest, newest))
        for file, _ in readable:
            if file.path != path:
                file.path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what a killed process left half written."""
        if not self._swept:
            for torn in self._folder.glob("*.tmp"):
                torn.unlink(missing_ok=True)
            sync_directory(self._folder)
            self._swept = True


def _groups(files: list[_File]) -> list[list[_File]]:
    """Runs of files that together make a finished one."""
    found: list[list[_File]] = [[]]
    for file in files:
        if sum(f.bytes for f in found[-1]) >= FINISHED:
            found.append([])
        found[-1].append(file)
    return found


def _encoded(refused: pl.DataFrame) -> memoryview:
    if refused.schema != pl.Schema(REFUSED):
        raise ValueError(f"not refused samples: {refused.schema}, expected {pl.Schema(REFUSED)}")
    buffer = io.BytesIO()
    refused.write_parquet(buffer)
    return buffer.getbuffer()


def _read(path: Path) -> pl.DataFrame:
    try:
        data = path.read_bytes()
        named = NAME.fullmatch(path.name)
        if named and zlib.crc32(data) != int(named[3], 16):
            raise OSError(f"its {len(data)} bytes are not those written")
        return pl.read_parquet(io.BytesIO(data), columns=list(REFUSED))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DeadLetterError(f"{path} cannot be read ({str(error).splitlines()[0]}): remove it") from error
