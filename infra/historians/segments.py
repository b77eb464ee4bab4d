"""The files of the Parquet historian: telling names, and directory operations that keep them whole.

Layout: `ROOT/2026-01-31/<first>_<last>_<rows>_<sequence>_<process>.parquet`, the day of the sample time in
UTC, first and last in microseconds since 1970. A file is complete when it has that name; everything else
starts with a dot. Listing a day while another process publishes a merged file could see neither the old
files nor the new one, so both hold `.lock`: listing shared, publishing exclusive. The lock dies with its
process.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from infra.historians.samples import microseconds, moment
from plant.frames import Window

_counter = itertools.count()
_given_out = 0
_giving_out = threading.Lock()
_DAY = 86_400_000_000
_STRAY_AFTER = 86_400.0


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One complete file. `sequence` orders files by when they were written."""

    sequence: int
    path: Path
    first: int
    last: int
    rows: int

    def overlaps(self, start: int, end: int) -> bool:
        """Whether it may hold a sample in [start, end) microseconds."""
        return self.first < end and self.last >= start


@dataclass(frozen=True, slots=True)
class Missing:
    """What a damaged file held that was set aside: `rows` samples between `first` and `last`, included."""

    path: Path
    home: Path
    """Where it was, and a good copy belongs."""
    first: datetime
    last: datetime
    rows: int
    found: datetime


