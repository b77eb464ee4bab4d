"""A TCP proxy in front of a device, to cut, stall and delay its connection."""

import asyncio
import contextlib
from typing import Any


class Proxy:
    """Passes on bytes between whoever connects to `port` and the device behind it.

    `cut`: connections end with a reset, and nobody can connect. `stall`: connections stay, and nothing passes, in
    neither direction, also on new ones; what was sent meanwhile passes when it is over. `delay`: seconds each
    piece waits.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", delay: float = 0.0) -> None:
        self.port = 0
        """Where it listens, from `start` on."""
        self.device, self.host, self.delay = port, host, delay
        """Where the device is; may be changed while nobody is connected."""
        self.connections = 0
        """How many were made."""
        self.passed = 0
        """Bytes from the device."""
        self._server: Any = None
        self._links: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """Connections there are now."""
        return len(self._links)

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End for good."""
        await self.cut()
        self._passing.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones until `start`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        """Reset every connection there is; new ones may come."""
        for ends in list(self._links.items()):
            for end in ends:
                end.transport.abort()
        self._links.clear()

    def stall(self) -> None:
        """Let nothing pass until `go`."""
        self._passing.clear()

    def go(self) -> None:
        """Let everything pass again, and what waited first."""
        self._passing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            back, out = await asyncio.open_connection(self.host, self.device)
        except OSError:
            writer.transport.abort()
            return
        self._links[writer] = out
        for source, target, counts in ((reader, out, False), (back, writer, True)):
            task = asyncio.create_task(self._pass_on(source, target, counts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counts: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(1 << 16):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._passing.wait()
                target.write(piece)
                await target.drain()
                self.passed += len(piece) if counts else 0
        await self._passing.wait()  # a stalled network does not say that an end was closed, either
        target.close()
        for writer, out in list(self._links.items()):
            if target in (writer, out):
                self._links.pop(writer, None)
