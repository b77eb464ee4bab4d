"""The Modbus collector against devices made by others: libmodbus (C) over TCP and on a serial line, and jsmodbus."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from devices.modbus_servers import JsModbus, LibModbus, SerialLibModbus, SerialLine
from devices.proxy import Proxy

from collectors.connection import ConnectionLostError
from collectors.modbus import check, create
from collectors.modbus.address import BYTE_ORDERS
from collectors.modbus.link import Link
from collectors.modbus.outgoing import Outgoing
from collectors.modbus.wire import NoAnswerError, NotGivenError, RefusedError, Request
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal, Source

pytestmark = pytest.mark.server
DEADLINE = 20.0


class Received:
    """An `Emit` that keeps what it acknowledged."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str, tuple[str, ...]]] = []

    async def __call__(self, samples: pl.DataFrame) -> None:
        assert samples.schema == pl.Schema(SAMPLES)
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        assert first <= last and why
        self.gaps.append((first, last, why, tuple(signals)))

    def of(self, signal: str) -> list[tuple[datetime, float | None, str | None, int]]:
        everything = pl.concat([pl.DataFrame(schema=dict(SAMPLES)), *self.frames])
        return everything.filter(pl.col("signal") == signal).select("time", "value", "text", "quality").rows()

    def good(self, signal: str) -> list[tuple[datetime, float | None, str | None]]:
        return [(t, v, text) for t, v, text, quality in self.of(signal) if quality == GOOD]


def signal(name: str, address: str, role: Role = Role.PROCESS_VALUE, **collect: object) -> Signal:
    return Signal(id=name, equipment="m", role=role, source="s", address=address, collect=collect)


@asynccontextmanager
async def collecting(
    options: dict[str, object], signals: Sequence[Signal], folder: Path | None = None
) -> AsyncIterator[tuple[Any, Received]]:
    with TemporaryDirectory() as temporary:
        async with collecting_in(folder or Path(temporary), options, signals) as both:
            yield both


@asynccontextmanager
async def collecting_in(
    folder: Path, options: dict[str, object], signals: Sequence[Signal]
) -> AsyncIterator[tuple[Any, Received]]:
    source = Source(id="s", protocol="modbus", options={"poll": "50ms"} | options)
    assert check(source, tuple(signals)) == []
    collector, emit = create(source, tuple(signals), folder), Received()
    task = asyncio.create_task(collector.run(emit))
    try:
        yield collector, emit
    finally:
        assert not task.done(), task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*servers: Any) -> AsyncIterator[None]:
    for server in servers:
        await server.start()
    try:
        yield
    finally:
        for server in reversed(servers):
            await server.stop()


def words(data: bytes, order: str = "ABCD") -> list[int]:
    """Registers that hold these big endian bytes in that order."""
    found = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        found.reverse()
    if order in ("BADC", "DCBA"):
        found = [word[::-1] for word in found]
    return [int.from_bytes(word) for word in found]


VALUES: dict[str, tuple[bytes, float]] = {
    "int16": (struct.pack(">h", -5), -5),
    "uint16": (struct.pack(">H", 65000), 65000),
    "int32": (struct.pack(">i", -70000), -70000),
    "uint32": (struct.pack(">I", 4_000_000_001), 4_000_000_001),
    "int64": (struct.pack(">q", -(2**40) - 3), -(2**40) - 3),
    "uint64": (struct.pack(">Q", 2**50 + 7), 2**50 + 7),
    "float32": (struct.pack(">f", 1.5), 1.5),
    "float64": (struct.pack(">d", -2.25), -2.25),
    "bcd16": (bytes.fromhex("1234"), 1234),
    "bcd32": (bytes.fromhex("98765432"), 98765432),
}


@asynccontextmanager
async def tcp_libmodbus() -> AsyncIterator[tuple[LibModbus, dict[str, object]]]:
    device = LibModbus()
    async with running(device):
        yield device, device.options()


@asynccontextmanager
async def serial_libmodbus() -> AsyncIterator[tuple[SerialLibModbus, dict[str, object]]]:
    line = SerialLine()
    device = SerialLibModbus(line, 3)
    async with running(line, device):
        yield device, line.options(unit=3)


