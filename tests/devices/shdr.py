"""An MTConnect adapter's socket."""

import asyncio
from datetime import UTC, datetime
from typing import Any


class ShdrDevice:
    state, order, wrong = "execution", "job", "nothing"

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._line = ""
        self._server: Any = None
        self._writers: set[asyncio.StreamWriter] = set()

    def options(self) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": self._port}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def put(self, state: int, order: str, time: datetime) -> None:
        self._line = f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z|execution|{state}|job|{order}\n"
        for writer in self._writers:
            writer.write(self._line.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._line.encode())
        self._writers.add(writer)
        while line := await reader.readline():
            if line.startswith(b"* PING"):
                writer.write(b"* PONG 1000\n")
        self._writers.discard(writer)
        writer.close()
