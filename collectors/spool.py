"""The spool: batches of samples on disk between the collectors and the historian.

Is: a batch that `append` returned for survives kill -9 and power loss (temporary file, fsync, rename, fsync
of the directory), in order per collector, until a reader removes it. Is not: unlimited (`SpoolFullError` says
so; what has waited too long is dropped and recorded as a gap), nor a place for two writers under one name (the
second is refused).

A file is `<directory>/<collector>/<sequence>_<first>_<last>_<rows>_<crc32>.arrow`, plain Arrow IPC. Its name
says what is in it, so that a long backlog is listed without opening or asking the disk about each file; the
checksum finds the damage Arrow itself does not.
"""

import contextlib
import errno
import fcntl
import io
import logging
import os
import re
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from collectors.durable import make_directory, sync_directory, write_durably
from collectors.gaps import Gap, record
from plant.frames import SAMPLES, Window
from plant.model import SpoolConfig

log = logging.getLogger(__name__)

SUFFIX, DAMAGED = ".arrow", ".damaged"
OLD_NAME = re.compile(r"\d{16}-[0-9a-f]{8}\.arrow")
"""Written by version 0.1; renamed when first seen."""
RESERVED = 1000
"""Sequence numbers are reserved on disk in blocks of this size: a restart skips some, it never reuses one."""
ALARM_AT = 0.8
"""Share of a bound at which somebody should know."""
JOIN = 60_000_000
"""Microseconds: dropped batches closer together than this are one gap."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOPELESS = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.EIO, errno.ELOOP, errno.ENXIO, errno.EINVAL)
"""What the system says of a file that trying again will not bring back."""
_LIMITS = SpoolConfig()
_SCHEMA = pl.Schema(SAMPLES)


class SpoolFullError(Exception):
    """The batch is not on disk: the spool is full or the disk refuses. The message says which and what to do;
    the same batch can be given again."""


class SpoolError(Exception):
    """The spool cannot be used by this process at all; the message says why."""


class SpoolDamagedError(Exception):
    """There is no batch to be had from this file: it does not hold what was written to it, or has gone."""


class Entry(NamedTuple):
    """One batch waiting in the spool. (collector, sequence) names it for ever."""

    collector: str
    sequence: int
    folder: Path
    name: str
    first_us: int
    """Earliest sample time in the batch, microseconds since 1970."""
    last_us: int
    """Latest sample time, included."""
    rows: int

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    @property
    def first(self) -> datetime:
        """Earliest sample time in the batch."""
        return _moment(self.first_us)

    @property
    def last(self) -> datetime:
        """Latest sample time, included."""
        return _moment(self.last_us)

    def overlaps(self, window: Window) -> bool:
        """Whether it may hold a sample in that window."""
        return self.first < window.end and self.last >= window.start


@dataclass(frozen=True, slots=True)
class Waiting:
    """What has not been taken yet."""

    batches: int
    rows: int
    bytes: int
    oldest: datetime | None
    """When the batch that has waited longest was written; None: nothing waits."""


class Spool:
    """One directory of batches. Writers give their `collector` name; readers need none and see all.

    `max_bytes` bounds what one collector may have waiting: at the limit nothing more is acknowledged.
    `max_age` is how long a batch may wait; who owns the spool calls `drop_older`.
    """

    def __init__(
        self,
        directory: Path,
        collector: str = "",
        max_bytes: int = _LIMITS.max_bytes,
        max_age: timedelta = _LIMITS.max_age,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.directory, self.max_bytes, self.max_age = Path(directory), max_bytes, max_age
        self.collector, self._clock = collector, clock
        self._own = self.directory / collector
        self._mutex = threading.Lock()
        self._lock_file: IO[str] | None = None
        self._next = self._reserved = self._used = 0
        self._known: dict[str, dict[str, tuple[int, int]]] = {}

    def append(self, samples: pl.DataFrame) -> int:
        """Put a batch (`plant.frames.SAMPLES`) on disk and return its sequence number once it is durable.

        Raises SpoolFullError (give the batch again later), SpoolError (another process writes here).
        """
        require_samples(samples)
        data = _encode(samples)
        first, last = _span(samples)
        with self._mutex:
            try:
                self._open()
                self._make_room(len(data))
                if self._next >= self._reserved:
                    self._reserve(self._next + RESERVED)
                name = _name(self._next, first, last, samples.height, zlib.crc32(data))
                write_durably(self._own / name, data)
            except OSError as error:
                raise SpoolFullError(
                    f"cannot write to the spool {self._own}: {error.strerror or error}; collection waits, "
                    "nothing acknowledged is lost. Free disk space or correct the folder"
                ) from error
            sequence = self._next
            self._next += 1
            self._used += len(data)
            return sequence

    def pending(self, after: Mapping[str, int] | None = None) -> list[Entry]:
        """What waits, oldest samples first; the batches of one collector always in their order.

        `after`: per collector, the highest sequence not wanted any more. Costs a listing of names, whatever
        the number of bytes.
        """
        found: list[tuple[int, str, int, Entry]] = []
        for folder in _folders(self.directory):
            seen = (after or {}).get(folder.name, -1)
            newest = -(1 << 63)
            for entry in _entries(folder, seen):
                newest = max(newest, entry.last_us)
                found.append((newest, entry.collector, entry.sequence, entry))
        return [item[3] for item in sorted(found)]

    def waiting(self, collector: str | None = None) -> Waiting:
        """What waits of one collector; None: of all."""
        if collector is not None:
            return self._waiting_in(self.directory / collector)
        every = self.waiting_by_collector().values()
        return Waiting(
            sum(w.batches for w in every),
            sum(w.rows for w in every),
            sum(w.bytes for w in every),
            min((w.oldest for w in every if w.oldest is not None), default=None),
        )

    def waiting_by_collector(self) -> dict[str, Waiting]:
        """What waits of each collector that ever wrote here."""
        return {folder.name: self._waiting_in(folder) for folder in _folders(self.directory)}

    def alarm(self, waiting: Waiting, now: datetime) -> str | None:
        """One sentence when a bound will soon be reached by one collector: how full, how long it still lasts,
        what to do. None: there is time."""
        if waiting.oldest is None:
            return None
        room = shutil.disk_usage(self.directory).free
        limit = max(1, min(self.max_bytes, waiting.bytes + room))
        full, aged = waiting.bytes / limit, (now - waiting.oldest) / self.max_age
        if max(full, aged) < ALARM_AT:
            return None
        do = "find out why the historian does not take them: `lineside doctor`"
        if full < aged:
            left = self.max_age - (now - waiting.oldest)
            when = f"is dropped in {_about(left)}" if left > timedelta(0) else "is being dropped"
            return (
                f"samples wait since {waiting.oldest:%Y-%m-%d %H:%M} UTC, and what waits for "
                f"{_about(self.max_age)} {when}; {do}"
            )
        what = "the spool" if limit == self.max_bytes else "the disk of the spool"
        said = f"{what} is {full:.0%} full ({size_text(waiting.bytes)} of {size_text(limit)} wait)"
        if full >= 1:
            return f"{said}: nothing more is acknowledged; {do}"
        # All that waits came since the oldest: the rate it fills at when nothing is taken.
        lasts = (now - waiting.oldest) * ((limit - waiting.bytes) / max(1, waiting.bytes))
        return f"{said} and lasts for another {_about(lasts)}, then nothing more is acknowledged; {do}"

    def drop_older(self, before: datetime) -> list[Gap]:
        """Drop the batches of all collectors written before that time, each recorded as a gap first.

        Raises OSError: what could not be recorded has not been dropped.
        """
        dropped: list[Gap] = []
        for folder in _folders(self.directory):
            doomed = [e for e in _entries(folder) if (at := _written(e.path)) is not None and at < before]
            if not doomed:
                continue
            why = f"waited in the spool since before {before:%Y-%m-%d %H:%M} UTC, longer than its max_age"
            missing = _joined(doomed, why, self._clock())
            record(self.directory, missing)
            for entry in doomed:
                try:
                    entry.path.unlink(missing_ok=True)
                except OSError:  # something else is in its place
                    entry.path.rename(entry.path.with_name(entry.name + DAMAGED))
            log.error("%d samples of %s dropped: %s", sum(e.rows for e in doomed), folder.name, why)
            dropped += missing
        return dropped

    def read(self, entry: Entry) -> pl.DataFrame:
        """The batch as it was appended.

        Raises SpoolDamagedError: it cannot be had any more, now or later; a damaged file is set aside as
        `<name>.damaged` and recorded as a gap. Go on with the next. Raises OSError: try again later.
        """
        try:
            data = entry.path.read_bytes()
        except FileNotFoundError:
            raise SpoolDamagedError(f"spool file {entry.path} is not there any more") from None
        except OSError as error:
            if error.errno not in _HOPELESS:
                raise
            raise self._set_aside(entry, error.strerror or str(error)) from error
        if f"_{zlib.crc32(data):08x}{SUFFIX}" != entry.name[-len("_00000000.arrow") :]:
            raise self._set_aside(entry, f"its {len(data)} bytes are not those written")
        try:
            samples = pl.read_ipc(io.BytesIO(data))
            require_samples(samples)
        except (pl.exceptions.PolarsError, ValueError) as error:
            raise self._set_aside(entry, str(error)) from error
        return samples

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
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", self.collector):
            raise SpoolError(
                f"a spool writer needs a name of letters, digits, '.', '_' and '-', not {self.collector!r}"
            )
        make_directory(self._own)
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
            self._used = self._waiting_in(self._own).bytes
        except BaseException:
            lock.close()
            raise
        self._lock_file = lock

    def _make_room(self, size: int) -> None:
        if self._used + size > self.max_bytes:
            self._used = self._waiting_in(self._own).bytes  # the reader may have removed some meanwhile
        if self._used + size > self.max_bytes:
            raise SpoolFullError(
                f"the spool {self._own} is full ({self._used} of {self.max_bytes} bytes wait); "
                "collection waits, nothing acknowledged is lost. See why the historian does not take them"
            )

    def _reserve(self, until: int) -> None:
        write_durably(self._own / "sequence", str(until).encode())
        self._reserved = until

    def _reserved_on_disk(self) -> int:
        try:
            return int((self._own / "sequence").read_text())
        except (FileNotFoundError, ValueError):
            # A new folder, or one that lost the file: larger than any number counted up to before, so that
            # readers who have seen those do not take new batches for old ones.
            return time.time_ns() // 1_000_000

    def _waiting_in(self, folder: Path) -> Waiting:
        """Each file is asked for its size once: a long backlog is looked at every second."""
        names = _names(folder)
        known = self._known.get(folder.name, {})
        if not all(map(known.__contains__, names)):
            fresh = {}
            for entry in _parsed(folder, (name for name in names if name not in known)):
                with contextlib.suppress(FileNotFoundError):
                    fresh[entry.name] = (entry.rows, entry.path.stat().st_size)
            known = {**known, **fresh}
        if len(known) != len(names):
            known = {name: known[name] for name in names if name in known}
        self._known[folder.name] = known
        oldest = next((at for name in known if (at := _written(folder / name)) is not None), None)
        return Waiting(
            len(known), sum(k[0] for k in known.values()), sum(k[1] for k in known.values()), oldest
        )

    def _set_aside(self, entry: Entry, why: str) -> SpoolDamagedError:
        """Record what is missing, then move the file out of the way."""
        message = f"spool file {entry.path} is damaged ({why})"
        aside = entry.path.with_name(entry.name + DAMAGED)
        reason = f"spool file {entry.sequence} is damaged: {why}"
        try:
            record(
                self.directory,
                [Gap(entry.collector, entry.first, entry.last, entry.rows, reason, self._clock())],
            )
            entry.path.rename(aside)
            sync_directory(entry.folder)
        except OSError as error:
            message += f" and cannot be set aside: {error.strerror or error}"
        else:
            message += f"; set aside as {aside.name}"
        log.error("%s", message)
        return SpoolDamagedError(message)


def damaged_files(directory: Path) -> list[Path]:
    """The files that were set aside, by name."""
    return sorted(Path(directory).glob(f"*/*{DAMAGED}"))


def require_samples(samples: pl.DataFrame) -> None:
    """Raises ValueError unless the frame has exactly the columns of `plant.frames.SAMPLES`."""
    if samples.schema != _SCHEMA:
        raise ValueError(f"not a batch of samples: {samples.schema}, expected {_SCHEMA}")


def _encode(samples: pl.DataFrame) -> memoryview:
    buffer = io.BytesIO()
    samples.write_ipc(buffer, compression="lz4")
    return buffer.getbuffer()


def _span(samples: pl.DataFrame) -> tuple[int, int]:
    """Earliest and latest time, in microseconds; samples without one go by when they were received."""
    for column in ("time", "received"):
        times = samples[column].to_physical()
        first, last = times.min(), times.max()
        if isinstance(first, int) and isinstance(last, int):
            return first, last
    return 0, 0


def _name(sequence: int, first: int, last: int, rows: int, checksum: int) -> str:
    return f"{sequence:016d}_{first}_{last}_{rows}_{checksum:08x}{SUFFIX}"


def _moment(microseconds: int) -> datetime:
    """Times no calendar has (a source's nonsense) become the nearest one it has."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime(*((1, 1, 1) if microseconds < 0 else (9999, 12, 31)), tzinfo=UTC)


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []


def _entries(folder: Path, after: int = -1) -> list[Entry]:
    """The batches of a folder with a sequence above `after`, in order."""
    return list(_parsed(folder, _names(folder, after)))


def _names(folder: Path, after: int = -1) -> list[str]:
    seen = f"{after + 1:016d}"
    try:
        names = os.listdir(folder)  # noqa: PTH208 a Path for each of 100 000 names takes seconds
    except FileNotFoundError:
        return []
    wanted = [name for name in names if name >= seen and name.endswith(SUFFIX)]
    return sorted(_renamed(folder, name) if OLD_NAME.fullmatch(name) else name for name in wanted)


def _parsed(folder: Path, names: Iterable[str]) -> Iterator[Entry]:
    collector = folder.name
    for name in names:
        try:
            sequence, first, last, rows, _ = name.split("_")  # half the time of a regular expression
            yield Entry(collector, int(sequence), folder, name, int(first), int(last), int(rows))
        except ValueError:
            continue  # somebody else's file


def _renamed(folder: Path, name: str) -> str:
    """Give a file of version 0.1 the name it would have today. A damaged one counts as no rows at the time it was
    written, so that reading it sets it aside."""
    path, number, checksum = folder / name, int(name[:16]), name[17:25]
    rows = 0
    try:
        first = last = path.stat().st_mtime_ns // 1000
        with contextlib.suppress(OSError, pl.exceptions.PolarsError):
            data = path.read_bytes()
            if zlib.crc32(data) == int(checksum, 16):
                samples = pl.read_ipc(io.BytesIO(data))
                rows, (first, last) = samples.height, _span(samples)
        new = _name(number, first, last, rows, int(checksum, 16))
        path.rename(folder / new)
    except FileNotFoundError:
        return name
    return new


def _written(path: Path) -> datetime | None:
    """When a batch was put here; None when it has gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _joined(entries: Iterable[Entry], why: str, now: datetime) -> list[Gap]:
    """One gap for batches whose times touch, so that a long outage does not become a million lines."""
    found: list[Entry] = []
    for entry in entries:
        if (
            found
            and entry.first_us - JOIN <= found[-1].last_us
            and entry.last_us + JOIN >= found[-1].first_us
        ):
            before = found.pop()
            entry = entry._replace(
                first_us=min(entry.first_us, before.first_us),
                last_us=max(entry.last_us, before.last_us),
                rows=entry.rows + before.rows,
            )
        found.append(entry)
    return [Gap(e.collector, e.first, e.last, e.rows, why, now) for e in found]


def _about(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} seconds"


def size_text(size: float) -> str:
    """A number of bytes for people."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"
