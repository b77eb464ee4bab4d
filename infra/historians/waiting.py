"""Reading the historian while some of what belongs to it still waits in the spool."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import polars as pl

from collectors.spool import Entry, Spool, SpoolDamagedError
from infra.historians.samples import SERIES, chosen, instant, newest, unique
from pipelines.ports import Historian
from plant.frames import SAMPLES, Window, empty

_TICK = timedelta(microseconds=1)


class History(Protocol):
    """What reads stored samples; see `pipelines.ports.Historian`."""

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame: ...

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]: ...

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame: ...


class WithWaiting:
    """`History` of a historian and the batches on their way to it.

    The spool is looked at first: a batch stored meanwhile is then in both, and what is there twice is settled
    by the row received last. Only files whose names overlap the window are opened.
    """

    def __init__(
        self, historian: Historian, spool: Spool, accepted: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> None:
        """
        Args:
            accepted: the rows of a batch that the plant accepts, as they will be stored.
        """
        self._historian, self._spool, self._accepted = historian, spool, accepted
        self._once: dict[Entry, pl.DataFrame] | None = None

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """See `pipelines.ports.Historian.read`."""
        rows = chosen(window, equipment, signals)
        waiting = [frame.filter(rows) for _, frame in self._read(self._overlapping(window))]
        stored = self._historian.read(window, equipment, signals)
        waiting = [frame for frame in waiting if not frame.is_empty()]
        return unique(pl.concat([stored, *waiting])) if waiting else stored

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """What is stored, then what waits: a row of the one may be in the other, too."""
        entries = self._overlapping(window)
        yield from self._historian.read_batches(window, equipment, signals)
        rows = chosen(window, equipment, signals)
        read: set[Entry] = set()
        for entry, frame in self._read(entries):
            read.add(entry)
            yield frame.filter(rows)
        # What was stored while we read the historian may have come too late for that.
        moved = [entry for entry in entries if entry not in read]
        if moved:
            start, end = min(e.first for e in moved), max(e.last for e in moved) + _TICK
            inside = Window(max(start, window.start.astimezone(UTC)), min(end, window.end.astimezone(UTC)))
            yield from self._historian.read_batches(inside, equipment, signals)

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """See `pipelines.ports.Historian.last`."""
        rows = pl.col("time") < instant(before)
        if equipment is not None:
            rows &= pl.col("equipment").is_in(list(equipment))
        found = empty(SAMPLES)
        for _, frame in self._read([e for e in self._spool.pending() if e.first < before]):
            found = newest(unique(pl.concat([found, frame.filter(rows)])))
        stored = self._historian.last(before, equipment)
        return stored if found.is_empty() else newest(unique(pl.concat([stored, found]))).sort(SERIES)

    @contextlib.contextmanager
    def reading_once(self) -> Iterator[None]:
        """Keep what is read of the spool meanwhile: for who asks for one machine after the other."""
        self._once = {}
        try:
            yield
        finally:
            self._once = None

    def _overlapping(self, window: Window) -> list[Entry]:
        return [entry for entry in self._spool.pending() if entry.overlaps(window)]

    def _read(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, pl.DataFrame]]:
        for entry in entries:
            kept = self._once
            with contextlib.suppress(SpoolDamagedError):  # or stored meanwhile
                if kept is None:
                    yield entry, self._accepted(self._spool.read(entry))
                else:
                    if entry not in kept:
                        kept[entry] = self._accepted(self._spool.read(entry))
                    yield entry, kept[entry]
