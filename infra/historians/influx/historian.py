"""The historian on InfluxDB: writes `/api/v2/write` through influxdb-client, reads InfluxQL `/query`.

That pair is what every InfluxDB generation speaks (1.8+, 2.x, 3.x; 1.6 behind infra/influxdb/nginx.conf).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import httpx
import polars as pl
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError as TransportError

from infra.historians.influx import queries
from infra.historians.influx.lines import posts
from infra.historians.samples import KEY, SERIES, checked, microseconds, thinned, unique
from pipelines.ports import HistorianError, HistorianHealth
from plant.frames import REFUSED, SAMPLES, Window, empty

_CHUNK_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSettings:
    """Where the server is and who we are.

    `token` writes ("user:password" on 1.x), `user` and `password` read (2.x, 3.x: the token as password).
    """

    url: str
    bucket: str
    """The bucket of 2.x, the database of 1.x and 3.x, or "database/retention-policy"."""
    token: str
    user: str
    password: str
    org: str = "-"
    timeout: float = 60.0
    """Seconds a write or a piece of an answer may take."""


class InfluxHistorian:
    """Implements `pipelines.ports.Historian` on InfluxDB.

    InfluxDB keeps the row *written* last where the port says received last: the same as long as the batches
    of a signal are written in the order they were received, which the spool does.
    """

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        milliseconds = int(settings.timeout * 1000)
        self._client = InfluxDBClient(settings.url, settings.token, timeout=milliseconds, org=settings.org)
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        # Compressing answers costs the server twice its time for nothing on one machine.
        self._reader = httpx.Client(
            base_url=settings.url,
            auth=(settings.user, settings.password),
            timeout=settings.timeout,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            trust_env=False,
        )
        database, _, retention = settings.bucket.partition("/")
        self._database = {"db": database, **({"rp": retention} if retention else {})}

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See the port: the server has written its log when this returns."""
        for body in posts(unique(checked(samples))):
            try:
                self._writer.write(bucket=self._settings.bucket, record=body, write_precision="us")
            except ApiException as error:
                raise HistorianError(self._advice(error.status, error.body or error.reason)) from error
            except (TransportError, OSError) as error:
                raise HistorianError(self._unreachable(error)) from error
        return empty(REFUSED)

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """See the port."""
        return pl.concat([empty(SAMPLES), *self.read_batches(window, equipment, signals)]).sort(KEY)

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """See the port: one series after the other, as the server streams them."""
        if _none_asked(equipment) or _none_asked(signals):
            return
        start, end = microseconds(window.start), microseconds(window.end)
        yield from self._frames(queries.rows_between(start, end, equipment, signals))

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """See the port."""
        if _none_asked(equipment):
            return empty(SAMPLES)
        found = self._frames(queries.last_before(microseconds(before), equipment))
        return pl.concat([empty(SAMPLES), *found]).sort(SERIES)

    def trend(
        self,
        window: Window,
        every: timedelta,
        equipment: Sequence[str] | None = None,
        signals: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """See the port."""
        return thinned(self.read(window, equipment, signals), every)

    def compact(self) -> None:
        """Nothing to do: the server compacts by itself."""

    def expire(self, before: datetime) -> None:
        """See the port. Works on 1.x and 2.x; 3.x has no delete, so set a retention period there."""
        midnight = datetime.combine(before.astimezone(UTC).date(), time(), UTC)
        for _ in self._series(queries.delete_before(microseconds(midnight))):
            pass

    def health(self) -> HistorianHealth:
        """Whether the server answers, knows us and has the database."""
        try:
            for _ in self._series("SHOW MEASUREMENTS LIMIT 1"):
                pass
        except HistorianError as error:
            return HistorianHealth(ok=False, detail=str(error))
        return HistorianHealth(ok=True, detail=f"InfluxDB at {self._settings.url}, {self._settings.bucket}")

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        self._client.close()
        self._reader.close()

    def _frames(self, statement: str) -> Iterator[pl.DataFrame]:
        return queries.frames(self._series(statement))

    def _series(self, statement: str) -> Iterator[queries.Series]:
        form = {"q": statement, "epoch": "ns", "chunked": "true", "chunk_size": str(_CHUNK_ROWS)}
        try:
            with self._reader.stream("POST", "/query", params=self._database, data=form) as answer:
                if not answer.is_success:
                    answer.read()
                    raise HistorianError(self._advice(answer.status_code, answer.text))
                yield from queries.documents(answer.iter_bytes())
        except httpx.HTTPError as error:
            raise HistorianError(self._unreachable(error)) from error
        except queries.AnswerError as error:
            raise HistorianError(f"InfluxDB at {self._settings.url} could not answer: {error}") from error

    def _unreachable(self, error: Exception) -> str:
        return f"InfluxDB at {self._settings.url} cannot be reached ({error}): is it running there?"

    def _advice(self, status: int | None, said: str | bytes | None) -> str:
        text = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
        match status:
            case 401 | 403:
                fix = "check the token, user and password, and what they are allowed to do"
            case 404:
                fix = f"create the database or bucket {self._settings.bucket!r}"
            case 400 | 422:
                fix = "the server refused some of the samples"
            case 413:
                fix = "raise the server's limit on the size of a request"
            case 500:
                fix = "look at its log; after a full disk InfluxDB 1.x must be restarted"
            case _:
                fix = "try again later"
        return f"InfluxDB at {self._settings.url} answered {status}: {text.strip()[:500]}; {fix}"


def _none_asked(names: Sequence[str] | None) -> bool:
    return names is not None and not names