@asynccontextmanager
async def tcp_jsmodbus() -> AsyncIterator[tuple[JsModbus, dict[str, object]]]:
    device = JsModbus()
    async with running(device):
        yield device, device.options()


@asynccontextmanager
async def rtu_jsmodbus() -> AsyncIterator[tuple[JsModbus, dict[str, object]]]:
    device = JsModbus("rtu")
    async with running(device):
        yield device, device.options(framing="rtu")


@pytest.mark.parametrize("device_of", [tcp_libmodbus, serial_libmodbus, tcp_jsmodbus, rtu_jsmodbus])
def test_every_type_in_every_byte_order(device_of: Callable[[], Any]) -> None:
    async def body() -> None:
        async with device_of() as (device, options):
            unit, expected, at = options.get("unit", 1), {}, 0
            signals = []
            for order in BYTE_ORDERS:
                for kind, (data, value) in VALUES.items():
                    device.put(unit, "holding", at, words(data, order))
                    signals.append(signal(f"{kind}_{order}", f"holding:{at}:{kind}", byte_order=order))
                    expected[f"{kind}_{order}"] = value
                    at += len(data) // 2 + 1
                text = words(b"A-0042", "BADC" if order in ("BADC", "DCBA") else "ABCD")
                device.put(unit, "input", at, text)
                signals.append(signal(f"text_{order}", f"input:{at}:string<6>", byte_order=order))
                at += 3
            device.put(unit, "holding", at, [0b1000])
            device.put(unit, "coil", 10, [1, 0])
            device.put(unit, "discrete", 7, [1])
            for name, address, value in (
                ("bit3", f"holding:{at}:bit.3", 1),
                ("bit2", f"holding:{at}:bit.2", 0),
                ("coil", "coil:10:bool", 1),
                ("off", "coil:11:bool", 0),
                ("discrete", "discrete:7:bool", 1),
            ):
                signals.append(signal(name, address))
                expected[name] = value
            async with collecting(options, signals) as (collector, emit):
                await until(lambda: len(emit.good("bit3")) > 2)
                for name, value in expected.items():
                    assert {v for _, v, _ in emit.good(name)} == {value}, name
                for order in BYTE_ORDERS:
                    assert {text for *_, text in emit.good(f"text_{order}")} == {"A-0042"}
                assert collector.status.bad == {} and collector.status.connected

    asyncio.run(body())


def test_units_behind_one_gateway_scaled_and_one_that_is_switched_off() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [10])
            device.put(7, "holding", 0, [70])
            device.put(9, "holding", 0, [90])
            device.tell("silent", 9, 1)
            temperature = Signal(
                id="one",
                equipment="m",
                role=Role.PROCESS_VALUE,
                source="s",
                address="holding:0:int16",
                scale=0.5,
                offset=3,
            )
            signals = [
                temperature,
                signal("seven", "holding:0:int16", unit=7),
                signal("away", "holding:0:int16", unit=8),
                signal("off", "holding:0:int16", unit=9),
            ]
            async with collecting(device.options(timeout="200ms"), signals) as (collector, emit):
                await until(
                    lambda: set(collector.status.bad) == {"m.away", "m.off"} and len(emit.good("one")) > 20
                )
                assert {v for _, v, _ in emit.good("one")} == {8.0}
                assert {v for _, v, _ in emit.good("seven")} == {70.0}
                assert "exception 11" in collector.status.bad["m.away"]
                assert "no answer" in collector.status.bad["m.off"]
                for name in ("away", "off"):
                    assert [(v, q) for _, v, _, q in emit.of(name)] == [(None, BAD)]
                device.tell("silent", 9, 0)
                device.put(8, "holding", 0, [80])
                await until(lambda: collector.status.bad == {})
                await until(lambda: len(emit.good("away")) > 1 and len(emit.good("off")) > 1)
                assert emit.gaps == [], "what never had a value has no gap"
                assert collector.status.connected

    asyncio.run(body())


