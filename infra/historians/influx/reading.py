"""The read side of the historian on InfluxDB: InfluxQL by `/query`, answers streamed into frames."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import httpx
import polars as pl

from infra.historians.influx import answers, queries
from infra.historians.influx.posting import RefusedError, problem, unreachable
from infra.historians.influx.queries import Signal, Statement
from infra.historians.influx.settings import InfluxSettings
from infra.historians.samples import KEY, SERIES, microseconds
from infra.historians.trends import thinned
from pipelines.minutes import bucket_length
from pipelines.ports import HistorianError
from plant.frames import SAMPLES, TREND, Window, empty

_CHUNK_ROWS = 10_000
_MOST_STATEMENTS = 200
"""A trend in so many pieces for one signal is cheaper to count here."""

_ONE_ONLY = "only one influxql statement"
"""What early 3.x says to a request of several, before it answers any."""
_Frames = Callable[[Iterable[answers.Series], Sequence[str]], Iterator[pl.DataFrame]]


class Reader:
    """Reads samples; safe to use from several threads. Raises HistorianError rather than answer short."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        # Compressing answers costs the server twice its time for nothing on one machine.
        self._client = httpx.Client(
            base_url=settings.url,
            auth=(settings.user, settings.password),
            timeout=settings.timeout,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            trust_env=False,
        )
        self._one_by_one = False
        database, _, retention = settings.bucket.partition("/")
        self._database = {"db": database, **({"rp": retention} if retention else {})}

    def read(
        self, window: Window, equipment: Sequence[str] | None, signals: Sequence[str] | None
    ) -> pl.DataFrame:
        """See `pipelines.ports.Historian.read`."""
        return _in_order(self.read_batches(window, equipment, signals))

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None, signals: Sequence[str] | None
    ) -> Iterator[pl.DataFrame]:
        """See the port: whole series one after the other, signal by signal."""
        start, end = microseconds(window.start), microseconds(window.end)
        if start == end or _none_asked(equipment) or _none_asked(signals):
            return
        asked = (queries.samples_between(s, start, end, equipment) for s in self._signals(signals))
        with self._explained():
            yield from self._frames(asked, answers.samples)

    def last(self, before: datetime, equipment: Sequence[str] | None) -> pl.DataFrame:
        """See the port."""
        if _none_asked(equipment):
            return empty(SAMPLES)
        end = microseconds(before)
        asked = (queries.last_before(s, end, equipment) for s in self._signals(None))
        with self._explained():
            return _in_order(self._frames(asked, answers.samples))

    def trend(
        self,
        window: Window,
        every: timedelta,
        equipment: Sequence[str] | None,
        signals: Sequence[str] | None,
    ) -> pl.DataFrame:
        """See the port. The server counts where it can do so exactly, in pieces it can bear."""
        start, end, length = microseconds(window.start), microseconds(window.end), bucket_length(every)
        if start == end or _none_asked(equipment) or _none_asked(signals):
            return empty(TREND)
        few = (end - start) // length < _MOST_STATEMENTS * queries.BUCKETS
        if few and queries.buckets_fit(start, end, length):
            numbers = [s for s in self._signals(signals) if s.number]
            asked = (p for s in numbers for p in queries.trend_between(s, start, end, length, equipment))
            with self._explained(), suppress(answers.UnsayableError):
                return pl.concat([empty(TREND), *self._frames(asked, answers.trend)]).sort(KEY)
        return thinned(self.read_batches(window, equipment, signals), every)

    def expire(self, midnight: datetime) -> None:
        """Forget samples older than that."""
        try:
            for _ in self._answer([queries.delete_before(microseconds(midnight))]):
                pass
        except (answers.AnswerError, RefusedError, HistorianError) as error:
            if isinstance(error, HistorianError) and "not implemented" not in str(error):
                raise
            raise HistorianError(
                f"InfluxDB at {self._settings.url} does not delete ({error}): give"
                f" {self._settings.bucket!r} a retention period there",
                configuration=True,
            ) from error

    def check(self) -> None:
        """Raises HistorianError unless the server lets us read."""
        self._signals(None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _signals(self, wanted: Sequence[str] | None) -> list[Signal]:
        with self._explained():
            return queries.signals(answers.fields(self._answer([queries.FIELD_KEYS])), wanted)

    def _frames(self, asked: Iterable[Statement], frames: _Frames) -> Iterator[pl.DataFrame]:
        for request in queries.requests(asked):
            if not self._one_by_one:
                try:
                    yield from self._answered(request, frames)
                    continue
                except (RefusedError, HistorianError) as error:
                    if _ONE_ONLY not in str(error).lower():
                        raise
                    self._one_by_one = True
            for statement in request:
                yield from self._answered([statement], frames)

    def _answered(self, request: Sequence[Statement], frames: _Frames) -> Iterator[pl.DataFrame]:
        yield from frames(self._answer([s.influxql for s in request]), [s.signal.name for s in request])

    def _answer(self, statements: Sequence[str]) -> Iterator[answers.Series]:
        """Raises AnswerError, RefusedError, HistorianError."""
        form = {"q": ";".join(statements), "epoch": "ns", "chunked": "true", "chunk_size": str(_CHUNK_ROWS)}
        try:
            with self._client.stream("POST", "/query", params=self._database, data=form) as answer:
                if not answer.is_success:
                    retry_after = answer.headers.get("Retry-After")
                    said = answer.read()
                    raise problem(self._settings, answer.status_code, said, retry_after, time.time())
                yield from answers.series(answer.iter_raw(), len(statements))
        except httpx.HTTPError as error:
            raise unreachable(self._settings, error) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (answers.AnswerError, RefusedError) as error:
            raise HistorianError(f"InfluxDB at {self._settings.url} could not answer: {error}") from error


def _none_asked(names: Sequence[str] | None) -> bool:
    return names is not None and not names


def _in_order(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """One frame sorted by `KEY` of frames whose series are whole and in order of time."""
    frame = pl.concat([empty(SAMPLES), *frames])
    first = pl.any_horizontal(pl.col(s).ne_missing(pl.col(s).shift()) for s in SERIES)
    starts = frame.select(first.arg_true().alias("start"))
    runs = frame.select(SERIES)[starts["start"]].hstack(starts)
    rows = pl.int_ranges("start", pl.col("start").shift(-1, fill_value=frame.height))
    # Far cheaper than sorting rows by their names.
    return frame[runs.with_columns(rows=rows).sort(SERIES)["rows"].explode()]
