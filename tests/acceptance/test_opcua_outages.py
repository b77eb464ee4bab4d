"""Outages between the collector and OPC UA servers that are not ours: what came meanwhile is there afterwards, or
recorded as a gap. The servers count, so that a value that is missing shows."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from asyncua import Client
from devices.opcua_servers import NodeOpcUa, Open62541, ServerOptions, ServerProcess
from devices.proxy import Proxy
from devices.received import Received

from collectors.gaps import gaps
from collectors.opcua import create
from collectors.opcua.items import monitored, transfer
from collectors.opcua.state import Store
from plant.frames import BAD
from plant.model import Role, Signal, Source

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(120)]

SERVERS: dict[str, type[ServerProcess]] = {"node-opcua": NodeOpcUa, "open62541": Open62541}
ROOT = Path(__file__).parents[2]
SIGNALS = 6
RATE = 50.0
"""Writings a second."""
STARTED: dict[tuple[object, ...], ServerProcess] = {}
"""Servers of all tests here."""


@pytest.fixture(scope="module", autouse=True)
def _end_servers() -> Iterator[None]:
    yield
    for server in STARTED.values():
        asyncio.run(server.kill())
    STARTED.clear()


def newest(emit: Received) -> float:
    """The smallest of the signals' largest values."""
    last = emit.stored().drop_nulls("value").group_by("signal").agg(pl.col("value").max())
    return min(last["value"], default=0.0) if last.height == SIGNALS else 0.0


def signals(server: ServerProcess, **collect: object) -> tuple[Signal, ...]:
    return tuple(
        Signal(
            id=f"v{n}",
            equipment="m",
            role=Role.PROCESS_VALUE,
            source="s",
            address=server.address(f"v{n}"),
            collect=collect,
        )
        for n in range(SIGNALS)
    )


@asynccontextmanager
async def collecting(
    port: int, wanted: tuple[Signal, ...], folder: Path, emit: Received, **options: object
) -> AsyncIterator[Any]:
    given = {"url": f"opc.tcp://127.0.0.1:{port}/", "security": "None", **options}
    collector = create(Source(id="s", protocol="opcua", options=given), wanted, folder)
    task = asyncio.create_task(collector.run(emit))
    try:
        yield collector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.05)


async def more(emit: Received, values: int = 25) -> None:
    """Wait for so many new values of each signal."""
    goal = newest(emit) + values
    await until(lambda: newest(emit) >= goal)