def test_a_dead_unit_does_not_cost_every_block_its_timeout() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [10])
            device.tell("silent", 2, 1)
            signals = [signal("one", "holding:0:int16")]
            signals += [signal(f"two{k}", f"holding:{200 * k}:int16", unit=2) for k in range(20)]
            async with collecting(device.options(poll="150ms", timeout="150ms"), signals) as (
                collector,
                emit,
            ):
                await until(lambda: len(emit.good("one")) >= 2)
                assert device.requests() <= 6, "of each round two that nobody answers"
                await until(lambda: len(collector.status.bad) == 20)
                assert "unit 2 does not answer" in " ".join(collector.status.bad.values())
                device.requests()
                polled = len(emit.good("one"))
                await until(lambda: len(emit.good("one")) >= polled + 10)
                assert device.requests() <= 20, "and ever more rarely"

    asyncio.run(body())


def test_a_refused_address_is_found_once_and_asked_for_again() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, range(100))
            device.tell("illegal", 1, "holding", 37, 1)
            signals = [signal(f"r{k}", f"holding:{k}:uint16") for k in range(0, 100)]
            async with collecting(device.options(), signals) as (collector, emit):
                collector._retry = 1.0
                await until(lambda: len(emit.good("r99")) > 3)
                assert list(collector.status.bad) == ["m.r37"]
                assert "exception 2: illegal address" in collector.status.bad["m.r37"]
                assert all({v for _, v, _ in emit.good(f"r{k}")} == {float(k)} for k in range(100) if k != 37)
                assert [q for *_, q in emit.of("r37")] == [BAD]
                device.requests()
                polls = len(emit.good("r0"))
                await until(lambda: len(emit.good("r0")) >= polls + 5)
                asked, polls = device.requests(), len(emit.good("r0")) - polls
                assert asked <= 2 * polls + 3, "two blocks around the hole; a look at it now and then"
                device.tell("legal", 1)
                await until(lambda: bool(emit.good("r37")) and collector.status.bad == {})
                device.requests()
                polls = len(emit.good("r0"))
                await until(lambda: len(emit.good("r0")) >= polls + 5)
                assert device.requests() <= len(emit.good("r0")) - polls + 1, "one block again"

    asyncio.run(body())


def test_a_device_that_takes_short_requests_only() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "input", 0, range(120))
            device.tell("longest", 20)
            signals = [signal(f"r{k}", f"input:{k}:uint32") for k in range(0, 120, 2)]
            async with collecting(device.options(), signals) as (collector, emit):
                await until(lambda: len(emit.good("r118")) > 2)
                assert collector.status.bad == {}
                device.requests()
                polls = len(emit.good("r0"))
                await until(lambda: len(emit.good("r0")) >= polls + 5)
                assert device.requests() <= 8 * (len(emit.good("r0")) - polls + 1)

    asyncio.run(body())


def test_too_few_values_in_an_answer_are_none() -> None:
    """jsmodbus has 200 registers; it answers a read of 190 to 209 with ten values and one of 300 with none."""

    async def body() -> None:
        device = JsModbus()
        async with running(device):
            device.put(1, "holding", 190, [7] * 10)
            signals = [
                signal("there", "holding:190:uint16"),
                signal("half", "holding:199:uint32"),
                signal("none", "holding:300:uint16"),
                signal("coil", "coil:500:bool"),
            ]
            async with collecting(device.options(), signals) as (collector, emit):
                await until(lambda: len(emit.good("there")) > 3 and len(collector.status.bad) == 3)
                assert {v for _, v, _ in emit.good("there")} == {7.0}
                assert "answered 2 bytes where 4" in collector.status.bad["m.half"]
                assert "answered 0 bytes where 2" in collector.status.bad["m.none"]
                for name in ("half", "none", "coil"):
                    assert [(v, q) for _, v, _, q in emit.of(name)] == [(None, BAD)]

    asyncio.run(body())


