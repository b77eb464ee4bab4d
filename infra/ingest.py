"""From the spool into the historian: accept, store, journal, and only then let go of the batch."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl

from collectors.spool import Entry, Spool, SpoolDamagedError
from pipelines.accept import accept
from pipelines.ports import Historian
from plant.frames import SAMPLES, empty
from plant.model import Plant

log = logging.getLogger(__name__)

MOST = 50
"""Batches taken in one go, so that a long backlog does not keep the board waiting."""

Journal = Callable[[Entry, pl.DataFrame], None]
"""Notes that a batch (its accepted samples) is in the historian. Called after it is; idempotent by entry."""


class Ingest:
    """Drains the spool, oldest batch first. A batch leaves the spool when it is stored and journalled, so a
    crash at any point repeats it, and storing it twice changes nothing."""

    def __init__(self, spool: Spool, historian: Historian, journal: Journal, dead: Path) -> None:
        self._spool, self._historian, self._journal, self._dead = spool, historian, journal, dead
        self.rejected = 0
        self.stored = 0

    def drain(self, plant: Plant, now: datetime) -> pl.DataFrame:
        """Take up to MOST batches; their accepted samples. Raises HistorianError: nothing was let go."""
        batches: list[tuple[Entry, pl.DataFrame]] = []
        for entry in self._spool.pending()[:MOST]:
            try:
                batches.append((entry, self._spool.read(entry)))
            except SpoolDamagedError as error:
                log.error("%s", error)
        if not batches:
            return empty(SAMPLES)
        accepted = accept(pl.concat([frame for _, frame in batches]), plant.signals, now)
        self._historian.write(accepted.samples)
        if not accepted.rejected.is_empty():
            self._set_aside(batches[0][0], accepted.rejected)
        for entry, frame in batches:
            self._journal(entry, frame)
        for entry, _ in batches:  # only now: what has left the spool must reach the caller
            self._spool.remove(entry)
        self.stored += accepted.samples.height
        return accepted.samples

    def _set_aside(self, entry: Entry, rejected: pl.DataFrame) -> None:
        """Keep what was refused, with the reason, where a person can look at it."""
        path = self._dead / f"{entry.collector or 'samples'}-{entry.sequence:012d}.parquet"
        part = path.with_suffix(".part")
        rejected.write_parquet(part)
        part.replace(path)
        self.rejected += rejected.height
        problem = rejected["problem"].value_counts(sort=True).row(0)
        log.warning(
            "%d samples refused, mostly because %s; kept in %s", rejected.height, problem[0], path.name
        )
