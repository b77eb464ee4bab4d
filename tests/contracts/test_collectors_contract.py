"""What every collector promises (`collectors.ports.Collector`), shown against a real server of its protocol.

Adding a protocol means adding its device to `tests/devices`; `test_every_protocol_is_covered` fails until that is done.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from devices import DEVICES, SERVERS
from devices.base import Device

from collectors import discover
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal, Source

DEADLINE = 40.0
SENDERS = ("shdr", "http", "folder")
"""Who sends does not say what it will never send."""


class Received:
    """An `Emit` that keeps what it acknowledged."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str]] = []

    async def __call__(self, samples: pl.DataFrame) -> None:
        assert samples.schema == pl.Schema(SAMPLES)
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        assert first <= last and why
        self.gaps.append((first, last, why))

    def of(self, signal: str) -> list[tuple[datetime, float | None, str | None, int]]:
        everything = pl.concat([pl.DataFrame(schema=dict(SAMPLES)), *self.frames])
        return everything.filter(pl.col("signal") == signal).select("time", "value", "text", "quality").rows()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def signals(device: Device, wrong: bool = False) -> tuple[Signal, ...]:
    made = [
        Signal(id="state", equipment="m", role=Role.STATE, source="s", address=device.state),
        Signal(id="order", equipment="m", role=Role.ORDER, source="s", address=device.order),
    ]
    if wrong:
        made.append(Signal(id="wrong", equipment="m", role=Role.GOOD, source="s", address=device.wrong))
    return tuple(made)


@asynccontextmanager
async def collecting(
    protocol: str, device: Device, wanted: tuple[Signal, ...], **options: object
) -> AsyncIterator[tuple[Any, Received]]:
    module = discover()[protocol]
    source = Source(id="s", protocol=protocol, options=device.options() | options)
    assert module.check(source, wanted) == []
    with TemporaryDirectory() as folder:
        collector, emit = module.create(source, wanted, Path(folder)), Received()
        task = asyncio.create_task(collector.run(emit))
        try:
            yield collector, emit
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.server] if name in SERVERS else []) for name in sorted(DEVICES)
    ]
)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bench() -> Iterator[tuple[asyncio.Runner, dict[str, Device]]]:
    """One event loop and one started device per protocol for all tests here."""
    devices: dict[str, Device] = {}
    with asyncio.Runner() as runner:
        yield runner, devices
        for device in devices.values():
            runner.run(device.stop())


@pytest.fixture
def run(
    protocol: str, bench: tuple[asyncio.Runner, dict[str, Device]]
) -> Callable[[Callable[[Device], Coroutine[Any, Any, None]]], None]:
    """Run an async test body with the protocol's started device."""
    runner, devices = bench

    def go(body: Callable[[Device], Coroutine[Any, Any, None]]) -> None:
        if protocol not in devices:
            device = DEVICES[protocol](0)
            runner.run(device.start())
            devices[protocol] = device
        runner.run(body(devices[protocol]))

    return go


Run = Callable[[Callable[[Device], Coroutine[Any, Any, None]]], None]


def now() -> datetime:
    """The time to the millisecond, which every protocol here can carry."""
    return datetime.now(UTC).replace(microsecond=datetime.now(UTC).microsecond // 1000 * 1000)


def test_every_protocol_is_covered() -> None:
    assert sorted(discover()) == sorted(DEVICES)


def test_values_arrive_with_the_sources_own_time(protocol: str, run: Run) -> None:
    async def body(device: Device) -> None:
        first = now()
        await device.put(6, "0042", first)
        async with collecting(protocol, device, signals(device)) as (collector, emit):
            await until(lambda: (first, 6.0, None, GOOD) in emit.of("state"))
            await until(lambda: (first, None, "0042", GOOD) in emit.of("order"))
            second = now()
            await device.put(9, "0043", second)
            await until(lambda: (second, 9.0, None, GOOD) in emit.of("state"))
            assert collector.status.connected

    run(body)


@pytest.mark.slow
def test_a_loss_is_said_once_and_the_connection_comes_back(protocol: str, run: Run) -> None:
    async def body(device: Device) -> None:
        await device.put(6, "a", now())
        async with collecting(protocol, device, signals(device)) as (collector, emit):
            await until(lambda: any(v == 6 for _, v, _, _ in emit.of("state")))
            await device.stop()
            await until(lambda: not collector.status.connected and emit.of("state")[-1][3] == BAD)
            failures = collector.status.detail
            await until(lambda: collector.status.detail != failures)  # at least one more attempt
            assert [q for *_, q in emit.of("state")].count(BAD) == 1
            assert [q for *_, q in emit.of("order")].count(BAD) == 1
            lost, value, text, _ = emit.of("state")[-1]
            assert (value, text) == (None, None)
            await device.start()
            back = now() + timedelta(milliseconds=1)
            await device.put(51, "b", back)
            await until(lambda: collector.status.connected and (back, 51.0, None, GOOD) in emit.of("state"))
            assert lost < back
            assert [q for *_, q in emit.of("state")].count(BAD) == 1

    run(body)


def test_nobody_there_from_the_start_is_said_once(protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        device = DEVICES[protocol](free.getsockname()[1])

    async def main() -> None:
        async with collecting(protocol, device, signals(device)) as (collector, emit):
            await until(lambda: len(emit.of("state")) > 0)
            said = collector.status.detail
            await until(lambda: collector.status.detail != said)
            assert [q for *_, q in emit.of("state")] == [BAD]
            assert not collector.status.connected and "127.0.0.1" in collector.status.detail

    asyncio.run(main())


def test_a_wrong_address_leaves_the_rest_running(protocol: str, run: Run) -> None:
    async def body(device: Device) -> None:
        first = now()
        await device.put(6, "a", first)
        async with collecting(protocol, device, signals(device, wrong=True)) as (collector, emit):
            await until(lambda: (first, 6.0, None, GOOD) in emit.of("state"))
            second = now()
            await device.put(9, "b", second)
            await until(lambda: (second, 9.0, None, GOOD) in emit.of("state"))
            assert all(value is None for _, value, _, _ in emit.of("wrong"))
            if protocol not in SENDERS:
                assert list(collector.status.bad) == ["m.wrong"] and collector.status.bad["m.wrong"]
                assert [q for *_, q in emit.of("wrong")] == [BAD]

    run(body)


def test_a_value_that_does_not_change_is_still_proven_to_stand(protocol: str, run: Run) -> None:
    """Silence of a living source is not silence of a dead one: the state is said again, on the source's clock.

    A file proves nothing about the time after it.
    """

    async def body(device: Device) -> None:
        first = now()
        await device.put(6, "a", first)
        if protocol == "folder":
            async with collecting(protocol, device, signals(device)) as (_, emit):
                await until(lambda: len(emit.of("state")) > 0)
                await asyncio.sleep(0.3)
                assert [s for s in emit.of("state") if s[0] >= first] == [(first, 6.0, None, GOOD)]
            return
        again = {"clock": None} if protocol == "modbus" else {"heartbeat": "200ms"}
        async with collecting(protocol, device, signals(device), **again) as (_, emit):
            await until(lambda: len({t for t, v, _, _ in emit.of("state") if v == 6 and t > first}) >= 2)
            assert all(value in (6, None) for _, value, _, _ in emit.of("state"))
            assert max(t for t, *_ in emit.of("state")) <= datetime.now(UTC)

    run(body)
