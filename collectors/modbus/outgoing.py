"""Samples on their way to disk while polling goes on: waiting for each fsync would cost the poll its period."""

import asyncio
from collections.abc import Coroutine
from typing import Any

MOST = 200_000
"""Samples not yet on disk: with more, polling waits."""


class Outgoing:
    """What is being emitted. Started in order; an error of one is raised by the next `start` or `room`."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._tasks: dict[asyncio.Task[None], int] = {}

    def start(self, emitting: Coroutine[Any, Any, None], samples: int) -> None:
        """Emit, without waiting for it."""
        self._clear()
        self._tasks[asyncio.create_task(emitting)] = samples

    async def room(self) -> bool:
        """Return when there is room for more; whether that had to be waited for."""
        self._clear()
        waited = False
        while sum(self._tasks.values()) > self._most:
            waited = True
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._clear()
        return waited

    async def settle(self, timeout: float) -> None:
        """Wait until all is on disk, or for `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def _clear(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]
            task.result()
