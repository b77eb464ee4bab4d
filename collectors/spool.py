"""The spool: batches of samples on disk between the collectors and the historian.

Is: a batch that `append` returned for survives kill -9 and power loss (temporary file, fsync, rename, fsync
of the directory), in order per collector, until a reader removes it. Is not: unlimited (`SpoolFullError` says
so), nor a place for two writers under one name (the second is refused).

A file is `<directory>/<collector>/<sequence>-<crc32>.arrow`, plain Arrow IPC; the checksum in its name finds
the damage Arrow itself does not.
"""

import fcntl
import io
import logging
import os
import re
import threading
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from plant.frames import SAMPLES

log = logging.getLogger(__name__)

NAME = re.compile(r"(\d{16})-([0-9a-f]{8})\.arrow")
RESERVED = 1000
"""Sequence numbers are reserved on disk in blocks of this size: a restart skips some, it never reuses one."""


class SpoolFullError(Exception):
    """The batch is not on disk: the spool is full or the disk refuses. The message says which and what to do;
    the same batch can be given again."""


class SpoolError(Exception):
    """The spool cannot be used by this process at all; the message says why."""


class SpoolDamagedError(Exception):
    """A file does not hold what was written to it; it has been set aside as `<name>.damaged`."""


class Entry(NamedTuple):
    """One batch waiting in the spool. (collector, sequence) names it for ever."""

    collector: str
    sequence: int
    path: Path


class Spool:
    """One directory of batches. Writers give their `collector` name; readers need none and see all.

    `max_bytes` bounds what one collector may have waiting.
    """

    def __init__(self, directory: Path, collector: str = "", max_bytes: int = 1 << 30) -> None:
        self._root, self._collector, self._max_bytes = Path(directory), collector, max_bytes
        self._own = self._root / collector
        self._mutex = threading.Lock()
        self._lock_file: IO[str] | None = None
        self._next = self._reserved = self._used = 0

    def append(self, samples: pl.DataFrame) -> int:
        """Put a batch (`plant.frames.SAMPLES`) on disk and return its sequence number once it is durable.

        Raises SpoolFullError (give the batch again later), SpoolError (another process writes here).
        """
        data = _encode(samples)
        with self._mutex:
            try:
                self._open()
                self._make_room(len(data))
                if self._next >= self._reserved:
                    self._reserve(self._next + RESERVED)
                name = f"{self._next:016d}-{zlib.crc32(data):08x}.arrow"
                _write_durably(self._own / name, data)
            except OSError as error:
                raise SpoolFullError(
                    f"cannot write to the spool {self._own}: {error.strerror or error}; collection waits, "
                    "nothing acknowledged is lost. Free disk space or correct the folder"
                ) from error
            sequence = self._next
            self._next += 1
            self._used += len(data)
            return sequence

    def pending(self) -> list[Entry]:
        """What waits, oldest first; the batches of one collector always in their order."""
        found: list[tuple[int, Entry]] = []
        for folder in _folders(self._root):
            newest = 0
            for entry in _entries(folder):
                try:
                    newest = max(newest, entry.path.stat().st_mtime_ns)
                except FileNotFoundError:
                    continue
                found.append((newest, entry))
        return [
            entry
            for _, entry in sorted(found, key=lambda item: (item[0], item[1].collector, item[1].sequence))
        ]

    def read(self, entry: Entry) -> pl.DataFrame:
        """The batch as it was appended. Raises SpoolDamagedError (set aside, go on with the next)."""
        data = entry.path.read_bytes()
        match = NAME.fullmatch(entry.path.name)
        if match is not None and zlib.crc32(data) == int(match[2], 16):
            return pl.read_ipc(io.BytesIO(data))
        aside = entry.path.with_name(entry.path.name + ".damaged")
        entry.path.rename(aside)
        _sync_directory(entry.path.parent)
        message = f"spool file {entry.path} is damaged ({len(data)} bytes); set aside as {aside.name}"
        log.error("%s", message)
        raise SpoolDamagedError(message)

    def remove(self, entry: Entry) -> None:
        """The batch has arrived where it belongs; forget it. A batch already removed is fine."""
        entry.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the writer's lock."""
        with self._mutex:
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    def _open(self) -> None:
        if self._lock_file is not None:
            return
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", self._collector):
            raise SpoolError(
                f"a spool writer needs a name of letters, digits, '.', '_' and '-', not {self._collector!r}"
            )
        self._own.mkdir(parents=True, exist_ok=True)
        lock = (self._own / "writer.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise SpoolError(
                f"another process collects into {self._own}; stop it, or give this one another name"
            ) from None
        try:
            for torn in self._own.glob("*.tmp"):
                torn.unlink()
            entries = _entries(self._own)
            self._next = max(self._reserved_on_disk(), entries[-1].sequence + 1 if entries else 0)
            self._reserved = self._next
            self._used = _size(self._own)
        except BaseException:
            lock.close()
            raise
        self._lock_file = lock

    def _make_room(self, size: int) -> None:
        if self._used + size > self._max_bytes:
            self._used = _size(self._own)  # the reader may have removed some meanwhile
        if self._used + size > self._max_bytes:
            raise SpoolFullError(
                f"the spool {self._own} is full ({self._used} of {self._max_bytes} bytes wait); "
                "collection waits, nothing acknowledged is lost. See why the historian does not take them"
            )

    def _reserve(self, until: int) -> None:
        _write_durably(self._own / "sequence", str(until).encode())
        self._reserved = until

    def _reserved_on_disk(self) -> int:
        try:
            return int((self._own / "sequence").read_text())
        except (FileNotFoundError, ValueError):
            return 0


def require_samples(samples: pl.DataFrame) -> None:
    """Raises ValueError unless the frame has exactly the columns of `plant.frames.SAMPLES`."""
    if samples.schema != pl.Schema(SAMPLES):
        raise ValueError(f"not a batch of samples: {samples.schema}, expected {pl.Schema(SAMPLES)}")


def _encode(samples: pl.DataFrame) -> bytes:
    require_samples(samples)
    buffer = io.BytesIO()
    samples.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []


def _entries(folder: Path) -> list[Entry]:
    matches = ((NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(Entry(folder.name, int(match[1]), path) for match, path in matches if match)


def _size(folder: Path) -> int:
    total = 0
    for entry in _entries(folder):
        try:
            total += entry.path.stat().st_size
        except FileNotFoundError:
            continue
    return total
