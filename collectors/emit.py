"""What collectors emit into: batches gathered for a moment, then on disk, then acknowledged."""

import asyncio
import logging
from dataclasses import dataclass, field

import polars as pl

from collectors.spool import Spool, SpoolError, SpoolFullError, require_samples

log = logging.getLogger(__name__)

LINGER = 0.1
"""Seconds a batch waits for others to share its file and fsync."""
RETRY = 1.0
"""Seconds between attempts while the spool is full."""


@dataclass(slots=True)
class _Gathering:
    done: asyncio.Future[None]
    frames: list[pl.DataFrame] = field(default_factory=list)


class SpoolEmit:
    """`collectors.ports.Emit` into a spool. Batches arriving within `linger` seconds become one file.

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
