"""The SHDR collector: an MTConnect adapter's socket, or a recording."""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.held import Held
from collectors.ports import Emit, SourceStatus
from collectors.shdr import heard
from collectors.shdr.decode import decode, named_device, samples
from collectors.shdr.items import Items
from collectors.shdr.lines import Lines, Problem
from plant.model import Signal, Source

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
PING_EVERY = 5.0
"""Seconds; an adapter that answers PONG states its own, and twice that without a word means it is gone."""
GRACE = 0.5
"""Seconds an answer may be late, as this machine may be busy."""
INITIAL = 2.0
"""Seconds after connecting in which an adapter sends everything as it stands, with the times it changed."""
SEEN_WITHIN = 10.0
"""Seconds after connecting in which every item should have come once."""
KEEP_EVERY = 10.0
"""Seconds between two notes of when it was heard: a gap after a kill begins at most this much too early."""
READ = 1 << 18
SAME_CLOCK = timedelta(seconds=5)
UNAVAILABLE = "the adapter says UNAVAILABLE"
MISSED = "nobody was connected to the adapter, which keeps nothing; what changed and changed back meanwhile is lost"


class ShdrCollector:
    """Collects one adapter. Lines it could not read are counted in `problems` and logged, never fatal."""

    def __init__(
        self, source: Source, signals: tuple[Signal, ...], options: Mapping[str, Any], folder: Path
    ) -> None:
        self.status = SourceStatus()
        self.problems = 0
        self._source, self._signals = source, signals
        self._host, self._port, self._file = options["host"], options["port"], options["file"]
        self._adapter = f"{self._host}:{self._port}"
        self._held = Held(signals, timedelta(seconds=options["heartbeat"]))
        self._folder = folder / "sources" / source.id
        self._heard: datetime | None = None
        """Everything the adapter sent before is on disk."""

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled; a recording is emitted once, then there is nothing more to do."""
        if self._file is not None:
            await self._read_file(emit)
            await asyncio.Event().wait()
        self._heard = heard.load(self._folder, self._adapter)
        try:
            await keep_connected(self.status, lambda: self._session(emit), self._held.lost, emit)
        finally:
            self._keep()

    async def _read_file(self, emit: Emit) -> None:
        try:
            data = await asyncio.to_thread(Path(self._file).read_bytes)
        except OSError as error:
            self.status.detail = f'cannot read {self._file}: {error.strerror}; correct the option "file"'
            log.error("source %s: %s", self._source.id, self.status.detail)
            return
        records, problems = decode(data)
        self._report(problems)
        await emit(samples(records, self._signals, utc_now()))
        self.status.detail = f"{self._file} read to its end"

    async def _session(self, emit: Emit) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                reader, writer = await asyncio.open_connection(self._host, self._port)
        except (OSError, TimeoutError) as error:
            raise ConnectionLostError(f"no adapter at {self._adapter} ({error or 'no answer'})") from error
        try:
            _notice_dead_peers(writer)
            if self._heard is not None:
                now = utc_now()
                await emit.gap(min(self._heard, now), now, MISSED)
            self._heard = utc_now()
            await asyncio.to_thread(self._keep)
            await self._converse(reader, writer, emit)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, emit: Emit) -> None:
        clock = asyncio.get_running_loop().time
        up(self.status, f"connected to {self._adapter}")
        self._held.connected()
        talk = _Talk(self, emit)
        every, answers = PING_EVERY, False
        started = came = clock()
        ping_at, keep_at, ping_time = started, started + KEEP_EVERY, None
        while True:
            if clock() >= ping_at:
                # Also while data comes: an adapter closes a connection on which nobody asks.
                writer.write(b"* PING\r\n")
                ping_at, ping_time = clock() + every, ping_time or utc_now()
                talk.look_for_unseen(clock() - started)
            try:
                async with asyncio.timeout(max(0.01, ping_at - clock())):
                    data = await reader.read(READ)
            except TimeoutError:
                if answers and clock() - came > 2 * every + GRACE:
                    raise ConnectionLostError(f"{self._adapter} does not answer its heartbeat") from None
                continue
            if not data:
                raise ConnectionLostError(f"{self._adapter} closed the connection")
            now = utc_now()
            pong = await talk.take(data, clock() - started < INITIAL)
            came = clock()  # how long we took to store it is no silence of the adapter's
            if pong is not None:
                answers, every = True, _interval(pong, every)
                ping_at = min(ping_at, came + every)
                if ping_time is not None:
                    # The adapter lived when it was asked; every change it sends from now on is stamped later.
                    await talk.put(self._held.beat(ping_time, utc_now()))
                ping_time = None
            self._heard = now
            if came >= keep_at:
                keep_at = came + KEEP_EVERY
                await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        if self._heard is None:
            return
        try:
            heard.save(self._folder, self._adapter, self._heard)
        except OSError as error:
            log.error("source %s: when it was heard cannot be kept: %s", self._source.id, error)

    def _report(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            self.problems += problem.count
            log.warning(
                "source %s: %d line(s) left out, %s; the first: %s",
                self._source.id, problem.count, problem.reason, problem.text,
            )  # fmt: skip


class _Talk:
    """What one connection brings. A part of `ShdrCollector`, which outlives it."""

    def __init__(self, owner: ShdrCollector, emit: Emit) -> None:
        self._owner, self._emit, self._status = owner, emit, owner.status
        self._lines, self._items = Lines(), Items(owner._signals)
        self._device = ""
        self._unseen = {f"{s.equipment}.{s.id}": s.address for s in owner._signals}
        self._looked = False

    async def take(self, data: bytes, initial: bool) -> str | None:
        """Bytes as they came; gives what was said after the last `* PONG`, None when there was none."""
        lines, received = self._lines.feed(data), utc_now()
        self._owner._report(self._lines.problems())
        records, problems = decode(lines, self._device)
        self._owner._report(problems)
        self._device = named_device(lines, self._device)
        batch = samples(records, self._owner._signals, received, self._items)
        await self.put(self._owner._held.update(batch, received, initial))
        self._show(batch, received, initial)
        pongs = [line for line in lines if line.startswith("* PONG")]
        return pongs[-1][len("* PONG") :].strip() if pongs else None

    async def put(self, batch: pl.DataFrame) -> None:
        """Return when it is on disk."""
        if not batch.is_empty():
            await self._emit(batch)

    def look_for_unseen(self, connected: float) -> None:
        """Say, once, which items have not come; `connected`: seconds since the connection."""
        if self._looked or connected < SEEN_WITHIN:
            return
        self._looked = True
        for key, address in self._unseen.items():
            self._status.bad[key] = (
                f'the adapter has not sent "{address}" within {SEEN_WITHIN:g} s of the connection; is that the item\'s name?'
            )

    def _show(self, batch: pl.DataFrame, received: datetime, initial: bool) -> None:
        latest = batch.group_by(pl.concat_str("equipment", "signal", separator=".").alias("key")).agg(
            pl.col("value", "text", "time").last()
        )
        for key, value, text, time in latest.iter_rows():
            self._unseen.pop(key, None)
            if value is None and text is None:
                self._status.bad[key] = UNAVAILABLE
            else:
                self._status.bad.pop(key, None)
            if not initial:
                self._note_clock(key, time - received)
        for signal in self._owner._signals:
            if (mixed := self._items.mixed.get(signal.address.strip())) is not None:
                self._status.notes[f"{signal.equipment}.{signal.id}"] = mixed

    def _note_clock(self, key: str, ahead: timedelta) -> None:
        if abs(ahead) > SAME_CLOCK:
            side = "behind" if ahead < timedelta(0) else "ahead of"
            self._status.notes[key] = (
                f"its time is {abs(ahead).total_seconds():.0f} s {side} ours; set the adapter's clock"
            )
        else:
            self._status.notes.pop(key, None)


def _interval(said: str, default: float) -> float:
    """Seconds between pings out of `* PONG <milliseconds>`."""
    word = (said.split() or [""])[0]
    return (
        min(max(int(word) / 1000, 0.1), 60.0)
        if word.isascii() and word.isdigit() and len(word) < 10
        else default
    )


def _notice_dead_peers(writer: asyncio.StreamWriter) -> None:
    """An adapter that answers no PING may be gone without a word: let the system ask its machine."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
