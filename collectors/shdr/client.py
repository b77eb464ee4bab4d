"""The SHDR collector: an MTConnect adapter's socket, or a recording."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.held import Held
from collectors.ports import Emit, SourceStatus
from collectors.shdr.decode import Problem, decode, samples
from plant.model import Signal, Source

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
PING_EVERY = 5.0
"""Seconds; an adapter that answers PONG states its own, and twice that without a word means it is gone."""
INITIAL = 2.0
"""Seconds after connecting in which an adapter sends everything as it stands, with the times it changed."""
LONGEST_LINE = 1 << 20


class ShdrCollector:
    """Collects one adapter. Lines it could not read are counted in `problems` and logged, never fatal."""

    def __init__(self, source: Source, signals: tuple[Signal, ...], options: Mapping[str, Any]) -> None:
        self.status = SourceStatus()
        self.problems = 0
        self._source, self._signals = source, signals
        self._host, self._port, self._file = options["host"], options["port"], options["file"]
        self._held = Held(signals, timedelta(seconds=options["heartbeat"]))

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled; a recording is emitted once, then there is nothing more to do."""
        if self._file is not None:
            await self._read_file(emit)
            await asyncio.Event().wait()
        await keep_connected(self.status, lambda: self._session(emit), self._held.lost, emit)

    async def _read_file(self, emit: Emit) -> None:
        try:
            data = await asyncio.to_thread(Path(self._file).read_bytes)
        except OSError as error:
            self.status.detail = f'cannot read {self._file}: {error.strerror}; correct the option "file"'
            log.error("source %s: %s", self._source.id, self.status.detail)
            return
        batch = self._decode(data)
        await emit(batch)
        self.status.detail = f"{self._file} read to its end"

    async def _session(self, emit: Emit) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=LONGEST_LINE)
        except (OSError, TimeoutError) as error:
            raise ConnectionLostError(
                f"no adapter at {self._host}:{self._port} ({error or 'no answer'})"
            ) from error
        try:
            await self._converse(reader, writer, emit)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, emit: Emit) -> None:
        clock = asyncio.get_running_loop().time
        up(self.status, f"connected to {self._host}:{self._port}")
        self._held.connected()
        every, answers, rest = PING_EVERY, False, b""
        started = pinged = heard = clock()
        ping_time = utc_now()
        writer.write(b"* PING\r\n")
        while True:
            try:
                async with asyncio.timeout(max(0.05, pinged + every - clock())):
                    data = await reader.read(LONGEST_LINE)
            except TimeoutError:
                if answers and clock() - heard > 2 * every:
                    raise ConnectionLostError(
                        f"{self._host}:{self._port} does not answer its heartbeat"
                    ) from None
                pinged, ping_time = clock(), utc_now()
                writer.write(b"* PING\r\n")
                continue
            if not data:
                raise ConnectionLostError(f"{self._host}:{self._port} closed the connection")
            heard = clock()
            whole, _, rest = (rest + data).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                raise ConnectionLostError(
                    f"{self._host}:{self._port} sends a line of more than {LONGEST_LINE} bytes"
                )
            pong = whole.rpartition(b"* PONG")[2].split(maxsplit=1) if b"* PONG" in whole else None
            await self._take(whole, heard - started < INITIAL, emit)
            if pong is not None:
                # The adapter lived when it was asked; every change it sends from now on is stamped later.
                answers, every = True, _interval(pong[:1], every)
                await self._put(self._held.beat(ping_time, utc_now()), emit)

    async def _take(self, lines: bytes, initial: bool, emit: Emit) -> None:
        now = utc_now()
        batch = self._decode(lines)
        await self._put(self._held.update(batch, now, initial), emit)

    async def _put(self, batch: pl.DataFrame, emit: Emit) -> None:
        if not batch.is_empty():
            await emit(batch)

    def _decode(self, lines: bytes) -> pl.DataFrame:
        records, problems = decode(lines)
        self._report(problems)
        return samples(records, self._signals, utc_now())

    def _report(self, problems: list[Problem]) -> None:
        for problem in problems:
            self.problems += problem.count
            log.warning(
                "source %s: %d line(s) left out, %s; the first: %s",
                self._source.id, problem.count, problem.reason, problem.text,
            )  # fmt: skip


def _interval(words: list[bytes], default: float) -> float:
    """Seconds between pings out of `* PONG <milliseconds>`."""
    return min(max(int(words[0]) / 1000, 0.1), 60.0) if words and words[0].isdigit() else default
