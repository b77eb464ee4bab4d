"""What collectors emit into: batches gathered for a moment, then on disk, then acknowledged."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from collectors.connection import utc_now
from collectors.gaps import Gap, record
from collectors.seen import Seen
from collectors.spool import Spool, SpoolError, SpoolFullError, require_samples
from plant.frames import BAD
from plant.model import COUNTER_ROLES, Role, Signal

log = logging.getLogger(__name__)

LINGER = 0.05
"""Seconds a batch waits for others to share its file and fsync."""
NUMERIC_ROLES = (*COUNTER_ROLES, Role.CYCLE, Role.PROCESS_VALUE)
"""Roles whose values are numbers."""
RETRY = 1.0
"""Seconds between attempts while the spool is full."""


@dataclass(slots=True)
class _Gathering:
    done: asyncio.Future[None]
    frames: list[pl.DataFrame] = field(default_factory=list)


class SourceEmit:
    """`collectors.ports.Emit` of one source into the spool its process shares; `seen` knows what went by."""

    def __init__(self, spool: "SpoolEmit", source: str, signals: Sequence[Signal]) -> None:
        self.seen = Seen(signals)
        self._spool, self._source = spool, source
        self._numeric = pl.DataFrame(
            [(s.equipment, s.id) for s in signals if s.role in NUMERIC_ROLES and not s.decides],
            schema={"equipment": pl.String, "signal": pl.String},
            orient="row",
        )

    async def __call__(self, samples: pl.DataFrame) -> None:
        """Return when the samples are on disk. A text where a number must be is no value: it is kept, and BAD."""
        if not samples.is_empty():
            samples = self._judged(samples)
            await self._spool(samples)
            self.seen.add(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        """Return when the gap is recorded."""
        await self._spool.gap(Gap("", first, last, 0, why, utc_now(), self._source, tuple(signals)))
        self.seen.gaps += 1

    def _judged(self, samples: pl.DataFrame) -> pl.DataFrame:
        if samples["text"].null_count() == samples.height:
            return samples
        key = ["equipment", "signal"]
        worded = samples.filter(pl.col("text").is_not_null(), pl.col("value").is_null()).select(key).unique()
        if worded.join(self._numeric, on=key, how="semi").is_empty():
            return samples
        numeric = pl.struct(key).is_in(self._numeric.select(pl.struct(key)).to_series().implode())
        wrong = numeric & pl.col("text").is_not_null() & pl.col("value").is_null()
        quality = pl.when(wrong).then(pl.lit(BAD, pl.UInt8)).otherwise("quality")
        return samples.with_columns(quality.alias("quality"))


class SpoolEmit:
    """Samples and gaps of all sources of a process into one spool. Batches arriving within `linger` seconds become one
    file.

    While the spool is full every caller waits, so nothing is acknowledged to its source; `problem` says why,
    and it goes on by itself.
    """

    def __init__(self, spool: Spool, linger: float = LINGER, retry: float = RETRY) -> None:
        self.problem = ""
        self.batches = 0
        self._spool, self._linger, self._retry = spool, linger, retry
        self._gathering: _Gathering | None = None
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, samples: pl.DataFrame) -> None:
        """Return when the samples are on disk."""
        if samples.is_empty():
            return
        require_samples(samples)
        if self._gathering is None:
            self._gathering = _Gathering(asyncio.get_running_loop().create_future())
            task = asyncio.create_task(self._write(self._gathering))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._gathering.frames.append(samples)
        await asyncio.shield(self._gathering.done)

    async def gap(self, gap: Gap) -> None:
        """Return when it is recorded under this spool's collector."""
        gap = replace(gap, collector=self._spool.collector)
        while True:
            try:
                await asyncio.to_thread(record, self._spool.directory, [gap])
            except OSError as error:
                log.error("cannot record a gap: %s", error)
                await asyncio.sleep(self._retry)
            else:
                return

    async def close(self, timeout: float = 5.0) -> None:
        """Write what is still being gathered; give up (unacknowledged) after `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()
        self._spool.close()

    async def _write(self, gathering: _Gathering) -> None:
        await asyncio.sleep(self._linger)
        async with self._writing:
            self._gathering = None
            try:
                await self._append(pl.concat(gathering.frames))
            except asyncio.CancelledError:
                gathering.done.cancel()
                raise
            except BaseException as error:  # a panic inside polars is no Exception
                gathering.done.set_exception(error)
            else:
                gathering.done.set_result(None)

    async def _append(self, batch: pl.DataFrame) -> None:
        while True:
            try:
                await asyncio.to_thread(self._spool.append, batch)
            except (SpoolFullError, SpoolError) as error:
                if self.problem != str(error):
                    self.problem = str(error)
                    log.error("%s", error)
                await asyncio.sleep(self._retry)
            else:
                self.batches += 1
                self.problem = ""
                return
