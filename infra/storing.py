"""From the spool into the historian, in a thread of its own: store, and only then let go of the batch.

What the plant or the historian refuses for good goes to the dead letter. While the historian is away samples wait
in the spool and are tried again, ever more rarely; the board does not depend on it.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl

from alerting.dispatch import Backoff
from collectors.spool import Entry, Spool, SpoolDamagedError
from infra.deadletter import DeadLetter
from pipelines.accept import accept
from pipelines.names import LatestNames
from pipelines.ports import Historian, HistorianError
from plant.frames import REFUSED
from plant.model import Plant

log = logging.getLogger(__name__)

MOST_ROWS = 200_000
"""Samples of one write."""
MOST_BATCHES = 1_000
FAILED = (Exception, pl.exceptions.PanicException)
"""What a batch can set off; a panic inside polars is no Exception."""
IDLE = 0.2
"""Seconds between two looks when there is nothing to store."""
BACKOFF = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=30), give_up=timedelta(minutes=10))
CONFIGURATION = timedelta(seconds=60)
"""Between tries when only a person can mend it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing can be stored."""

    since: datetime
    problem: str
    tries: int
    next_try: datetime


class Storing:
    """Stores batches oldest first, so the samples of a signal in the order they were received.

    `once` is the work, `run` repeats it. A crash at any point repeats a batch, and storing it twice changes nothing.
    """

    def __init__(
        self,
        spool: Spool,
        historian: Historian,
        dead: DeadLetter,
        plant: Callable[[], Plant],
        settled: Callable[[], Mapping[str, int]],
        rng: Random | None = None,
    ) -> None:
        """
        Args:
            settled: per collector, the highest sequence that may leave the spool.
        """
        self._spool, self._historian, self._dead = spool, historian, dead
        self._plant, self._settled, self._rng = plant, settled, rng or Random()
        self._names = LatestNames()
        self._queue: deque[Entry] = deque()
        self.stored = 0
        self.refused = 0
        self.trouble: Trouble | None = None
        self.tried = False
        """Whether `trouble` says anything yet."""

    def run(self, stop: threading.Event) -> None:
        """Store until told to stop."""
        while not stop.is_set():
            now = datetime.now(UTC)
            if self.trouble is not None and now < self.trouble.next_try:
                stop.wait(min(IDLE, (self.trouble.next_try - now).total_seconds()))
            elif not self.attempt(now):
                stop.wait(IDLE)

    def attempt(self, now: datetime) -> int:
        """`once`; what goes wrong is noted as `trouble` and not raised. How many batches left the spool."""
        try:
            return self._attempt(now)
        finally:
            self.tried = True

    def _attempt(self, now: datetime) -> int:
        try:
            taken = self.once(now)
        except HistorianError as error:
            self._note(str(error), now, error.configuration, timedelta(seconds=error.retry_after))
        except OSError as error:
            self._note(f"the spool or the dead letter: {error}", now)
        except FAILED as error:
            log.exception("storing failed")
            self._note(_said(error), now)
        else:
            if self.trouble is not None:
                log.info("samples are stored again, after %s", now - self.trouble.since)
                self.trouble = None
            return taken
        self._queue.clear()
        return 0

    def once(self, now: datetime) -> int:
        """One write's worth. How many batches left the spool.

        Raises HistorianError, OSError, and whatever else kept every batch from being stored: nothing was let go.
        """
        entries = self._next()
        frames: list[tuple[Entry, pl.DataFrame]] = []
        for entry in entries:
            try:
                frames.append((entry, self._spool.read(entry)))
            except SpoolDamagedError as error:
                log.error("%s", error)
        if frames:
            self._store(frames, now)
        elif self.trouble is not None and not (health := self._historian.health()).ok:
            raise HistorianError(health.detail)
        for entry, _ in frames:
            self._spool.remove(entry)
        return len(entries)

    def _next(self) -> list[Entry]:
        if not self._queue:
            settled = self._settled()
            self._queue.extend(e for e in self._spool.pending() if e.sequence <= settled.get(e.collector, -1))
        taken: list[Entry] = []
        rows = 0
        # After a failure never one alone: whether a batch is to blame shows beside another.
        least = 2 if self.trouble else 1
        while self._queue and len(taken) < MOST_BATCHES and (rows < MOST_ROWS or len(taken) < least):
            taken.append(self._queue.popleft())
            rows += taken[-1].rows
        return taken

    def _store(self, frames: Sequence[tuple[Entry, pl.DataFrame]], now: datetime) -> None:
        """Set aside a batch that cannot be stored while those beside it can; if none can, it is not the batches."""
        try:
            self._write(frames, now)
        except (HistorianError, OSError):
            raise
        except FAILED:
            if len(frames) == 1:
                raise
            log.exception("%d batches cannot be stored together, now one by one", len(frames))
            self._store_singly(frames, now)

    def _store_singly(self, frames: Sequence[tuple[Entry, pl.DataFrame]], now: datetime) -> None:
        failed: list[tuple[Entry, pl.DataFrame, BaseException]] = []
        for entry, frame in frames:
            try:
                self._write([(entry, frame)], now)
            except (HistorianError, OSError):
                raise
            except FAILED as error:
                failed.append((entry, frame, error))
        if len(failed) == len(frames):
            raise failed[0][2]
        for entry, frame, why in failed:
            self._refuse(entry, frame.with_columns(problem=pl.lit(_said(why))))

    def _write(self, frames: Sequence[tuple[Entry, pl.DataFrame]], now: datetime) -> None:
        known = self._names.of(self._plant().signals)
        accepted = accept(pl.concat([frame for _, frame in frames]), known, now)
        try:
            refused = self._historian.write(accepted.samples)
        except ValueError as error:
            # No historian can store such a frame; the batch beside it is not to blame.
            if len(frames) > 1:
                for one in frames:
                    self._write([one], now)
                return
            refused = accepted.samples.with_columns(problem=pl.lit(str(error)))
        self.stored += accepted.samples.height - refused.height
        refused = pl.concat([accepted.rejected.select(REFUSED.keys()), refused.select(REFUSED.keys())])
        if refused.height:
            self._refuse(frames[0][0], refused)

    def _refuse(self, first: Entry, refused: pl.DataFrame) -> None:
        self._dead.keep(first.collector, first.sequence, refused)
        self.refused += refused.height
        problem = refused["problem"].value_counts(sort=True)["problem"][0]
        log.warning(
            "%d samples refused, mostly because %s: see `lineside spool dead`", refused.height, problem
        )

    def _note(
        self,
        problem: str,
        now: datetime,
        configuration: bool = False,
        retry_after: timedelta = timedelta(0),
    ) -> None:
        before = self.trouble
        tries = before.tries + 1 if before else 1
        wait = BACKOFF.wait(tries - 1, self._rng, retry_after)
        if configuration:
            wait = max(wait, CONFIGURATION)
        if before is None or before.problem != problem:
            log.error("samples wait in the spool: %s", problem)
        self.trouble = Trouble(before.since if before else now, problem, tries, now + wait)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
