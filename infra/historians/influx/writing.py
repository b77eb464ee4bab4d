"""The write side of the historian on InfluxDB: frames into posts, a few on their way at a time."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress

import polars as pl

from infra.historians.influx.lines import EARLIEST, LATEST, Batch
from infra.historians.influx.posting import Poster, RefusedError
from infra.historians.influx.settings import InfluxSettings
from infra.historians.influx.sifting import Sieve
from infra.historians.samples import checked
from plant.frames import REFUSED, empty


class Writer:
    """Writes samples; safe to use from several threads."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._poster = Poster(settings)
        self._in_flight = settings.in_flight
        self._threads = ThreadPoolExecutor(settings.in_flight, thread_name_prefix="influx-write")

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See `pipelines.ports.Historian.write`."""
        samples, refused = _in_range(checked(samples))
        sieve = Sieve(lambda batch: self._poster.post(batch.body()))
        with closing(self._posted(sieve, Batch.of(samples))) as answers:
            for part, refusal in answers:
                if refusal is None:
                    sieve.anything_stored = True
                else:
                    sieve.sift(part, refusal)
        return pl.concat([refused, sieve.refused()])

    def check(self) -> None:
        """Raises HistorianError unless the server lets us write."""
        # 2.x refuses a body without samples, which it can only say when all else is well.
        with suppress(RefusedError):
            self._poster.post(b"# nothing\n")

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown()
        self._poster.close()

    def _posted(self, sieve: Sieve, batch: Batch) -> Generator[tuple[Batch, RefusedError | None], None, None]:
        """The parts of a batch as their answers arrive, in order; the next is built meanwhile."""
        waiting: deque[tuple[Batch, Future[None]]] = deque()
        try:
            for part in batch.posts(self._poster.longest):
                part = sieve.untried(part)
                if not len(part):
                    continue
                body = part.body()
                if len(waiting) == self._in_flight:
                    yield _answer(*waiting.popleft())
                waiting.append((part, self._threads.submit(self._poster.post, body)))
            while waiting:
                yield _answer(*waiting.popleft())
        finally:
            # Nothing of this write may arrive after it was said to have failed.
            wait([future for _, future in waiting])


def _answer(part: Batch, future: Future[None]) -> tuple[Batch, RefusedError | None]:
    try:
        future.result()
    except RefusedError as refusal:
        return part, refusal
    return part, None


def _in_range(samples: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The samples InfluxDB has times for, and `plant.frames.REFUSED` of the others."""
    times = (pl.col("time", "received").to_physical()).is_between(EARLIEST, LATEST)
    if samples.select(pl.all_horizontal(times.all())).item():
        return samples, empty(REFUSED)
    kept = pl.all_horizontal(times)
    problem = pl.lit("time or received is outside of what InfluxDB can store, the years 1677 to 2262")
    return samples.filter(kept), samples.filter(~kept).with_columns(problem=problem).select(REFUSED.keys())
