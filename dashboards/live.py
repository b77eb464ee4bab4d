"""The live board's fan-out: one snapshot per tick, serialised once, shared by every viewer.

Server-sent events carry the difference to the tick before; whoever missed a tick (or just came) gets the
whole. There is no queue per viewer, so a slow one costs nothing and never falls behind.
"""

import asyncio
import gzip
import hashlib
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import orjson

from dashboards.view import BoardSnapshot

KEEPALIVE = 10.0
"""Seconds of silence after which a comment is sent, so that a connection that is gone is noticed."""

_KEYED = ("machines", "alerts")
"""Lists of a snapshot whose items have an `id`, of which only what changed is sent."""


@dataclass(frozen=True)
class Tick:
    """One published snapshot in every form it is asked for."""

    number: int
    full: bytes
    delta: bytes
    etag: str

    @cached_property
    def packed(self) -> bytes:
        """`full`, gzipped the first time somebody wants it so."""
        return gzip.compress(self.full, 5)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What turns `old` into `new`: changed top-level keys, and of machines and alerts the changed fields.

    `order` lists the ids of a keyed list whenever its members or their order changed.
    """
    delta: dict[str, Any] = {"base": old["revision"], "revision": new["revision"], "time": new["time"]}
    for key, value in new.items():
        if key in _KEYED:
            before = {item["id"]: item for item in old[key]}
            changed = [
                _fields(before.get(item["id"], {}), item) for item in value if before.get(item["id"]) != item
            ]
            ids = [item["id"] for item in value]
            if changed or ids != list(before):
                delta[key] = {"changed": changed}
                if ids != list(before):
                    delta[key]["order"] = ids
        elif old[key] != value:
            delta[key] = value
    return delta


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in new.items() if key == "id" or key not in old or old[key] != value}


class Broadcast:
    """Thread-safe: `publish` from the thread that ticks, `stream` from any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tick: Tick | None = None
        self._snapshot: BoardSnapshot | None = None
        self._viewers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closed = False

    @property
    def tick(self) -> Tick | None:
        """The last one published; None before the first."""
        return self._tick

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._viewers)

    def publish(self, snapshot: BoardSnapshot) -> None:
        """Hand a snapshot to everybody. It must not be changed afterwards."""
        full = orjson.dumps(snapshot)
        with self._lock:
            number = self._tick.number + 1 if self._tick else 1
            before = self._snapshot
            delta = (
                b""
                if before is None
                else orjson.dumps(
                    difference(cast(Mapping[str, Any], before), cast(Mapping[str, Any], snapshot))
                )
            )
            etag = '"' + hashlib.blake2b(full, digest_size=12).hexdigest() + '"'
            self._tick, self._snapshot = Tick(number, full, delta, etag), snapshot
        self._wake()

    def close(self) -> None:
        """End every stream, now and later; call it before the server waits for its connections."""
        self._closed = True
        self._wake()

    async def stream(self, keepalive: float = KEEPALIVE) -> AsyncIterator[bytes]:
        """The events of one viewer (text/event-stream)."""
        arrived = asyncio.Event()
        with self._lock:
            self._viewers[arrived] = asyncio.get_running_loop()
        try:
            yield b"retry: 2000\n\n"
            seen = 0
            while not self._closed:
                arrived.clear()
                tick = self._tick
                if tick is not None and tick.number != seen:
                    late = seen == 0 or tick.number != seen + 1
                    seen = tick.number
                    yield _event("full", tick.full) if late else _event("delta", tick.delta)
                    continue
                try:
                    await asyncio.wait_for(arrived.wait(), keepalive)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            with self._lock:
                self._viewers.pop(arrived, None)

    def _wake(self) -> None:
        with self._lock:
            loops: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = {}
            for event, loop in self._viewers.items():
                loops.setdefault(loop, []).append(event)
        for loop, events in loops.items():
            try:
                loop.call_soon_threadsafe(_set_all, events)
            except RuntimeError:  # the loop was closed with its viewers still on it
                with self._lock:
                    for event in events:
                        self._viewers.pop(event, None)


def _set_all(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        event.set()


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
