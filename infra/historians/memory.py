"""A historian that forgets everything when the process ends: for tests and one-off derivations."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta

import polars as pl

from infra.historians.samples import checked, chosen, instant, newest, unique
from infra.historians.trends import thinned
from pipelines.ports import HistorianHealth
from plant.frames import REFUSED, SAMPLES, Window, empty


class MemoryHistorian:
    """Implements `pipelines.ports.Historian` on one frame in this process."""

    def __init__(self) -> None:
        self._samples = empty(SAMPLES)
        self._lock = threading.Lock()

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See the port. Raises ValueError for a frame that is not `SAMPLES`."""
        rows = checked(samples)
        with self._lock:
            self._samples = unique(pl.concat([self._samples, rows]))
        return empty(REFUSED)

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """See the port."""
        return self._samples.filter(chosen(window, equipment, signals))

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """See the port: one series after the other."""
        yield from self.read(window, equipment, signals).partition_by(
            "equipment", "signal", maintain_order=True
        )

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """See the port."""
        rows = pl.col("time") < instant(before)
        if equipment is not None:
            rows &= pl.col("equipment").is_in(list(equipment))
        return newest(self._samples.filter(rows))

    def trend(
        self,
        window: Window,
        every: timedelta,
        equipment: Sequence[str] | None = None,
        signals: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """See the port."""
        return thinned([self.read(window, equipment, signals)], every)

    def compact(self) -> None:
        """Nothing to do: rows are merged when they are written."""

    def expire(self, before: datetime) -> None:
        """See the port."""
        midnight = datetime.combine(before.astimezone(UTC).date(), time(), UTC)
        with self._lock:
            self._samples = self._samples.filter(pl.col("time") >= instant(midnight))

    def health(self) -> HistorianHealth:
        """Always well."""
        return HistorianHealth(ok=True, detail=f"{self._samples.height} samples in memory")

    def close(self) -> None:
        """Forget everything."""
        self._samples = empty(SAMPLES)
