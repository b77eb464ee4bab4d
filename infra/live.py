"""The plant as derived live. Recent time comes from the fold, older time from the historian, by the same functions."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import polars as pl
from sqlalchemy import Connection

from analytics.facts.cycles import cycle_times
from analytics.forecast.finish import EPOCH, RESOLUTION
from analytics.improvement.idealcycle import rated_cycles
from analytics.ledger.gaps import states_from_cycles
from execution.orders import JobOrder
from infra.historians.waiting import History
from infra.ledger.joined import joined, part_of
from infra.ledger.rederive import (
    AHEAD,
    discrete_signals,
    ledger_of,
    ledger_said,
    said,
    said_on,
    stored_facts,
    stored_samples,
    whole_samples,
)
from infra.ledger.restating import Why, reach, restate
from infra.records.database import Database
from infra.records.orders import Orders
from pipelines.derive import Facts
from pipelines.fold import Fold
from pipelines.ports import HistorianError
from pipelines.running import RunningLedger
from plant.frames import Window
from plant.model import Plant

log = logging.getLogger(__name__)

REMEMBERED = timedelta(hours=26)
"""How far back the fold reaches: more than a day of shifts, so that the board never asks the historian."""
ASK_AGAIN = 5.0
"""Seconds a history that could not be read is left alone."""


class Live:
    """Facts and ledger of a running plant. Not thread-safe: its owner holds the lock."""

    def __init__(self, plant: Plant, history: History, database: Database, now: datetime) -> None:
        self.plant = plant
        self._history, self._database = history, database
        self.since = _remembered_at(now)
        self.problem = ""
        """Why this is not all there is; "" when it is. Then make another one once the history can be read."""
        self._ask_again = 0.0
        start = self.since - plant.look_back
        self._fold = Fold(plant, self._stored, start)
        self._running = RunningLedger(plant, self._fold)
        self._signals = discrete_signals(plant)
        try:
            self.accept(history.last(start))
            for batch in history.read_batches(Window(start, now + AHEAD), signals=self._signals):
                self.accept(batch)
        except HistorianError as error:
            self._lacks(error)

    def accept(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Take samples that are stored or wait to be. Returns the spans (equipment, earliest, latest) of time that was
        derived before and is different now.

        Late samples need the history. If it cannot be read they are left out, and `problem` says so.
        """
        try:
            taken = self._fold.accept(samples)
        except HistorianError as error:
            self._lacks(error)
            if samples.height == 1:
                return samples.select("equipment", earliest="time", latest="time")
            ordered = samples.sort("time")
            middle = samples.height // 2
            return pl.concat([self.accept(ordered[:middle]), self.accept(ordered[middle:])])
        return pl.concat([taken.restated, taken.forgotten])

    def ledger(
        self,
        window: Window,
        now: datetime,
        edges: Iterable[datetime] = (),
        machines: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """`plant.frames.LEDGER` of the window, cut off at now; of these machines, or all."""
        window = Window(min(window.start, now), min(window.end, now))
        if machines is None or window.start >= self.since:
            rows = ledger_of(self._facts(window, now), self._database, self.plant, window, edges)
        else:
            part = part_of(self.plant, joined(self.plant, machines))
            involved = [m.id for m in part.machines()]
            samples = stored_samples(
                self._history, discrete_signals(part), window, now, involved, part.look_back
            )
            found = stored_facts(samples, part, window, now)
            rows = ledger_of(found, self._database, part, window, edges)
        return rows if machines is None else rows.filter(pl.col("equipment").is_in(list(machines)))

    def cycles(self, window: Window, now: datetime) -> pl.DataFrame:
        """Cycle times of the window, rated (`analytics.improvement.idealcycle.rated_cycles`)."""
        found = self._facts(window, now)
        runs = said(self._database, self.plant, window, found.runs)[0]
        inside = pl.col("time").is_between(window.start, window.end, closed="left")
        states = states_from_cycles(found.intervals, found.increments, runs, self.plant)
        times = cycle_times(found.increments, states, found.signalled)
        return rated_cycles(times.filter(inside), runs, self.plant)

    def _facts(self, window: Window, now: datetime) -> Facts:
        if window.start >= self.since:
            return self._fold.facts(now)
        samples = stored_samples(self._history, self._signals, window, now, look_back=self.plant.look_back)
        return stored_facts(samples, self.plant, window, now)

    def running_ledger(self, start: datetime, now: datetime, edges: Iterable[datetime]) -> pl.DataFrame:
        """`ledger` from `start` (not before `since`) to now, for who asks every second: only what is new since
        the last time is derived, as long as `start` stays, or moves on to one of the edges."""
        window = Window(start, now)
        runs, recodes, corrections = said(self._database, self.plant, window, self._fold.runs(now))
        return self._running.rows(window, runs, recodes, edges, corrections)

    def reported_runs(self, now: datetime) -> pl.DataFrame:
        """`plant.frames.ORDER_RUNS` as the machines' own order signals say."""
        return self._fold.runs(now)

    def restate(
        self, connection: Connection, equipment: str, window: Window, now: datetime, why: Why
    ) -> list[tuple[str, Window]]:
        """`infra.ledger.restating.restate` of one window by what is known now."""
        return self.restate_each(connection, equipment, [window], now, why)

    def restate_each(
        self, connection: Connection, equipment: str, windows: Sequence[Window], now: datetime, why: Why
    ) -> list[tuple[str, Window]]:
        """The same of several windows, for one reason."""
        derive = partial(self._again, now)
        return restate(connection, self.plant, derive, equipment, windows, now, why)

    def reach(self, equipment: str, span: Window, limit: datetime) -> Window:
        """`infra.ledger.restating.reach` in the history."""
        return reach(self._history, self.plant, equipment, span, limit)

    def _again(
        self,
        now: datetime,
        connection: Connection,
        window: Window,
        since: Mapping[str, datetime],
        edges: Sequence[datetime],
    ) -> pl.DataFrame:
        # Not from the fold: that does not know what a counter showed before its memory begins.
        samples = whole_samples(self._history, self.plant, since, window.end, now)
        found = stored_facts(samples, self.plant, window, now)
        of_people = said_on(connection, self.plant, Window(min(since.values()), window.end), found.runs)
        begins = {m.id: window.start if m.id in since else window.end for m in self.plant.machines()}
        return ledger_said(found, of_people, self.plant, window, edges, begins)

    def forget(self, now: datetime) -> None:
        """Let go of what is older than REMEMBERED."""
        self.since = max(self.since, _remembered_at(now))
        self._fold.forget(self.since)

    def orders(self) -> list[JobOrder]:
        """All orders."""
        with self._database.read() as connection:
            return Orders(connection).all()

    def _lacks(self, error: HistorianError) -> None:
        if not self.problem:
            log.error("the live figures lack what was stored before: %s", error)
        self.problem = str(error)

    def _stored(self, equipment: Sequence[str], window: Window) -> pl.DataFrame:
        if time.monotonic() < self._ask_again:
            raise HistorianError(self.problem)
        try:
            return self._history.read(window, equipment, self._signals)
        except HistorianError:
            self._ask_again = time.monotonic() + ASK_AGAIN
            raise


def _remembered_at(now: datetime) -> datetime:
    """Where the memory begins: an instant the running ledger is cut at anyway."""
    since = now - REMEMBERED
    return since - (since - EPOCH) % RESOLUTION
