"""Time for which samples are missing for good, and why: `<directory>/<collector>/gaps.jsonl`, one line each."""

import fcntl
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

from collectors.durable import make_directory, sync_directory

log = logging.getLogger(__name__)

NAME = "gaps.jsonl"


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples of a collector that will never arrive."""

    collector: str
    first: datetime
    """Earliest time of what is missing."""
    last: datetime
    """Latest time of what is missing, included."""
    rows: int
    """Samples lost; 0 when nobody knows how many."""
    why: str
    recorded_at: datetime
    source: str = ""
    """Whose samples; "": whatever the collector process had."""
    signals: tuple[str, ...] = ()
    """ "equipment.signal" of those that miss something; none: any of the source."""


def record(directory: Path, found: Iterable[Gap]) -> None:
    """Append gaps; on disk when this returns. Raises OSError: none of that collector's is recorded."""
    for collector, its in groupby(sorted(found, key=lambda gap: gap.collector), lambda gap: gap.collector):
        folder = directory / collector
        make_directory(folder)
        _append(folder / NAME, "".join(_line(gap) for gap in its).encode())


def gaps(directory: Path) -> list[Gap]:
    """All gaps recorded below a spool's folder, oldest record first, each once.

    A line cut short by a power cut and lines nobody can read are left out.
    """
    found: dict[Gap, Gap] = {}
    for file in sorted(Path(directory).glob(f"*/{NAME}")):
        for gap in _read(file):
            # A kill between recording and acting on it has the same gap recorded again.
            found.setdefault(replace(gap, recorded_at=gap.first), gap)
    return sorted(found.values(), key=lambda gap: gap.recorded_at)


def _line(gap: Gap) -> str:
    said = {
        "first": gap.first.isoformat(),
        "last": gap.last.isoformat(),
        "rows": gap.rows,
        "why": gap.why,
        "recorded_at": gap.recorded_at.isoformat(),
        "source": gap.source,
        "signals": list(gap.signals),
    }
    return json.dumps(said) + "\n"


def _append(path: Path, lines: bytes) -> None:
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            lines = b"\n" + lines  # what a power cut left of the last line stays alone on it
        try:
            view = memoryview(lines)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
    if not size:
        sync_directory(path.parent)


def _read(file: Path) -> list[Gap]:
    found, unreadable = [], 0
    for line in file.read_bytes().splitlines():
        try:
            said = json.loads(line)
            first, last, at = (datetime.fromisoformat(said[key]) for key in ("first", "last", "recorded_at"))
            if not all(time.tzinfo for time in (first, last, at)):
                raise ValueError("a time without a zone")
            source, signals = str(said.get("source", "")), tuple(map(str, said.get("signals", ())))
            found.append(
                Gap(file.parent.name, first, last, int(said["rows"]), str(said["why"]), at, source, signals)
            )
        except (ValueError, TypeError, KeyError):
            unreadable += bool(line.strip())
    if unreadable:
        log.warning("%d lines of %s cannot be read", unreadable, file)
    return found
