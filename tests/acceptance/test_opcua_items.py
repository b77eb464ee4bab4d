"""What is asked of an OPC UA server for each signal, and what it answers: limits, revised values, deadbands, statuses."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from devices.opcua import OpcUaDevice
from devices.opcua_servers import NodeOpcUa, Open62541, ServerOptions, ServerProcess
from devices.received import Received

from collectors.opcua import create, session
from collectors.opcua.state import Store
from plant.frames import BAD, GOOD, UNCERTAIN
from plant.model import Role, Signal, Source

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(120)]
SERVERS: dict[str, type[ServerProcess]] = {"node-opcua": NodeOpcUa, "open62541": Open62541}


@pytest.fixture(params=sorted(SERVERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def signal(server: ServerProcess, name: str, role: Role = Role.PROCESS_VALUE, **collect: object) -> Signal:
    return Signal(
        id=name, equipment="m", role=role, source="s", address=server.address(name), collect=collect
    )


@asynccontextmanager
async def collecting(
    url: str, wanted: tuple[Signal, ...], folder: Path, emit: Received, **options: object
) -> AsyncIterator[Any]:
    source = Source(id="s", protocol="opcua", options={"url": url, "security": "None", **options})
    collector = create(source, wanted, folder)
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


def run(
    kind: str, options: ServerOptions, body: Callable[[ServerProcess, Received], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        server = SERVERS[kind](options=options)
        await server.start()
        try:
            await body(server, Received())
        finally:
            await server.kill()

    asyncio.run(main())


def test_a_server_with_little_room_gets_several_subscriptions(kind: str, tmp_path: Path) -> None:
    """Its limit of items in a subscription, and two publishing intervals."""

    async def body(server: ServerProcess, emit: Received) -> None:
        wanted = (
            *(signal(server, f"v{n}") for n in range(5)),
            *(signal(server, f"v{n}", publishing_interval="300ms") for n in range(5, 8)),
        )
        async with collecting(server.url, wanted, tmp_path, emit) as collector:
            await until(lambda: emit.values_each(wanted) >= 10)
            assert collector.status.bad == {}
            made = Store(tmp_path / "sources" / "s").load().subscriptions.values()
            assert sorted((s.interval, len(s.items)) for s in made) == [(0.1, 2), (0.1, 3), (0.3, 3)]
        assert emit.missing() == {} and emit.gaps == []

    run(kind, ServerOptions(variables=8, rate=20, items_per_subscription=3), body)


def test_what_the_server_does_differently_is_said(kind: str, tmp_path: Path) -> None:
    async def body(server: ServerProcess, emit: Received) -> None:
        wanted = (
            signal(server, "v0", sampling="10ms"),
            signal(server, "v1", sampling="500ms", queue_size=20),
            signal(server, "v2", queue_size=9000),
        )
        async with collecting(server.url, wanted, tmp_path, emit) as collector:
            await until(lambda: emit.values_each(wanted) >= 1)
            notes = collector.status.notes
            assert "looks at it every 200 ms (10 ms asked)" in notes["m.v0"]
            assert "m.v1" not in notes
            assert re.search(r"keeps \d+ values of it \(9000 asked\)", notes["m.v2"])

    run(kind, ServerOptions(variables=3, rate=20, sampling=200, queue_size=100), body)


def test_a_deadband_leaves_out_small_changes_and_is_done_without_where_it_has_no_meaning(
    kind: str, tmp_path: Path
) -> None:
    async def body(server: ServerProcess, emit: Received) -> None:
        wanted = (signal(server, "v0", deadband=9.5), signal(server, "v1", deadband=9.5))
        async with collecting(server.url, wanted, tmp_path, emit) as collector:
            await until(lambda: emit.values_each(wanted[:1]) >= 5)
            await until(lambda: emit.stored().filter(pl.col("signal") == "v1").height > 5)
            values = emit.stored().filter(pl.col("signal") == "v0")["value"].to_list()
            assert all(b - a >= 10 for a, b in itertools.pairwise(values))
            assert (
                "knows no deadband" in collector.status.notes["m.v1"] and "m.v0" not in collector.status.notes
            )

    run(kind, ServerOptions(variables=2, rate=50, types=("Double", "String")), body)


def test_bad_and_uncertain_values_are_shown_until_they_are_good_again(kind: str, tmp_path: Path) -> None:
    async def body(server: ServerProcess, emit: Received) -> None:
        wanted = (signal(server, "m.state", Role.STATE), signal(server, "m.nothing"))
        async with collecting(server.url, wanted, tmp_path, emit) as collector:
            for status, quality, said in (
                ("BadSensorFailure", BAD, "the server says BadSensorFailure"),
                ("UncertainLastUsableValue", UNCERTAIN, "the server says UncertainLastUsableValue"),
                ("Good", GOOD, None),
            ):
                time = datetime.now(UTC).replace(microsecond=0)
                await server.write({"m.state": 6}, time, status)
                await until(lambda said=said: collector.status.bad.get("m.m.state") == said)  # type: ignore[misc]
                value = None if quality == BAD else 6.0
                row = (time, value, quality)
                await until(
                    lambda row=row: (  # type: ignore[misc]
                        row
                        in emit.stored().filter(signal="m.state").select("time", "value", "quality").rows()
                    )
                )
                await asyncio.sleep(1.1)
            assert list(collector.status.bad) == ["m.m.nothing"]

    run(kind, ServerOptions(), body)


def test_a_server_that_takes_few_publish_requests_gets_few(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "OUTSTANDING", 150)
    monkeypatch.setattr(session, "AHEAD", 400)

    async def body(server: ServerProcess, emit: Received) -> None:
        wanted = tuple(signal(server, f"v{n}") for n in range(3))
        async with collecting(server.url, wanted, tmp_path, emit) as collector:
            await until(lambda: emit.values_each(wanted) >= 50)
            assert collector.status.connected
        assert emit.missing() == {} and emit.gaps == [] and emit.stored()["quality"].max() == GOOD

    run(kind, ServerOptions(variables=3, rate=50), body)


def test_a_subscription_that_stays_silent_after_it_was_taken_over_is_made_anew(tmp_path: Path) -> None:
    """As asyncua's server leaves it."""

    async def main() -> None:
        device, emit = OpcUaDevice(), Received()
        await device.start()
        state = Signal(id="state", equipment="m", role=Role.STATE, source="s", address=device.state)
        try:
            for number in (6, 9):
                async with collecting(str(device.options()["url"]), (state,), tmp_path, emit, heartbeat="1s"):
                    time = datetime.now(UTC)
                    await device.put(number, "a", time)
                    await until(lambda time=time: time in set(emit.stored()["time"]))  # type: ignore[misc]
        finally:
            await device.stop()

    asyncio.run(main())
