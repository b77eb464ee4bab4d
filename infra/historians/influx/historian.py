"""The historian on InfluxDB: writes `/api/v2/write` through influxdb-client, reads InfluxQL `/query`.

That pair is what every InfluxDB generation speaks (1.8+, 2.x, 3.x; 1.6 behind infra/influxdb/nginx.conf).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta

import polars as pl

from infra.historians.influx.reading import Reader
from infra.historians.influx.settings import InfluxSettings
from infra.historians.influx.writing import Writer
from pipelines.ports import HistorianError, HistorianHealth
from plant.frames import Window


class InfluxHistorian:
    """Implements `pipelines.ports.Historian` on InfluxDB.

    InfluxDB keeps the row *written* last where the port says received last: the same as long as the batches
    of a signal are written in the order they were received, which the spool does.
    """

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._writer = Writer(settings)
        self._reader = Reader(settings)

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See the port: the server has written its log when this returns."""
        return self._writer.write(samples)

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """See the port."""
        return self._reader.read(window, equipment, signals)

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """See the port: whole series one after the other, as the server streams them."""
        return self._reader.read_batches(window, equipment, signals)

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """See the port."""
        return self._reader.last(before, equipment)

    def trend(
        self,
        window: Window,
        every: timedelta,
        equipment: Sequence[str] | None = None,
        signals: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """See the port."""
        return self._reader.trend(window, every, equipment, signals)

    def compact(self) -> None:
        """Nothing to do: the server compacts by itself."""

    def expire(self, before: datetime) -> None:
        """See the port. Works on 1.x and 2.x; 3.x has no delete, so set a retention period there."""
        self._reader.expire(datetime.combine(before.astimezone(UTC).date(), time(), UTC))

    def health(self) -> HistorianHealth:
        """Whether the server lets us write and read."""
        try:
            self._reader.check()
            self._writer.check()
        except HistorianError as error:
            return HistorianHealth(ok=False, detail=str(error))
        return HistorianHealth(ok=True, detail=f"InfluxDB at {self._settings.url}, {self._settings.bucket}")

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        self._reader.close()