def day_of(us: int) -> date:
    """The UTC day of a time in microseconds."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + us // _DAY)


def day_start(day: date) -> int:
    """Microseconds since 1970 at the start of a UTC day."""
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * _DAY


def next_sequence() -> int:
    """A number larger than any given out before: by this process always, by others if clocks agree."""
    global _given_out
    with _giving_out:
        _given_out = max(time.time_ns(), _given_out + 1)
        return _given_out


def parse(path: Path) -> Segment | None:
    """The segment a file name describes; None for any other file."""
    if path.suffix != ".parquet" or path.name.startswith("."):
        return None
    try:
        first, last, rows, sequence, _ = (int(part) for part in path.stem.split("_"))
    except ValueError:
        return None
    return Segment(sequence=sequence, path=path, first=first, last=last, rows=rows)


class Folder:
    """The segment folder. Raises OSError; `infra.historians.parquet` says what to do about it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = root / ".lock"
        self._housekeeping = root / ".housekeeping"
        self.damaged = root / ".damaged"

    def prepare(self) -> None:
        """Make the folder and its locks, and remove what killed writers left behind."""
        self.root.mkdir(parents=True, exist_ok=True)
        for lock in (self._lock, self._housekeeping):
            lock.touch()
        self.sweep()

    def sweep(self) -> None:
        """Remove temporary files whose writer is gone and days that were being expired."""
        for stray in itertools.chain(self.root.glob(".tmp-*"), self.root.glob("*/.tmp-*")):
            with contextlib.suppress(FileNotFoundError):
                if not _alive(stray) or time.time() - stray.stat().st_mtime > _STRAY_AFTER:
                    stray.unlink()
        for expired in self.root.glob(".expired-*"):
            shutil.rmtree(expired, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, *, exclusive: bool) -> Iterator[None]:
        """Keep publishers and listers of all processes apart."""
        with self._lock.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def housekeeping(self, *, wait: bool) -> Iterator[bool]:
        """One process merges or expires at a time. False: another is at it, and we did not wait."""
        with self._housekeeping.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True

    def days(self) -> list[date]:
        """Days there is a folder for, oldest first."""
        found = []
        for entry in os.scandir(self.root):
            with contextlib.suppress(ValueError):
                day = date.fromisoformat(entry.name)
                if entry.is_dir():
                    found.append(day)
        return sorted(found)

    def missing(self) -> list[Missing]:
        """Damaged files that were set aside and are not back in the folder of their day, oldest time first."""
        found = []
        for path in self.damaged.glob("*.parquet"):
            day, _, name = path.name.partition("_")
            segment = parse(self.root / day / name)
            if segment and not segment.path.exists():
                at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                found.append(
                    Missing(path, segment.path, moment(segment.first), moment(segment.last), segment.rows, at)
                )
        return sorted(found, key=lambda one: one.first)

    def list(self, window: Window | None = None, days: Sequence[date] | None = None) -> list[Segment]:
        """Segments that may hold samples of the window, those written first, first."""
        start, end = (
            (microseconds(window.start), microseconds(window.end)) if window else (-(1 << 63), 1 << 63)
        )
        found = []
        with self.locked(exclusive=False):
            for day in self.days() if days is None else days:
                if not (day_start(day) < end and day_start(day) + _DAY > start):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    for entry in os.scandir(self.root / day.isoformat()):
                        segment = parse(Path(entry.path))
                        if segment and segment.overlaps(start, end):
                            found.append(segment)
        return sorted(found)

    def publish(
        self, data: bytes | memoryview, first: int, last: int, rows: int, replaces: Sequence[Segment] = ()
    ) -> Segment:
        """Make a file of one day durable and visible, then remove those it replaces. All or nothing."""
        folder = self.root / day_of(first).isoformat()
        sequence = max(s.sequence for s in replaces) if replaces else next_sequence()
        target = folder / f"{first}_{last}_{rows}_{sequence}_{os.getpid()}.parquet"
        temporary = self.root / f".tmp-{os.getpid()}-{next(_counter)}"
        try:
            _write_durably(temporary, data)
            if replaces:
                with self.locked(exclusive=True):
                    self._rename(temporary, target)
                    for old in replaces:
                        if old.path != target:
                            old.path.unlink(missing_ok=True)
            else:
                self._rename(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return Segment(sequence=sequence, path=target, first=first, last=last, rows=rows)

    def _rename(self, temporary: Path, target: Path) -> None:
        while True:
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True)
                sync_directory(self.root)
            try:
                temporary.rename(target)
            except FileNotFoundError:
                if not temporary.exists():
                    raise
                continue  # the day was expired between the two lines above
            sync_directory(target.parent)
            return

    def replace(self, name: str, data: bytes | memoryview) -> None:
        """Durably replace a small file of the folder itself."""
        temporary = self.root / f".tmp-{os.getpid()}-{next(_counter)}"
        try:
            _write_durably(temporary, data)
            temporary.rename(self.root / name)
            sync_directory(self.root)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def aside(self, segment: Segment) -> Path:
        """Where a damaged file is moved to."""
        return self.damaged / f"{segment.path.parent.name}_{segment.path.name}"

    def set_aside(self, segment: Segment, why: str, now: datetime) -> None:
        """Move a damaged file out of the way, with a report of what is missing beside it."""
        self.damaged.mkdir(exist_ok=True)
        target = self.aside(segment)
        with self.locked(exclusive=True):
            if not segment.path.exists():
                return  # another process was faster
            segment.path.rename(target)
        os.utime(target, (now.timestamp(), now.timestamp()))
        report = (
            f"found: {now.isoformat()}\nfile: {segment.path}\nwhy: {why}\nmissing: {segment.rows} samples"
            f" between {moment(segment.first).isoformat()} and {moment(segment.last).isoformat()}\n"
        )
        with contextlib.suppress(OSError):  # a full disk: the name of the file says what is missing
            target.with_suffix(".txt").write_text(report, encoding="utf-8")

    def expire(self, day: date) -> None:
        """Remove a whole day at once, as readers see it."""
        doomed = self.root / f".expired-{day.isoformat()}-{next_sequence()}"
        with self.locked(exclusive=True):
            (self.root / day.isoformat()).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)  # what is left is swept later


def sync_directory(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_durably(path: Path, data: bytes | memoryview) -> None:
    with path.open("xb", buffering=0) as handle:
        view = memoryview(data)
        while view:
            view = view[handle.write(view) :]
        os.fsync(handle.fileno())


def _alive(stray: Path) -> bool:
    pid = stray.name.split("-")[1]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
