"""A backfill from beginning to end: thin out what is not thinned out yet, derive, store what differs."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import polars as pl
from sqlalchemy import Connection

from collectors.spool import Entry, Spool
from infra.backfill.engines import Engine, work
from infra.backfill.partitions import (
    BackfillError,
    Partition,
    Sizes,
    Task,
    days,
    file_name,
    groups,
    identities,
    sizes,
    tasks,
    thin_out,
)
from infra.folder import DataFolder
from infra.historians.waiting import WithWaiting
from infra.ledger.joined import part_of
from infra.ledger.rederive import AHEAD, ledger_said, said_on, stored_facts, whole_samples
from infra.ledger.restating import Why, common, keep
from infra.records.audit import Audit
from infra.records.corrections import Restatement
from infra.records.database import Database, serialise
from infra.records.ledger import DAY, LedgerRows, days_of
from infra.shifts import shift_edges, shift_ends
from pipelines.accept import accept
from pipelines.derive import Facts
from pipelines.names import Names
from pipelines.ports import Historian
from plant.frames import Window
from plant.model import Plant

GRACE = timedelta(minutes=2)
"""A shift that ended less long ago is not closed yet: samples may be on their way."""
LOOK_BACK = timedelta(days=1)
"""Before the window, at least: what was going on when it begins."""
CHUNK = 200
"""About the machine-days stored in one transaction: others wait for a second at most."""
STALE = timedelta(days=7)
"""Thinned samples nothing needed for so long are removed."""
RESUMED = timedelta(hours=12)
"""Where the historian does not tell whether its samples changed, what is older is read again."""
TRIES = 5


class Watcher(Protocol):
    """Who shows how far it is."""

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """A stage with so many steps begins."""

    def advance(self, steps: int, rows: int) -> None:
        """Steps of it are done, with so many samples or rows."""


@dataclass
class Summary:
    """What a backfill did."""

    window: Window
    """What was asked for, as far as it is closed."""
    machines: int = 0
    days: int = 0
    samples: int = 0
    """Read now."""
    partitions: int = 0
    kept: int = 0
    """Of the partitions, those that were thinned out before."""
    rows: int = 0
    """In the window now, of these machines."""
    changed: list[tuple[str, Window]] = field(default_factory=list)
    """Machines, and when their rows are others than before."""
    restated: list[Restatement] = field(default_factory=list)
    busy: float = 0.0
    """Seconds the workers were at work."""


class _ChangedError(Exception):
    """Samples came while they were derived from."""


class Backfill:
    """One backfill of one plant. Another one on the same data folder is refused meanwhile; a running server is not in
    the way."""

    def __init__(self, plant: Plant, folder: DataFolder, historian: Historian, database: Database) -> None:
        """
        Args:
            plant: secrets not resolved; `historian` and `database` are open already.
        """
        self._plant, self._folder, self._historian, self._database = plant, folder, historian, database
        self._spool, self._names = Spool(folder.spool), Names(plant.signals)
        self._history = WithWaiting(historian, self._spool, self._accepted)

    def run(
        self,
        asked: Window,
        equipment: Sequence[str],
        by: Engine,
        user: str,
        now: datetime,
        watcher: Watcher,
    ) -> Summary:
        """Derive and store [start, end), as far as it is closed.

        Args:
            equipment: ids of machines; those they are joined to are derived with them. None given: all.
        Raises:
            BackfillError, HistorianError, RecordsError: what was done so far stays; the same call goes on from there.
        """
        chosen = list(equipment) or [m.id for m in self._plant.machines()]
        with self._alone():
            window = self._closed(asked, bool(equipment), now)
            many = sizes(self._plant, self._folder, window)
            of = groups(self._plant, chosen, many.of_machine_day)
            done = Summary(window, sum(len(g) for g in of), len(list(days_of(window))))
            spans = {tuple(group): self._span(group, window, now) for group in of}
            used = self._thin(spans, many, by, watcher, done)
            watcher.begin("Deriving", len(of))
            why = Why(user, "backfill", f"backfill of {self._wall(window.start)} to {self._wall(window.end)}")
            for group, span in spans.items():
                before = done.rows
                used |= self._derive(group, span, window, why, now, done)
                watcher.advance(1, done.rows - before)
            with self._database.begin() as connection:
                Audit(connection).add(now, user, "ledger.backfill", self._plant.site.id, _told(done))
            self._tidy(used)
        return done

    def _closed(self, asked: Window, some: bool, now: datetime) -> Window:
        """The window up to where time is closed. What lies behind it belongs to the server."""
        with self._database.read() as connection:
            stored = LedgerRows(connection).span()
        if stored is None and some:
            raise BackfillError("nothing is stored yet: run it once without --equipment, for all machines")
        ends = shift_ends(self._plant, asked.start, now - GRACE)
        limit = stored.end if stored else ends[-1] if ends else now - GRACE
        if asked.start >= limit:
            raise BackfillError(
                f"time is closed up to {self._wall(limit)}: --from must be earlier. What follows is stored by `lineside up` "
                "when a shift ends"
            )
        return Window(asked.start, min(asked.end, limit))

    def _span(self, group: Sequence[str], window: Window, now: datetime) -> Window:
        """The samples a group needs: from the beginning of what it was doing, in whole days, to a little after."""
        with self._database.read() as connection:
            rows = LedgerRows(connection)
            since = min(rows.since(machine, window.start) for machine in group)
        back = min(since, window.start - max(LOOK_BACK, self._plant.look_back))
        end = max(window.end, min(window.end + AHEAD, now))
        return Window(next(days_of(Window(back, end))), end)

    def _thin(
        self,
        spans: Mapping[tuple[str, ...], Window],
        many: Sizes,
        by: Engine,
        watcher: Watcher,
        done: Summary,
    ) -> set[Path]:
        """Have all thinned out that is not yet. The files."""
        wanted = {
            partition: path
            for group, span in spans.items()
            for partition, path in self._files(group, span).items()
        }
        todo = [partition for partition, path in wanted.items() if not self._there(path)]
        todo.sort(key=lambda partition: partition.window.start)
        done.partitions, done.kept = len(wanted), len(wanted) - len(todo)
        watcher.begin("Reading samples", len(wanted), done.kept)
        for task, answer in work(by, tasks(self._plant, self._folder.root, todo, many.of_machine_day)):
            for partition, content in zip(task.partitions, answer.files, strict=True):
                _write(wanted[partition], content)
            done.samples += answer.samples
            done.busy += answer.seconds
            watcher.advance(len(task.partitions), answer.samples)
        return set(wanted.values())

    def _files(self, group: tuple[str, ...], span: Window) -> dict[Partition, Path]:
        """Where the thinned samples of a group are, as what the historian holds is now."""
        told = identities(self._plant, self._folder, span)
        return {
            p: self._folder.backfill / file_name(self._plant, p, _identity(told, p))
            for p in days(group, span)
        }

    def _there(self, path: Path) -> bool:
        try:
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            return False
        return self._plant.historian.kind == "parquet" or datetime.now(UTC) - written < RESUMED

    def _derive(
        self, group: tuple[str, ...], span: Window, window: Window, why: Why, now: datetime, done: Summary
    ) -> set[Path]:
        """Derive a group and store what differs, once more when its samples change meanwhile. The files it used."""
        reached = window.start
        for _ in range(TRIES):
            files = self._files(group, span)
            waiting = self._waiting(span)
            found = self._facts(group, files, span, now)
            try:
                for chunk in self._chunks(group, Window(reached, window.end)):
                    with self._database.begin() as connection:
                        serialise(connection, "ledger")
                        # Who stores late samples waits for us, or has stored them and we see them.
                        if self._files(group, span) != files or self._waiting(span) != waiting:
                            raise _ChangedError
                        self._store(connection, group, found, span, chunk, why, now, done)
                    reached = chunk.end
            except _ChangedError:
                continue
            return set(files.values())
        raise BackfillError(
            f"samples of {', '.join(group)} kept coming: run the same command again when they are in"
        )

    def _facts(
        self, group: tuple[str, ...], files: Mapping[Partition, Path], span: Window, now: datetime
    ) -> Facts:
        for partition, path in files.items():
            if not self._there(path):
                answer = thin_out(Task(self._plant, self._folder.root, [partition], 1))
                _write(path, answer.files[0])
        part = part_of(self._plant, group)
        before = whole_samples(self._history, part, dict.fromkeys(group, span.start), span.start, span.start)
        late = [
            rows.filter(pl.col("equipment").is_in(list(group)))
            for entry in self._waiting(span)
            for rows in [self._accepted(self._spool.read(entry))]
        ]
        kept = pl.concat([before, *(pl.read_parquet(path) for path in files.values()), *late])
        return stored_facts(kept, part, Window(span.start, span.end), span.end)

    def _waiting(self, span: Window) -> list[Entry]:
        return [entry for entry in self._spool.pending() if entry.overlaps(span)]

    def _accepted(self, batch: pl.DataFrame) -> pl.DataFrame:
        return accept(batch, self._names, datetime.now(UTC)).samples

    def _chunks(self, group: Sequence[str], window: Window) -> Iterator[Window]:
        """The window in pieces that end where rows end anyway."""
        longest = max(DAY, DAY * (CHUNK // len(group)))
        start = window.start
        for edge in [*shift_edges(self._plant, window), window.end]:
            if edge - start >= longest or edge == window.end:
                yield Window(start, edge)
                start = edge

    def _store(
        self,
        connection: Connection,
        group: Sequence[str],
        found: Facts,
        span: Window,
        chunk: Window,
        why: Why,
        now: datetime,
        done: Summary,
    ) -> None:
        rows = LedgerRows(connection)
        wide = common(rows, dict.fromkeys(group, chunk), chunk)
        part = part_of(self._plant, group)
        of_people = said_on(connection, part, Window(span.start, wide.end), found.runs)
        derived = ledger_said(found, of_people, part, wide, shift_edges(self._plant, wide))
        stored = rows.touching(wide, group)
        kept = keep(connection, self._plant, group, stored, derived, now, why)
        done.rows += derived.height
        done.changed += kept.changed
        done.restated += kept.restated

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.backfill.mkdir(exist_ok=True)
        with (self._folder.backfill / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackfillError(
                    f"another backfill of {self._folder.root} is under way: wait until it is done"
                ) from None
            for left in self._folder.backfill.glob(".tmp-*"):  # of one that was killed: we are alone
                left.unlink(missing_ok=True)
            yield

    def _tidy(self, used: set[Path]) -> None:
        """Remove what nobody needs any more."""
        tells = self._plant.historian.kind == "parquet"
        for path in self._folder.backfill.glob("*.parquet"):
            age = datetime.now(UTC) - datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if (path in used and not tells) or (path not in used and age > STALE):
                path.unlink()

    def _wall(self, at: datetime) -> str:
        return f"{at.astimezone(self._plant.site.zone):%Y-%m-%d %H:%M}"


def _identity(told: Mapping[date, str] | None, partition: Partition) -> str:
    return "" if told is None else told.get(partition.window.start.date(), "")


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(path)


def _told(done: Summary) -> dict[str, object]:
    return {
        "from": done.window.start.isoformat(),
        "to": done.window.end.isoformat(),
        "machines": done.machines,
        "rows": done.rows,
        "changed": len(done.changed),
        "restated": len(done.restated),
    }