def test_groups_keep_their_periods_whatever_the_device_does() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1, 2])
            device.tell("delay", 5)
            loop = asyncio.get_running_loop()
            signals = [signal("fast", "holding:0:uint16", poll="100ms"), signal("slow", "holding:1:uint16")]
            async with collecting(device.options(poll="500ms"), signals) as (collector, emit):
                await until(lambda: len(emit.good("fast")) > 1)
                began, fast, slow = loop.time(), len(emit.good("fast")), len(emit.good("slow"))
                for k in range(25):
                    device.tell("delay", (3 * k) % 60)  # jitter below the period
                    await asyncio.sleep(0.1)
                passed = loop.time() - began
                polled = len(emit.good("fast")) - fast
                assert abs(polled + collector.status.overruns - passed / 0.1) <= 2
                assert polled >= 0.87 * passed / 0.1, (
                    "waiting a period after each answer gives a quarter less"
                )
                assert abs(len(emit.good("slow")) - slow - passed / 0.5) <= 1.5
                overruns = collector.status.overruns
                device.tell("delay", 250)
                await asyncio.sleep(1.0)
                assert collector.status.overruns > overruns, "polls left out are counted"

    asyncio.run(body())


def test_a_round_longer_than_the_period_leaves_polls_out_and_says_so() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1])
            device.tell("delay", 70)
            signals = [signal("a", "holding:0:uint16"), signal("b", "holding:500:uint16")]
            async with collecting(device.options(poll="120ms"), signals) as (collector, emit):
                await until(lambda: len(emit.good("b")) >= 6)
                assert collector.status.overruns >= 4 and collector.status.bad == {}
                assert [q for *_, q in emit.of("a")].count(BAD) == 0

    asyncio.run(body())


async def late_answers(device: Any, link: Link, unit: int) -> None:
    """Every answer takes 90 ms, and every second request gives up before: its answer comes while the next one waits."""
    device.put(unit, "holding", 0, [111] * 4)
    device.put(unit, "holding", 100, [222] * 4)
    device.tell("delay", 90)
    await link.open()
    for k in range(10):
        start, value = ((0, 111), (100, 222))[k // 2 % 2]
        other = 100 - start
        with pytest.raises(NoAnswerError):
            await link.read(Request(unit, "holding", other, 4), 0.06)
        answer = await link.read(Request(unit, "holding", start, 4), 1.0)
        assert struct.unpack(">4H", answer) == (value,) * 4, k
    link.close()


def test_a_late_answer_is_never_taken_for_another_over_tcp() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            await late_answers(device, Link("127.0.0.1", device.port, "tcp", 1.0), 1)

    asyncio.run(body())


def test_a_late_answer_is_never_taken_for_another_on_a_serial_line() -> None:
    """The line passes a late answer to the connection made after it, so being a new one does not help."""

    async def body() -> None:
        line = SerialLine()
        device = SerialLibModbus(line, 3)
        async with running(line, device):
            await late_answers(device, Link("127.0.0.1", line.port, "rtu", 1.0), 3)

    asyncio.run(body())


def test_a_dead_unit_on_a_serial_line_does_not_stop_the_others() -> None:
    async def body() -> None:
        line = SerialLine(deaf=(4,))
        device = SerialLibModbus(line, 3)
        async with running(line, device):
            device.put(3, "holding", 0, [5])
            signals = [signal("live", "holding:0:uint16"), signal("dead", "holding:0:uint16", unit=4)]
            options = line.options(unit=3, timeout="150ms", poll="100ms")
            async with collecting(options, signals) as (collector, emit):
                await until(lambda: "m.dead" in collector.status.bad and len(emit.good("live")) > 15)
                assert list(collector.status.bad) == ["m.dead"] and collector.status.connected
                assert [q for *_, q in emit.of("live")].count(BAD) == 0

    asyncio.run(body())


def test_a_stall_shorter_than_the_timeout_is_no_loss() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1])
            async with collecting(
                device.options(poll="100ms", timeout="2s"), [signal("a", "holding:0:uint16")]
            ) as (
                collector,
                emit,
            ):
                await until(lambda: len(emit.good("a")) > 2)
                device.freeze()
                await asyncio.sleep(0.5)
                device.thaw()
                device.put(1, "holding", 0, [2])
                await until(lambda: emit.good("a")[-1][1] == 2)
                assert collector.status.connected and collector.status.overruns >= 2
                assert [v for _, v, _, _ in emit.of("a")] == sorted(v for _, v, _ in emit.good("a")), (
                    "nothing old after new"
                )
                assert emit.gaps == []

    asyncio.run(body())


