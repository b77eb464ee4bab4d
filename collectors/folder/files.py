"""The files of a folder: which are finished, reading one in slices, putting it away."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from collectors.durable import sync_directory, write_durably

BLOCK, ROWS = 4 * 1024 * 1024, 50_000
"""Bytes of CSV and rows of Parquet read at a time."""
LONGEST_ROW = 16 * 1024 * 1024
UTF16 = (b"\xff\xfe", b"\xfe\xff")
SUFFIXES = (".csv", ".parquet")
UNFINISHED = (".tmp", ".part", ".crdownload", ".filepart", "~")
"""Names of files somebody still writes."""
DONE, FAILED = "done", "failed"


class FileError(Exception):
    """A file that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Look:
    """A file as it was seen: it is the same as long as all of this is."""

    name: str
    size: int
    changed: int
    """Nanoseconds since 1970, on the clock of whoever keeps the file."""
    inode: int


def look(path: Path) -> Look:
    """Raises OSError."""
    found = path.stat()
    return Look(path.name, found.st_size, found.st_mtime_ns, found.st_ino)


def candidates(folder: Path) -> tuple[list[Look], int]:
    """The files that may be taken, by name, and how many there are of other kinds. Raises OSError."""
    found, others = [], 0
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
    for name in names:
        if name.startswith(".") or name.lower().endswith(UNFINISHED):
            continue
        if not name.lower().endswith(SUFFIXES):
            others += 1
            continue
        try:
            found.append(look(folder / name))
        except FileNotFoundError:
            continue  # gone meanwhile
    return found, others


class Settling:
    """Which files have stopped changing. `settle`: seconds they must not have changed for."""

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._since: dict[Look, float] = {}

    def finished(self, seen: list[Look], clock: float) -> list[Look]:
        """Those of `seen` that are finished at `clock`, any clock of seconds that never goes back."""
        self._since = {file: self._since.get(file, clock) for file in seen}
        return [file for file, since in self._since.items() if clock - since >= self._settle]


def columns(path: Path, delimiter: str) -> list[str]:
    """The headings. Raises FileError, OSError."""
    try:
        if path.suffix.lower() == ".parquet":
            with path.open("rb") as file:
                return list(pl.read_parquet_schema(file))
        with path.open("rb") as file:
            head = _head(file)
        if head.startswith(UTF16) or b"\0" in head:
            raise FileError("is not UTF-8 but UTF-16 or no text at all; save it as CSV UTF-8")
        return next(csv.reader([head.decode("utf-8", "replace")], delimiter=delimiter), [])
    except (pl.exceptions.PolarsError, csv.Error) as error:
        raise _unreadable(path, error) from error


def slices(path: Path, delimiter: str, block: int = BLOCK) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows, about `block` bytes of CSV or ROWS of Parquet at a time, each time with the number a spreadsheet shows
    for the first. Raises FileError, OSError."""
    row = 2
    try:
        for part in _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, delimiter, block):
            yield row, part
            row += part.height
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, error) from error


def _parquet(path: Path) -> Iterator[pl.DataFrame]:
    with path.open("rb"):
        pass  # polars has an error of its own for what cannot be opened
    rows, at = pl.scan_parquet(path, glob=False), 0
    while (part := rows.slice(at, ROWS).collect()).height:
        yield part
        at += part.height


def _csv(path: Path, delimiter: str, block: int) -> Iterator[pl.DataFrame]:
    with path.open("rb") as file:
        head, rest = _head(file), b""
        while data := file.read(block):
            whole, rest = _whole_rows(rest + data)
            if len(rest) > LONGEST_ROW:
                raise FileError(f'has a row of more than {LONGEST_ROW} bytes; is a quote (") never closed?')
            if whole:
                yield _rows(head + whole, delimiter)
        if rest.strip():
            yield _rows(head + rest, delimiter)


def _rows(text: bytes, delimiter: str) -> pl.DataFrame:
    return pl.read_csv(text, separator=delimiter, infer_schema=False, encoding="utf8-lossy")


def _head(file: BinaryIO) -> bytes:
    """The headings' line, of which a quoted one may hold line ends."""
    head = file.readline(LONGEST_ROW)
    while head.count(b'"') % 2 and (more := file.readline(LONGEST_ROW)) and len(head) < LONGEST_ROW:
        head += more
    return head


def _whole_rows(data: bytes) -> tuple[bytes, bytes]:
    """What ends with a row, and the rest. A line end in quotes ends no row."""
    cut = data.rfind(b"\n") + 1
    if data.count(b'"', 0, cut) % 2:
        cut = data.rfind(b"\n", 0, data.rfind(b'"', 0, cut)) + 1
    return data[:cut], data[cut:]


def _unreadable(path: Path, error: Exception) -> FileError:
    return FileError(f"is not a readable {path.suffix[1:].lower()} file ({str(error).splitlines()[0]})")


def put_away(file: Path, into: Path) -> Path:
    """Move a file into a folder beside it, under a name nothing has there. Raises OSError."""
    if not into.is_dir():
        into.mkdir(exist_ok=True)  # not what is above it: a folder that was taken away stays away
        sync_directory(into.parent)
    to, number = into / file.name, 1
    while to.exists() or to.with_name(to.name + ".txt").exists():
        number += 1
        to = into / f"{file.stem}-{number}{file.suffix}"
    file.rename(to)
    sync_directory(into)
    sync_directory(file.parent)
    return to


def set_aside(file: Path, why: str) -> Path:
    """Move a bad file to failed/ with a text beside it that says why. Raises OSError."""
    to = put_away(file, file.parent / FAILED)
    write_durably(to.with_name(to.name + ".txt"), (why.rstrip() + "\n").encode())
    return to


def failed(folder: Path) -> int:
    """How many files wait in failed/. Raises OSError."""
    try:
        with os.scandir(folder / FAILED) as entries:
            return sum(1 for e in entries if e.is_file() and e.name.lower().endswith(SUFFIXES))
    except FileNotFoundError:
        return 0
