"""The HTTP collector: listens for posts, answers when they are on disk."""

import asyncio
import contextlib
import hmac
import json
import logging
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collectors.connection import FIRST_DELAY, MAX_DELAY, up, utc_now
from collectors.durable import make_directory, write_durably
from collectors.held import Held
from collectors.http.body import BodyError, parse
from collectors.ports import Emit, SourceStatus
from plant.model import Signal, Source

log = logging.getLogger(__name__)

PATH = "/api/v1/samples"
MAX_BODY = 10 * 1024 * 1024
"""Bytes a post may carry, as in the plant's own API."""
LOOK_EVERY = 0.25


def where(folder: Path, source: str) -> Path:
    """The file in the plant's data folder that says on which loopback port a source listens: {"host", "port"}."""
    return folder / "sources" / source / "listening.json"


class HttpCollector:
    """Takes posts of one source. A post is answered with 200 when its samples are on disk; the same post again changes
    nothing, as samples have their signal and time as key. One that is wrong anywhere is refused whole."""

    def __init__(
        self, source: Source, signals: tuple[Signal, ...], options: Mapping[str, Any], folder: Path
    ) -> None:
        self.status = SourceStatus()
        self._source, self._signals, self._options, self._folder = source, signals, options, folder
        self._held = Held(signals, timedelta(seconds=options["heartbeat"]))
        self._heard: float | None = None
        self._lost = False

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled."""
        delay = FIRST_DELAY
        while True:
            self.status.since = utc_now()
            try:
                listening = socket.create_server((self._options["host"], self._options["port"]))
            except OSError as error:
                self.status.connected = False
                self.status.detail = (
                    f"cannot listen on {self._options['host']}:{self._options['port']} ({error.strerror}); change host or "
                    f"port, or stop what uses it; trying again every {delay:g} s"
                )
                log.error("source %s: %s", self._source.id, self.status.detail)
                await asyncio.sleep(delay)
                delay = min(2 * delay, MAX_DELAY)
                continue
            with listening:
                await self._serve(listening, emit)

    async def _serve(self, listening: socket.socket, emit: Emit) -> None:
        host, port = listening.getsockname()[:2]
        where_file = where(self._folder, self._source.id)
        make_directory(where_file.parent)
        write_durably(where_file, json.dumps({"host": host, "port": port}).encode())
        self.status.detail = f"listening on {host}:{port}, nothing posted yet"
        server = _Server(self._app(emit))
        task = asyncio.create_task(server.serve([listening]))
        try:
            while not task.done():
                await self._look(f"{host}:{port}", emit)
                await asyncio.wait([task], timeout=LOOK_EVERY)
            await task
        finally:
            where_file.unlink(missing_ok=True)
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(task)

    async def _look(self, place: str, emit: Emit) -> None:
        """Say once when nobody has posted for too long."""
        clock, longest = asyncio.get_running_loop().time(), self._options["silent_after"]
        if self._heard is None:
            self._heard = clock
        silent = clock - self._heard
        if longest is None or silent <= longest:
            return
        self.status.detail = f"listening on {place}; nobody has posted for {silent:.0f} s"
        if not self._lost:
            self._lost = True
            now = utc_now()
            if self.status.connected:
                self.status.connected, self.status.since = False, now
            await emit(self._held.lost(now))

    def _app(self, emit: Emit) -> Starlette:
        async def take(request: Request) -> Response:
            return await self._take(request, emit)

        return Starlette(routes=[Route(PATH, take, methods=["POST"])])

    async def _take(self, request: Request, emit: Emit) -> Response:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self._options['token']}".encode()):
            text = "send the source's token: Authorization: Bearer TOKEN"
            return JSONResponse({"error": text}, 401, {"WWW-Authenticate": "Bearer"})
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return JSONResponse({"error": f"more than {MAX_BODY} bytes; send it in parts"}, 413)
        now = utc_now()
        try:
            samples = parse(body, self._signals, now)
        except BodyError as error:
            return JSONResponse({"error": str(error)}, 400)
        if self._lost or self._heard is None or not self.status.connected:
            self._held.connected()
        self._heard, self._lost = asyncio.get_running_loop().time(), False
        up(self.status, f"last post from {request.client.host if request.client else 'somebody'}")
        await emit(pl.concat([self._held.update(samples, now), self._held.beat(now, now)]))
        self._note(samples)
        return JSONResponse({"stored": samples.height})

    def _note(self, samples: pl.DataFrame) -> None:
        keys = pl.concat_str("equipment", "signal", separator=".")
        latest = samples.group_by(keys.alias("key")).agg(pl.col("value", "text").sort_by("time").last())
        for key, value, text in latest.iter_rows():
            if value is None and text is None:
                self.status.bad[key] = "the sender says it has no value"
            else:
                self.status.bad.pop(key, None)


class _Server(uvicorn.Server):
    """Uvicorn inside a process that listens for signals itself."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