@pytest.mark.parametrize("fault", ["cut", "stall", "kill"])
def test_a_loss_is_a_gap_of_just_what_was_polled(fault: str) -> None:
    async def body() -> None:
        device = LibModbus()
        proxy = Proxy(device.port)
        async with running(device, proxy):
            device.put(1, "holding", 0, [41, 1])
            signals = [signal("count", "holding:0:uint16", Role.GOOD), signal("never", "holding:9000:uint16")]
            device.tell("illegal", 1, "holding", 9000, 1)
            options = device.options(poll="100ms", timeout="400ms") | {"port": proxy.port}
            async with collecting(options, signals) as (collector, emit):
                await until(lambda: len(emit.good("count")) > 3)
                faults: dict[str, Callable[[], Awaitable[None]]] = {"cut": proxy.cut, "kill": device.stop}
                if fault == "stall":
                    proxy.stall()
                else:
                    await faults[fault]()
                await until(lambda: not collector.status.connected)
                before = emit.good("count")[-1][0]
                assert [(v, q) for _, v, _, q in emit.of("count")][-1] == (None, BAD)
                if fault == "stall":
                    proxy.go()
                else:
                    await (proxy if fault == "cut" else device).start()
                device.put(1, "holding", 0, [45])
                device.tell("illegal", 1, "holding", 9000, 1)
                await until(lambda: emit.good("count")[-1][1] == 45)
                after = next(t for t, _, _ in emit.good("count") if t > before)
                await until(lambda: len(emit.gaps) == 1)
                (gap,) = emit.gaps
                assert gap[3] == ("m.count",) and "away" in gap[2]
                assert before < gap[0] <= before + timedelta(milliseconds=1)
                assert after - timedelta(milliseconds=1) <= gap[1] < after
                assert [q for *_, q in emit.of("count")].count(BAD) == 1

    asyncio.run(body())


def test_a_block_that_is_not_answered_is_a_gap_of_its_signals() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1])
            device.put(2, "holding", 0, [2])
            signals = [signal("one", "holding:0:uint16"), signal("two", "holding:0:uint16", unit=2)]
            async with collecting(device.options(poll="100ms", timeout="200ms"), signals) as (
                collector,
                emit,
            ):
                await until(lambda: len(emit.good("two")) > 2)
                device.tell("silent", 2, 1)
                await until(lambda: "m.two" in collector.status.bad)
                last = emit.good("two")[-1][0]
                polled = len(emit.good("one"))
                device.tell("silent", 2, 0)
                await until(lambda: emit.good("two")[-1][0] > last)
                assert [q for *_, q in emit.of("two")].count(BAD) == 1
                await until(lambda: bool(emit.gaps))
                ((first, until_, _, who),) = emit.gaps
                assert who == ("m.two",) and last < first <= until_ < emit.good("two")[-1][0]
                assert len(emit.good("one")) > polled and all(q == GOOD for *_, q in emit.of("one"))

    asyncio.run(body())


def test_a_busy_device_is_asked_again_and_what_is_no_modbus_is_said() -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1, 2])
            async with collecting(
                device.options(), [signal("a", "holding:0:uint16"), signal("b", "holding:1:uint16")]
            ) as (collector, emit):
                await until(lambda: bool(emit.good("a")))
                device.tell("busy", 1, 6)
                await until(lambda: len(collector.status.bad) == 2)
                assert "exception 6: the device is busy" in collector.status.bad["m.a"]
                device.tell("busy", 1, 0)
                await until(lambda: collector.status.bad == {})
                await until(lambda: len(emit.gaps) == 1)
                assert emit.gaps[0][3] == ("m.a", "m.b")

        async def shop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = await asyncio.start_server(shop, "127.0.0.1", 0)
        link = Link("127.0.0.1", server.sockets[0].getsockname()[1], "tcp", 1.0)
        await link.open()
        with pytest.raises(ConnectionLostError, match="no Modbus TCP"):
            await link.read(Request(1, "holding", 0, 1), 1.0)
        server.close()

    asyncio.run(body())


