"""What every collector promises (`collectors.ports.Collector`), shown against a real server of its protocol.

Adding a protocol means adding its device here; `test_every_protocol_is_covered` fails until that is done.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import polars as pl
import pytest
from asyncua import Server, ua
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collectors import discover
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal, Source

DEADLINE = 40.0
NAMESPACE = "urn:lineside:test"


class Device(Protocol):
    """A real server holding one state (a number) and one order (a text), at addresses the tests know."""

    state: str
    order: str
    wrong: str

    def options(self) -> dict[str, object]: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def put(self, state: int, order: str, time: datetime) -> None: ...


class OpcUaDevice:
    state, order = f"nsu={NAMESPACE};s=m.state", f"nsu={NAMESPACE};s=m.order"
    wrong = f"nsu={NAMESPACE};s=m.nothing"

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._now: tuple[int, str, datetime] = (0, "", datetime.now(UTC))
        self._server: Any = None

    def options(self) -> dict[str, object]:
        return {"url": f"opc.tcp://127.0.0.1:{self._port}/", "publishing_interval": "50ms"}

    async def start(self) -> None:
        self._server = Server()
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}/")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self._server.register_namespace(NAMESPACE)
        objects = self._server.nodes.objects
        kinds = {"state": (0, ua.VariantType.Int32), "order": ("", ua.VariantType.String)}
        self._nodes = {
            name: await objects.add_variable(ua.NodeId(f"m.{name}", index), f"{index}:{name}", *of)
            for name, of in kinds.items()
        }
        await self.put(*self._now)
        await self._server.start()
        self._port = self._server.bserver.port

    async def stop(self) -> None:
        await self._server.stop()

    async def put(self, state: int, order: str, time: datetime) -> None:
        self._now = (state, order, time)
        kinds = {"state": ua.Variant(state, ua.VariantType.Int32), "order": ua.Variant(order)}
        for name, variant in kinds.items():
            data = ua.DataValue(variant, SourceTimestamp=time, ServerTimestamp=time)
            await self._server.write_attribute_value(self._nodes[name].nodeid, data)


class ModbusDevice:
    state, order, wrong = "holding:0:uint16", "holding:1:string<4>", "holding:900:uint16"

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._image = [0] * 8
        self._server: Any = None

    def options(self) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": self._port, "poll": "50ms", "clock": "holding:4:uint64"}

    async def start(self) -> None:
        block = SimData(0, values=[0] * 8, datatype=DataType.REGISTERS, readonly=True)
        device = SimDevice(0, simdata=[block], action=self._answer)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self._port))
        await self._server.serve_forever(background=True)
        self._port = self._server.transport.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        await self._server.shutdown()

    async def put(self, state: int, order: str, time: datetime) -> None:
        milliseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        text = order.encode().ljust(4, b"\0")
        words = [int.from_bytes(text[i : i + 2]) for i in (0, 2)]
        clock = [milliseconds >> shift & 0xFFFF for shift in (48, 32, 16, 0)]
        self._image = [state, *words, 0, *clock]

    async def _answer(self, _f: int, _s: int, _a: int, _c: int, current: list[int], _v: object) -> None:
        current[:8] = self._image


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


DEVICES: dict[str, Callable[[int], Device]] = {
    "opcua": OpcUaDevice,
    "modbus": ModbusDevice,
    "shdr": ShdrDevice,
}


class Received:
    """An `Emit` that keeps what it acknowledged."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []

    async def __call__(self, samples: pl.DataFrame) -> None:
        assert samples.schema == pl.Schema(SAMPLES)
        self.frames.append(samples)

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
    collector, emit = module.create(source, wanted), Received()
    task = asyncio.create_task(collector.run(emit))
    try:
        yield collector, emit
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=sorted(DEVICES))
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
            await until(lambda: collector.status.samples == sum(f.height for f in emit.frames))
            assert collector.status.last_sample >= second

    run(body)


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
            if protocol != "shdr":  # an adapter does not say which items it will never send
                assert list(collector.status.bad) == ["m.wrong"] and collector.status.bad["m.wrong"]
                assert [q for *_, q in emit.of("wrong")] == [BAD]

    run(body)


def test_a_value_that_does_not_change_is_still_proven_to_stand(protocol: str, run: Run) -> None:
    """Silence of a living source is not silence of a dead one: the state is said again, on the source's clock."""

    async def body(device: Device) -> None:
        first = now()
        await device.put(6, "a", first)
        again = {"clock": None} if protocol == "modbus" else {"heartbeat": "200ms"}
        async with collecting(protocol, device, signals(device), **again) as (_, emit):
            await until(lambda: len({t for t, v, _, _ in emit.of("state") if v == 6 and t > first}) >= 2)
            assert all(value in (6, None) for _, value, _, _ in emit.of("state"))
            assert max(t for t, *_ in emit.of("state")) <= datetime.now(UTC)

    run(body)


def test_what_was_not_stored_is_not_acknowledged_as_collected(protocol: str, run: Run) -> None:
    """While `emit` does not return (a full spool), the status does not count the samples."""

    async def body(device: Device) -> None:
        await device.put(6, "a", now())
        module = discover()[protocol]
        collector = module.create(
            Source(id="s", protocol=protocol, options=device.options()), signals(device)
        )
        reached, release = asyncio.Event(), asyncio.Event()

        async def emit(samples: pl.DataFrame) -> None:
            reached.set()
            await release.wait()

        task = asyncio.create_task(collector.run(emit))
        async with asyncio.timeout(DEADLINE):
            await reached.wait()
        assert collector.status.samples == 0
        release.set()
        await until(lambda: collector.status.samples > 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(body)
