"""Samples that make closed time different: which those are, and the stored ledger derived again where they reach."""

import logging
from datetime import datetime, timedelta

import polars as pl

from infra.historians.waiting import WithWaiting
from infra.ledger.restating import Why
from infra.live import Live
from infra.records.arrivals import Arrivals
from infra.records.database import Database
from infra.records.ledger import LedgerRows
from pipelines.ports import HistorianError
from pipelines.spans import together
from plant.frames import Window

log = logging.getLogger(__name__)

CLOSED_AFTER = timedelta(minutes=1)
"""No shift is closed before it is over for longer."""


class LateSamples:
    """What they make different and is not stored yet. Used by one thread at a time, with nobody correcting meanwhile."""

    def __init__(self, database: Database, history: WithWaiting) -> None:
        self._database, self._history = database, history
        self._owed: list[pl.DataFrame] = []
        """Spans (equipment, earliest, latest) of closed time."""

    @property
    def owed(self) -> bool:
        """Something is not stored yet."""
        return bool(self._owed)

    def take(self, live: Live, samples: pl.DataFrame, now: datetime) -> None:
        """Accept samples, and remember the closed time they make different."""
        changed = pl.concat([live.accept(samples), self._closed_of(live, samples, now)])
        if not changed.is_empty():
            self._owed.append(changed)

    def settle(self, live: Live, now: datetime) -> None:
        """Store what is different now. Raises HistorianError, RecordsError: it is owed as before."""
        if self._owed:
            with self._history.reading_once():
                self._restate(live, pl.concat(self._owed), now, "late_samples", "late")
            self._owed.clear()

    def catch_up(self, live: Live, now: datetime) -> None:
        """Settle what reached the historian without passing here: a restored backup says so in the journal."""
        while True:
            with self._database.read() as connection:
                left = Arrivals(connection).after(0)
            if left.is_empty():
                return
            try:
                spans = left.select("equipment", "earliest", "latest")
                self._restate(live, spans, now, "backfill", "from a backup")
            except HistorianError as error:
                log.error("what was restored is not in the closed shifts yet: %s", error)
                return
            with self._database.begin() as connection:
                Arrivals(connection).forget(left["seq"][-1])

    def closed_until(self) -> datetime | None:
        """To where the ledger is stored; None: nowhere."""
        with self._database.read() as connection:
            stored = LedgerRows(connection).span()
        return stored.end if stored else None

    def _closed_of(self, live: Live, samples: pl.DataFrame, now: datetime) -> pl.DataFrame:
        """The spans of samples that came after their shift was closed, whether or not others of their signal came before."""
        old = samples.filter(pl.col("time") < now - CLOSED_AFTER)
        closed = None if old.is_empty() else self.closed_until()
        if closed is None:
            late = old.clear()
        else:
            told = [{"equipment": s.equipment, "signal": s.id} for s in live.plant.derived_signals()]
            late = old.filter(pl.col("time") < closed, pl.struct("equipment", "signal").is_in(told))
        return together(late.select("equipment", earliest="time", latest="time"))

    def _restate(self, live: Live, spans: pl.DataFrame, now: datetime, cause: str, how: str) -> None:
        """Derive stored ledger rows again where the spans reach into them."""
        plant, zone = live.plant, live.plant.site.zone
        of_each = together(spans).group_by("equipment", maintain_order=True).agg("earliest", "latest")
        for equipment, earliest, latest in of_each.iter_rows():
            with self._database.read() as connection:
                stored = LedgerRows(connection).span(equipment)
            if stored is None or earliest[0] >= stored.end or equipment not in plant.equipment:
                continue
            first, last = earliest[0].astimezone(zone), latest[-1].astimezone(zone)
            times = f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S}"
            why = Why("", cause, f"samples of {plant.equipment[equipment].name} from {times} came {how}")
            windows = [
                live.reach(equipment, Window(first, last + timedelta(microseconds=1)), stored.end)
                for first, last in zip(earliest, latest, strict=True)
                if first < stored.end
            ]
            with self._database.begin() as connection:
                live.restate_each(connection, equipment, windows, now, why)
