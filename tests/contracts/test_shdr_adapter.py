"""An SHDR adapter that falls silent, closes on silence, sends junk, or was away: said, recorded, and gone on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from collectors.shdr import client, create
from collectors.shdr.client import ShdrCollector
from plant.model import Role, Signal, Source

SIGNALS = tuple(
    Signal(id=name, equipment="m", role=Role.PROCESS_VALUE, source="s", address=name) for name in ("x", "y")
)


class Kept:
    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str]] = []

    async def __call__(self, samples: pl.DataFrame) -> None:
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        self.gaps.append((first, last, why))

    def values(self, name: str = "x") -> list[float | None]:
        return [v for f in self.frames for v in f.filter(pl.col("signal") == name)["value"].to_list()]


class Adapter:
    """`interval`: of its heartbeat in milliseconds; None: it answers no PING. `closes`: seconds without a PING after
    which it closes, as the adapters of MTConnect's own kit do."""

    def __init__(self, interval: int | None = 100, closes: float = 3600) -> None:
        self.interval, self.closes, self.port, self.pings, self.connections = interval, closes, 0, 0, 0
        self.writers: list[asyncio.StreamWriter] = []
        self._server: Any = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self.writers:
            writer.close()
        self.writers = []

    def say(self, text: str | bytes) -> None:
        for writer in self.writers:
            writer.write(text if isinstance(text, bytes) else text.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while line := await asyncio.wait_for(reader.readline(), self.closes):
                self.pings += line.startswith(b"* PING")
                if self.interval is not None:
                    writer.write(b"* PONG %d\n" % self.interval)
        except (TimeoutError, ConnectionError):
            pass
        writer.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def collecting(
    adapter: Adapter, kept: Kept, folder: Path, **options: object
) -> AsyncIterator[ShdrCollector]:
    given = {"host": "127.0.0.1", "port": adapter.port} | options
    collector = create(Source(id="s", protocol="shdr", options=given), SIGNALS, folder)
    task = asyncio.create_task(collector.run(kept))
    try:
        yield collector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def now(late: float = 0) -> str:
    return f"{datetime.now(UTC) - timedelta(seconds=late):%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.slow
def test_an_adapter_is_pinged_also_while_it_never_stops_talking(tmp_path: Path) -> None:
    async def main() -> None:
        adapter, kept = Adapter(closes=1.5), Kept()
        await adapter.start()
        async with collecting(adapter, kept, tmp_path):
            await until(lambda: adapter.writers)
            for number in range(100):
                adapter.say(f"{now()}|x|{number}\n")
                await asyncio.sleep(0.02)
            await until(lambda: len(kept.values()) == 100)
            assert adapter.connections == 1 and adapter.pings > 5
        assert kept.values() == list(range(100))
        await adapter.stop()

    asyncio.run(main())


@pytest.mark.slow
def test_an_adapter_that_stops_answering_is_lost_and_what_was_missed_is_a_gap(tmp_path: Path) -> None:
    async def main() -> None:
        adapter, kept = Adapter(), Kept()
        await adapter.start()
        async with collecting(adapter, kept, tmp_path) as collector:
            await until(lambda: adapter.pings > 2)
            adapter.say(f"{now()}|x|1\n")
            await until(lambda: kept.values() == [1])
            before = datetime.now(UTC)
            adapter.interval = None
            await until(lambda: "does not answer its heartbeat" in collector.status.detail)
            assert kept.values() == [1, None] and kept.gaps == []
            await until(lambda: kept.gaps)
        ((first, last, why),) = kept.gaps
        assert first <= before + timedelta(seconds=0.2) and last > before and "keeps nothing" in why
        await adapter.stop()

    asyncio.run(main())


def test_a_restart_of_the_collector_is_a_gap_from_when_it_last_heard(tmp_path: Path) -> None:
    async def main() -> None:
        adapter, kept = Adapter(), Kept()
        await adapter.start()
        async with collecting(adapter, kept, tmp_path):
            await until(lambda: adapter.pings > 2)
        ended = datetime.now(UTC)
        assert kept.gaps == []
        await asyncio.sleep(0.3)
        async with collecting(adapter, kept, tmp_path):
            await until(lambda: kept.gaps)
        ((first, last, _),) = kept.gaps
        assert ended - timedelta(seconds=1) < first <= ended < last
        await adapter.stop()

    asyncio.run(main())


def test_junk_and_endless_lines_cost_only_themselves(tmp_path: Path) -> None:
    async def main() -> None:
        adapter, kept = Adapter(interval=None), Kept()
        await adapter.start()
        async with collecting(adapter, kept, tmp_path) as collector:
            await until(lambda: adapter.writers)
            adapter.say(bytes(range(256)) * 20 + b"\n" + b"z" * 3_000_000)
            adapter.say(f"\n{now()}|x|1|y|a b * PONG 1\n{now()}|x|")
            await asyncio.sleep(0.1)
            adapter.say("2\n")
            await until(lambda: kept.values() == [1, 2])
            assert adapter.connections == 1 and collector.problems >= 2
        await adapter.stop()

    asyncio.run(main())


def test_what_is_wrong_with_an_item_is_shown_with_its_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SEEN_WITHIN", 0.3)
    monkeypatch.setattr(client, "INITIAL", 0.0)

    async def main() -> None:
        adapter, kept = Adapter(), Kept()
        await adapter.start()
        async with collecting(adapter, kept, tmp_path) as collector:
            status = collector.status
            await until(lambda: adapter.writers)
            adapter.say(f"{now()}|x|UNAVAILABLE\n")
            await until(lambda: status.bad.get("m.x") == "the adapter says UNAVAILABLE")
            await until(lambda: 'has not sent "y"' in status.bad.get("m.y", ""))
            adapter.say(f"{now(late=90)}|x|1|y|2\n")
            await until(lambda: status.bad == {} and "90 s behind ours" in status.notes.get("m.x", ""))
            adapter.say(f"{now()}|A:x|1\n{now()}|x|1|y|2\n")
            await until(lambda: set(status.notes) == {"m.x"} and 'also sends "A:x"' in status.notes["m.x"])
        await adapter.stop()

    asyncio.run(main())
