"""The collector of a folder: takes finished files in the order of their names."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.folder import files
from collectors.folder.files import FileError, Look, Settling
from collectors.folder.formats import Format, Slice
from collectors.ports import Emit, SourceStatus
from collectors.samples import no_value
from collectors.tables import MOST_PROBLEMS
from collectors.text import plain
from plant.model import Signal, Source

log = logging.getLogger(__name__)

LONGEST = 300
"""Characters of a problem; a file may hold anything."""


class ChangedError(Exception):
    """The file was written to while it was read."""


class FolderCollector:
    """Takes the files of one folder. A file is read twice: first whether all of it is right, then its samples; so a bad
    one is not taken in part."""

    def __init__(self, source: Source, signals: tuple[Signal, ...], options: Mapping[str, Any]) -> None:
        self.status = SourceStatus()
        self._source, self._signals, self._options = source, signals, options
        self._folder = Path(options["path"])
        self._format = Format(signals, options)
        self._settling = Settling(options["settle"])
        self._stuck: dict[Look, str] = {}
        """Files that are done with but could not be moved, and why."""
        self._taken, self._last = 0, ""

    async def run(self, emit: Emit) -> None:
        """Take files until cancelled."""
        await keep_connected(
            self.status,
            lambda: self._session(emit),
            lambda now: no_value(self._signals, now),
            emit,
        )

    async def _session(self, emit: Emit) -> None:
        while True:
            try:
                found, others = await asyncio.to_thread(files.candidates, self._folder)
                bad = await asyncio.to_thread(files.failed, self._folder)
            except OSError as error:
                raise ConnectionLostError(
                    f"folder {self._folder} cannot be read ({error.strerror or error}); create it, or correct its rights "
                    "or the option path"
                ) from error
            self._stuck = {look: why for look, why in self._stuck.items() if look in found}
            ready = self._settling.finished(found, asyncio.get_running_loop().time())
            waiting = [look for look in ready if look not in self._stuck]
            up(self.status, self._said(len(found) - len(self._stuck), others, bad))
            for look in waiting:
                await self._file(look, emit)
            if not waiting:
                await asyncio.sleep(self._options["poll"])

    def _said(self, waiting: int, others: int, bad: int) -> str:
        parts = [f"watching {self._folder}: {self._taken} files taken, {waiting} waiting"]
        if others:
            parts.append(f"{others} are neither .csv nor .parquet and stay")
        if bad:
            parts.append(f"{bad} refused in {files.FAILED}/, each with the reason beside it")
        parts += [f"{look.name} cannot be moved ({why}); allow it" for look, why in self._stuck.items()]
        return "; ".join([*parts, self._last] if self._last else parts)

    async def _file(self, look: Look, emit: Emit) -> None:
        """Take one file, or set it aside."""
        path = self._folder / look.name
        try:
            if problems := await self._wrong(path, look):
                await self._set_aside(look, problems)
                return
            rows, others = await self._emit_all(path, look, emit)
        except (ChangedError, FileNotFoundError):
            log.info("source %s: %s was changed while it was read; it is read again", self._source.id, path)
            return
        except OSError as error:
            self._stuck[look] = f"it cannot be read: {error.strerror or error}"
            log.error("source %s: %s: %s", self._source.id, path, self._stuck[look])
            return
        left_out = f", {others} rows of other signals left out" if others else ""
        self._last = f"last: {look.name}, {rows} samples{left_out}"
        self._taken += 1
        await self._put_away(look)

    async def _wrong(self, path: Path, look: Look) -> list[str]:
        """What is wrong with a file, at most the first of each kind; empty when nothing is."""
        problems: list[str] = []
        try:
            names = await asyncio.to_thread(files.columns, path, self._options["delimiter"])
            if heading := self._format.heading_problem(names):
                return [plain(heading, LONGEST)]
            async for done, part in self._parts(path, look):
                self.status.detail = f"checking {look.name}: {done} rows"
                problems += part.problems
                if len(problems) >= MOST_PROBLEMS:
                    break
        except FileError as error:
            problems.append(str(error))
        for key in self._format.absent(names) if not problems else ():
            self.status.notes[key] = f"{look.name} has no column for it"
        return [plain(problem, LONGEST) for problem in problems[: 2 * MOST_PROBLEMS]]

    async def _emit_all(self, path: Path, look: Look, emit: Emit) -> tuple[int, int]:
        """The samples on disk and the rows of other signals, of a file that is right."""
        samples, others = 0, 0
        async for done, part in self._parts(path, look):
            self.status.detail = f"reading {look.name}: {done} rows, {samples} samples"
            if part.problems:
                raise ChangedError
            if not part.samples.is_empty():
                await emit(part.samples)
                self._show(part.samples)
            samples, others = samples + part.samples.height, others + part.others
        return samples, others

    async def _parts(self, path: Path, look: Look) -> AsyncIterator[tuple[int, Slice]]:
        """The rows so far and what they give, slice by slice. Raises ChangedError, FileError, OSError."""
        parts = self._slices(path)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part
        if await asyncio.to_thread(files.look, path) != look:
            raise ChangedError

    def _slices(self, path: Path) -> Iterator[tuple[int, Slice]]:
        for first, rows in files.slices(path, self._options["delimiter"]):
            yield first - 2 + rows.height, self._format.read(rows, first, utc_now())

    def _show(self, samples: pl.DataFrame) -> None:
        latest = samples.group_by(pl.concat_str("equipment", "signal", separator=".").alias("key")).agg(
            pl.col("value", "text").last()
        )
        for key, value, text in latest.iter_rows():
            self.status.notes.pop(key, None)
            if value is None and text is None:
                self.status.bad[key] = "the newest file has no value for it"
            else:
                self.status.bad.pop(key, None)

    async def _put_away(self, look: Look) -> None:
        path = self._folder / look.name
        try:
            if self._options["after"] == "delete":
                await asyncio.to_thread(path.unlink)
            else:
                await asyncio.to_thread(files.put_away, path, self._folder / files.DONE)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._stuck[look] = error.strerror or str(error)
            log.error("source %s: %s cannot be moved: %s", self._source.id, path, error)

    async def _set_aside(self, look: Look, problems: list[str]) -> None:
        path = self._folder / look.name
        why = "\n".join(f"{look.name}: {problem}" for problem in problems)
        why = f"{why}\n\nNothing of this file was taken. Correct it and put it back into {self._folder}."
        log.error("source %s: %s is refused: %s", self._source.id, path, problems[0])
        self._last = f"last refused: {look.name}: {problems[0]}"
        try:
            await asyncio.to_thread(files.set_aside, path, why)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._stuck[look] = f"{error.strerror or error}; it is refused: {problems[0]}"
