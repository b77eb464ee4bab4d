"""From a connection to the disk: messages in batches, several on their way at once, acknowledged in the order they came
once they are on disk."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import polars as pl

from collectors.connection import ConnectionLostError, utc_now
from collectors.mqtt.link import Link
from collectors.mqtt.stream import Message
from collectors.ports import Emit

GATHER = 0.02
"""Seconds messages gather for one batch."""
ON_THE_WAY = 16
"""Batches on their way to the disk at once."""

Decode = Callable[[Sequence[Message], datetime], pl.DataFrame]
"""Messages (none: it is time to look) and when they were taken, to samples."""


async def pump(
    link: Link, decode: Decode, emit: Emit, look_every: float, stored: Callable[[datetime], Awaitable[None]]
) -> None:
    """Take messages until the connection is lost, then raise ConnectionLostError; what has come is on disk by then.

    `decode` is called at least every `look_every` seconds. `stored(time)` is told when everything that had come by
    then is on disk.
    """
    batches: asyncio.Queue[tuple[asyncio.Task[None] | None, Sequence[Message], datetime]]
    batches = asyncio.Queue(ON_THE_WAY)

    async def take() -> None:
        while True:
            try:
                messages = await link.take(look_every)
            except ConnectionLostError:
                await batches.join()
                raise
            now = utc_now()
            samples = decode(messages, now)
            task = None if samples.is_empty() else asyncio.ensure_future(_put(emit, samples))
            await batches.put((task, messages, now))
            if messages:
                await asyncio.sleep(GATHER)

    async def acknowledge() -> None:
        while True:
            task, messages, now = await batches.get()
            if task is not None:
                await task
            link.acknowledge(messages)
            await stored(now)
            batches.task_done()

    both = [asyncio.ensure_future(take()), asyncio.ensure_future(acknowledge())]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        while not batches.empty():
            waiting, _, _ = batches.get_nowait()
            if waiting is not None:
                waiting.cancel()
            batches.task_done()


async def _put(emit: Emit, samples: pl.DataFrame) -> None:
    await emit(samples)