def test_what_nobody_polled_between_two_runs_is_a_gap(tmp_path: Path) -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1])
            signals = [signal("a", "holding:0:uint16"), signal("b", "holding:0:int16", poll="400ms")]
            runs: list[Received] = []
            for wait in (0.0, 1.2, 0.0):
                await asyncio.sleep(wait)
                async with collecting(device.options(poll="200ms"), signals, tmp_path) as (_, emit):
                    runs.append(emit)
                    await until(lambda: len(runs[-1].good("a")) > 1 and len(runs[-1].good("b")) > 0)
            assert [len(run.gaps) for run in runs] == [0, 2, 0], "a quick restart is none"
            gaps = {who: (first, last, why) for first, last, why, (who,) in runs[1].gaps}
            for name in ("a", "b"):
                first, last, why = gaps[f"m.{name}"]
                before, after = runs[0].good(name)[-1][0], runs[1].good(name)[0][0]
                assert before < first and last < after and "stopped" in why
                assert (first - before) + (after - last) <= timedelta(milliseconds=1)
            (tmp_path / "sources" / "s" / "polled.json").write_text("{")
            async with collecting(device.options(), signals, tmp_path) as (_, emit):
                await until(lambda: bool(emit.good("b")))
                assert emit.gaps == []

    asyncio.run(body())


def test_a_slow_disk_holds_up_no_poll_and_a_full_one_is_a_gap(tmp_path: Path) -> None:
    async def body() -> None:
        device = LibModbus()
        async with running(device):
            device.put(1, "holding", 0, [1])
            options, disk = device.options(poll="50ms"), asyncio.Event()
            source = Source(id="s", protocol="modbus", options=options)
            collector, emit = create(source, (signal("a", "holding:0:uint16"),), tmp_path), Received()

            class Slow(Received):
                async def __call__(self, samples: pl.DataFrame) -> None:
                    await disk.wait()
                    await emit(samples)

                async def gap(self, *what: Any) -> None:
                    await emit.gap(*what)

            collector._outgoing = Outgoing(most=20)
            task = asyncio.create_task(collector.run(Slow()))
            await asyncio.sleep(0.8)
            asked = device.requests()
            assert 10 <= asked <= 21, "polled while nothing was stored"
            await asyncio.sleep(1.0)
            assert device.requests() + asked <= 22, "and then no more"
            disk.set()
            await until(lambda: len(emit.gaps) == 1 and len(emit.good("a")) > 25)
            ((first, last, why, who),) = emit.gaps
            assert who == ("m.a",) and "spool" in why and last - first > timedelta(seconds=0.4)
            times = [t for t, _, _ in emit.good("a")]
            assert times == sorted(times) and not [t for t in times if first <= t <= last]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("unit", "pdu", "error"),
    [
        (1, bytes((3, 2, 0, 7)), None),
        (1, bytes((3, 4, 0, 7, 0, 8)), RefusedError),
        (1, bytes((3, 0)), RefusedError),
        (1, bytes((3, 2, 7)), RefusedError),
        (1, bytes((3,)), NotGivenError),
        (1, b"", NotGivenError),
        (1, bytes((4, 2, 0, 7)), NotGivenError),
        (2, bytes((3, 2, 0, 7)), NotGivenError),
        (1, bytes((0x83, 2)), RefusedError),
        (1, bytes((0x83, 6)), NotGivenError),
    ],
)
def test_only_the_answer_to_the_request_counts(unit: int, pdu: bytes, error: type[Exception] | None) -> None:
    request = Request(1, "holding", 0, 1)
    if error is None:
        assert request.values(unit, pdu) == b"\0\7"
    else:
        with pytest.raises(error):
            request.values(unit, pdu)
