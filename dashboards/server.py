"""The web server: uvicorn, told to end the live streams before it waits for open connections."""

import socket

import uvicorn
from fastapi import FastAPI

from dashboards.live import Broadcast

GRACE = 2
"""Seconds running requests get when the server stops."""


class Server(uvicorn.Server):
    """Serves the board. Plain uvicorn would wait for ever for viewers, who never hang up by themselves."""

    def __init__(self, app: FastAPI, broadcast: Broadcast, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._broadcast = broadcast

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._broadcast.close()
        await super().shutdown(sockets)