@pytest.fixture(params=sorted(SERVERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def names() -> set[str]:
    return {f"m.v{n}" for n in range(SIGNALS)}


def serve(
    kind: str, body: Callable[[ServerProcess, Proxy, Received], Coroutine[Any, Any, None]], **options: Any
) -> None:
    """Run a test's body with a server that counts, a proxy before it, and an `Emit`."""

    async def main() -> None:
        key = (kind, *options.items())
        if key not in STARTED:
            new = SERVERS[kind](options=ServerOptions(variables=SIGNALS, rate=RATE, **options))
            await new.start()
            STARTED[key] = new
        server = STARTED[key]
        proxy = Proxy(server.port)
        await proxy.start()
        try:
            await body(server, proxy, Received())
        finally:
            await proxy.stop()

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["cut", "stall", "reset"])
def test_an_outage_of_five_seconds_loses_nothing(kind: str, fault: str, tmp_path: Path) -> None:
    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        async with collecting(proxy.port, signals(server), tmp_path, emit) as collector:
            await more(emit)
            if fault == "cut":
                await proxy.cut()
                await asyncio.sleep(5)
                await proxy.start()
            elif fault == "stall":
                proxy.stall()
                await asyncio.sleep(5)
                proxy.go()
            else:
                proxy.reset()
            await until(lambda: collector.status.connected)
            await more(emit, 75)
            await until(lambda: emit.holes() == 0)
            assert emit.missing() == {} and emit.gaps == []
            assert collector.status.bad == {} and collector.status.overflows == {}

    serve(kind, body)


def test_messages_lost_on_the_way_are_asked_for_again(kind: str, tmp_path: Path) -> None:
    """What the server sent into a connection that broke: only sending it again brings it."""

    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        async with collecting(proxy.port, signals(server), tmp_path, emit) as collector:
            for _ in range(3):
                await more(emit)
                proxy.stall()
                await asyncio.sleep(0.35)
                proxy.reset()
                proxy.go()
                await until(lambda: not collector.status.connected)
                await until(lambda: collector.status.connected)
            await more(emit)
            await until(lambda: emit.holes() == 0)
            assert emit.missing() == {} and emit.gaps == []

    serve(kind, body)


def test_a_stall_that_is_noticed_loses_nothing(kind: str, tmp_path: Path) -> None:
    """The connection is given up and made anew; the session goes on."""

    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        async with collecting(proxy.port, signals(server), tmp_path, emit, heartbeat="1s") as collector:
            await more(emit)
            proxy.stall()
            await until(lambda: not collector.status.connected)
            await until(lambda: emit.holes() == SIGNALS)
            proxy.go()
            await until(lambda: collector.status.connected)
            await more(emit, 75)
            await until(lambda: emit.holes() == 0)
            assert emit.missing() == {} and emit.gaps == []

    serve(kind, body)


def test_a_server_that_was_restarted_is_collected_again_and_the_gap_is_recorded(
    kind: str, tmp_path: Path
) -> None:
    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        async with collecting(proxy.port, signals(server), tmp_path, emit) as collector:
            await more(emit)
            last = emit.stored()["time"].max()
            await server.kill()
            await until(lambda: not collector.status.connected)
            await server.start()
            back = datetime.now(UTC)
            await until(lambda: collector.status.connected)
            await until(lambda: emit.stored()["time"].max() > back + timedelta(seconds=0.5))  # type: ignore[operator]
            await until(lambda: {key for *_, keys in emit.gaps for key in keys} == names())
            assert emit.holes() == SIGNALS
            for first, end, why, _ in emit.gaps:
                assert isinstance(last, datetime)
                assert first - timedelta(seconds=2) < last < end < back + timedelta(seconds=6)
                assert "restarted" in why

    serve(kind, body)


@pytest.mark.parametrize("history", [0, 10_000], ids=["no history", "history"])
def test_an_outage_longer_than_the_lifetime_is_filled_from_history_or_recorded(
    kind: str, history: int, tmp_path: Path
) -> None:
    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        asked = {"lifetime": "5s", "heartbeat": "1s"}
        async with collecting(proxy.port, signals(server), tmp_path, emit, **asked) as collector:
            await more(emit)
            before = newest(emit)
            await proxy.cut()
            await asyncio.sleep(6.3)
            await proxy.start()
            await until(lambda: collector.status.connected)
            await more(emit)
            if history:
                await until(lambda: emit.missing() == {} and emit.holes() == 0)
                assert emit.gaps == []
            else:
                await until(lambda: {key for *_, keys in emit.gaps for key in keys} == names())
                assert emit.holes() == SIGNALS
                missing = emit.missing()
                assert len(missing) == SIGNALS
                ((first, last, *_),) = {gap[:2] for gap in emit.gaps} or {()}
                lost = emit.stored().filter(pl.col("value").is_in([before, before + 1]))["time"]
                assert first - timedelta(seconds=1) < lost.min() < last  # type: ignore[operator]
                assert last - first > timedelta(seconds=5)

    serve(kind, body, history=history)


COLLECTOR = """
import asyncio, sys
from pathlib import Path
from collectors.emit import SourceEmit, SpoolEmit
from collectors.gaps import gaps
from collectors.opcua import create
from collectors.opcua.items import monitored, transfer
from collectors.opcua.state import Store
from collectors.spool import Spool
from plant.model import Role, Signal, Source

url, addresses, folder = sys.argv[1], sys.argv[2].split("|"), Path(sys.argv[3])
signals = tuple(
    Signal(id=f"v{n}", equipment="m", role=Role.PROCESS_VALUE, source="s", address=a)
    for n, a in enumerate(addresses)
)
source = Source(id="s", protocol="opcua", options={"url": url, "security": "None"})

async def main():
    emit = SourceEmit(SpoolEmit(Spool(folder / "spool", "collect"), linger=0.4), "s", signals)
    await create(source, signals, folder).run(emit)

asyncio.run(main())
"""


def test_a_collector_killed_and_started_again_loses_nothing(kind: str, tmp_path: Path) -> None:
    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        def written() -> list[Path]:
            return sorted(tmp_path.glob("spool/collect/*.arrow"))

        addresses = "|".join(s.address for s in signals(server))
        process: subprocess.Popen[bytes] | None = None
        try:
            for _ in range(3):
                given = [f"opc.tcp://127.0.0.1:{server.port}/", addresses, str(tmp_path)]
                process = subprocess.Popen([sys.executable, "-c", COLLECTOR, *given], cwd=ROOT)
                enough = len(written()) + 4
                await until(lambda enough=enough: len(written()) >= enough)  # type: ignore[misc]
                await asyncio.sleep(0.2)  # into the gathering of the next batch
                process.send_signal(signal.SIGKILL)
                process.wait()
                await asyncio.sleep(1.5)
        finally:
            if process is not None:
                process.kill()
        emit.frames = [pl.read_ipc(file) for file in written()]
        assert newest(emit) - emit.stored()["value"].min() > 3 * RATE  # type: ignore[operator]
        assert emit.missing() == {} and emit.holes() == 0
        assert gaps(tmp_path / "spool") == []

    serve(kind, body)


@pytest.mark.parametrize(("kind", "history"), [("node-opcua", 10_000), ("open62541", 0)])
def test_a_collector_that_was_away_longer_than_the_lifetime_says_so_or_fills_it(
    kind: str, history: int, tmp_path: Path
) -> None:
    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        for _ in range(2):
            async with collecting(proxy.port, signals(server), tmp_path, emit, lifetime="5s"):
                await more(emit)
                if emit.frames[0]["received"][0] < datetime.now(UTC) - timedelta(seconds=6):
                    await until(lambda: emit.missing() == {} or len(emit.gaps) > 0)
                    await until(lambda: emit.holes() == (0 if history else SIGNALS))
            await asyncio.sleep(6.5)
        if history:
            assert emit.missing() == {} and emit.gaps == []
        else:
            assert {key for *_, keys in emit.gaps for key in keys} == names()
            bad = emit.stored().filter(pl.col("quality") == BAD)["time"]
            assert {first for first, *_ in emit.gaps} == {t - timedelta(microseconds=1) for t in bad}

    serve(kind, body, history=history)


def test_a_collector_that_was_stopped_is_taken_over_by_the_next_also_with_other_signals(
    kind: str, tmp_path: Path
) -> None:
    """A signal is taken off, another comes, a third is sampled differently: the values queued meanwhile are there,
    and nothing is left behind on the server."""

    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        before = signals(server)
        async with collecting(proxy.port, before[:4], tmp_path, emit):
            await until(lambda: emit.stored().height > 100)
        await asyncio.sleep(2)
        after = (*before[1:3], replace(before[3], collect={"queue_size": 2000}), before[4])
        async with collecting(proxy.port, after, tmp_path, emit):
            await asyncio.sleep(3)
        assert emit.missing() == {} and emit.gaps == [] and emit.holes() == 0
        assert set(emit.stored()["signal"]) == {f"v{n}" for n in range(5)}
        state = Store(tmp_path / "sources" / "s").load()
        (subscription,) = state.subscriptions.values()
        assert {item.wanted.key for item in subscription.items.values()} == {f"m.v{n}" for n in (1, 2, 3, 4)}
        async with Client(f"opc.tcp://127.0.0.1:{server.port}/") as client:
            assert await transfer(client.uaclient.session, [subscription.id]) == []
            there = await monitored(client.uaclient.session, subscription.id)
            assert there == {item.handle: item.id for item in subscription.items.values()}

    serve(kind, body)


def test_a_queue_that_is_too_short_is_counted_and_recorded(kind: str, tmp_path: Path) -> None:
    async def body(server: ServerProcess, proxy: Proxy, emit: Received) -> None:
        wanted = signals(server, queue_size=25)
        async with collecting(proxy.port, wanted, tmp_path, emit) as collector:
            await more(emit)
            assert emit.missing() == {}
            await proxy.cut()
            await asyncio.sleep(3)
            await proxy.start()
            await more(emit, 50)
            await until(lambda: {key for *_, keys in emit.gaps for key in keys} == names())
            assert set(collector.status.overflows) == names()
            there = emit.stored().drop_nulls("value").filter(pl.col("signal") == "v0")
            times = dict(there.select("value", "time").iter_rows())
            spans = [(first, last) for first, last, _, keys in emit.gaps if "m.v0" in keys]
            for lost in emit.missing()["v0"]:
                before = times[max(v for v in times if v < lost)]
                after = times[min(v for v in times if v > lost)]
                assert any(first <= before and after <= last for first, last in spans)
            assert (
                sum((last - first for first, last in spans), timedelta()).total_seconds()
                < (len(emit.missing()["v0"]) + 20) / RATE
            )

    serve(kind, body)
