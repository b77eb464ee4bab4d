"""What reading a Modbus device costs, and how long it can hold the collector up.

`python tests/benchmarks/bench_modbus.py` reads 124 registers of a device in C (libmodbus) and of jsmodbus as one block and
register by register, each with Lineside's client and with pymodbus'; decodes them with a compiled plan and with pymodbus'
`convert_from_registers`; and polls a device that stalls, the longest wait for an answer beside the period. Ratios are
within one run. Needs infra/scripts/libmodbus.sh and npm.sh.
"""

import asyncio
import random
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.client.mixin import ModbusClientMixin

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from devices.modbus_servers import JsModbus, LibModbus, ModbusProcess

from collectors.modbus import create
from collectors.modbus.address import BYTE_ORDERS, Wanted, parse
from collectors.modbus.blocks import blocks
from collectors.modbus.decode import Plan
from collectors.modbus.frame import Columns
from collectors.modbus.link import Link
from collectors.modbus.wire import Request
from plant.model import Role, Signal, Source

REGISTERS = 124
ROUNDS = 7
KINDS = {"float32": "f", "int32": "i", "uint16": "H", "int16": "h", "float64": "d", "uint64": "Q"}


async def best(
    works: dict[Callable[[], Awaitable[Any]], int],
) -> dict[Callable[[], Awaitable[Any]], tuple[float, float]]:
    """Seconds, and CPU seconds of this process, of one call of each, given how often to call it at a time. The median of
    ROUNDS, in turns, so that what else the machine does falls on all of them."""
    found: dict[Callable[[], Awaitable[Any]], list[tuple[float, float]]] = {work: [] for work in works}
    for _ in range(ROUNDS):
        for work, times in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(times):
                await work()
            found[work].append(((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times))
    return {
        work: (statistics.median(w for w, _ in rounds), statistics.median(c for _, c in rounds))
        for work, rounds in found.items()
    }


async def reading(server: type[ModbusProcess]) -> None:
    """Registers a second, as one block and one by one."""
    device = server()
    await device.start()
    device.put(1, "holding", 0, range(REGISTERS))
    link = Link("127.0.0.1", device.port, "tcp", 5.0)
    await link.open()
    other = AsyncModbusTcpClient("127.0.0.1", port=device.port, timeout=5, retries=0)
    await other.connect()
    whole = Request(1, "holding", 0, REGISTERS)
    wanted = [Wanted(1, parse(f"holding:{k}:uint16")) for k in range(REGISTERS)]
    plan = Plan(blocks(wanted, 0), wanted)
    alone = [Plan(blocks([w], 0), [w]) for w in wanted]

    async def block() -> None:
        values, _ = plan.decode([await link.read(whole, 5.0)])
        assert values[-1] == REGISTERS - 1

    async def one_by_one() -> None:
        for k in range(REGISTERS):
            alone[k].decode([await link.read(Request(1, "holding", k, 1), 5.0)])

    async def pymodbus_block() -> None:
        answer = await other.read_holding_registers(0, count=REGISTERS)
        assert answer.registers[-1] == REGISTERS - 1

    async def pymodbus_one_by_one() -> None:
        for k in range(REGISTERS):
            assert (await other.read_holding_registers(k, count=1)).registers == [k]

    print(f"\n{server.__name__}: {REGISTERS} registers")
    found = await best({block: 200, one_by_one: 3, pymodbus_block: 200, pymodbus_one_by_one: 3})
    for work, (wall, cpu) in found.items():
        name = work.__name__.replace("_", " ")
        print(
            f"  {name:22} {1e3 * wall:8.3f} ms, {1e3 * cpu:8.3f} ms CPU, {REGISTERS / wall:12,.0f} registers/s"
        )
    ratio = [found[one_by_one][k] / found[block][k] for k in (0, 1)]
    of_pymodbus = [found[pymodbus_block][k] / found[block][k] for k in (0, 1)]
    print(f"  one block: {ratio[0]:.0f}x the registers/s of single reads ({ratio[1]:.0f}x less CPU)")
    print(f"  pymodbus' client takes {of_pymodbus[0]:.1f}x as long for the block ({of_pymodbus[1]:.1f}x CPU)")
    link.close()
    other.close()
    await device.stop()


def timed(work: Callable[[], Any], times: int) -> float:
    """CPU seconds of one call; the median of ROUNDS."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times)
    return statistics.median(found)


def decoding(name: str, kinds: list[str], orders: list[str]) -> None:
    """Values out of the bytes of eight full blocks."""
    wanted: list[Wanted] = []
    at = 0
    while True:
        kind, order = kinds[len(wanted) % len(kinds)], orders[len(wanted) % len(orders)]
        address = parse(f"holding:{at}:{kind}")
        if at + address.length > 8 * REGISTERS:
            break
        wanted.append(Wanted(1, address, order))  # type: ignore[arg-type]
        at += address.length
    found = blocks(wanted, 16, REGISTERS)
    plan = Plan(found, wanted)
    answers = [random.randbytes(block.bytes) for block in found]
    registers = [
        list(struct.unpack(f">{block.length}H", answer)) for block, answer in zip(found, answers, strict=True)
    ]
    ours = timed(lambda: plan.decode(answers), 200) / len(wanted)
    signals = [Signal(id=f"s{k}", equipment="m", role=Role.PROCESS_VALUE) for k in range(len(wanted))]
    columns, now = Columns(signals, plan.indices), datetime.now(UTC)

    def frame() -> pl.DataFrame:
        return columns.samples(*plan.decode(answers), now, now)

    framed = timed(frame, 100) / len(wanted)
    types = {kind: getattr(ModbusClientMixin.DATATYPE, kind.upper()) for kind in kinds}

    def theirs() -> list[Any]:
        return [
            ModbusClientMixin.convert_from_registers(
                registers[k][offset : offset + wanted[index].address.length],
                types[wanted[index].address.kind],
                word_order="little" if wanted[index].byte_order == "CDAB" else "big",
            )
            for k, block in enumerate(found)
            for index, offset in block.members
        ]

    other = timed(theirs, 3) / len(wanted)
    same = plan.decode(answers)[0][np.argsort(plan.indices)]
    expected = np.array(theirs(), dtype=np.float64)
    if set(orders) <= {"ABCD", "CDAB"}:
        np.testing.assert_array_equal(same, expected)
    print(
        f"  {name:34} {len(wanted):5} values  {1e6 * ours:.4f} us a value, {1e6 * framed:.4f} as samples; "
        f"pymodbus {1e6 * other:.2f} us ({other / ours:.0f}x)"
    )


async def stalling(poll: float) -> None:
    """The longest wait for an answer while the device is frozen for a while, again and again."""
    device = LibModbus()
    await device.start()
    device.put(1, "holding", 0, range(REGISTERS))
    signals = tuple(
        Signal(
            id=f"s{k}", equipment="m", role=Role.PROCESS_VALUE, source="s", address=f"holding:{40 * k}:uint16"
        )
        for k in range(3)
    )
    options = device.options(poll=f"{poll * 1000:.0f}ms", max_gap=0)
    folder = tempfile.TemporaryDirectory()
    collector = create(Source(id="s", protocol="modbus", options=options), signals, Path(folder.name))
    calls: list[float] = []
    read = Link.read

    async def measured(self: Link, request: Request, timeout: float) -> bytes:
        began = time.perf_counter()
        try:
            return await read(self, request, timeout)
        finally:
            calls.append(time.perf_counter() - began)

    class Emit:
        samples = 0

        async def __call__(self, samples: pl.DataFrame) -> None:
            self.samples += samples.height

        async def gap(self, *_: Any) -> None:
            pass

    emit = Emit()
    Link.read = measured  # type: ignore[method-assign]
    task = asyncio.create_task(collector.run(emit))
    await asyncio.sleep(1.0)
    back = []
    for stall in (0.5 * poll, 1.5 * poll, 5 * poll, 2.5):
        device.freeze()
        await asyncio.sleep(stall)
        device.thaw()
        thawed, had = time.perf_counter(), emit.samples
        while emit.samples < had + 3 * len(signals):
            await asyncio.sleep(0.005)
        back.append(time.perf_counter() - thawed)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    Link.read = read  # type: ignore[method-assign]
    await device.stop()
    folder.cleanup()
    longest = max(calls)
    print(
        f"  poll {poll:g} s: the longest call took {longest:.3f} s ({longest / poll:.2f} periods); "
        f"after a stall three polls were there within {max(back):.2f} s"
    )


def main() -> None:
    """Print it all."""
    for server in (LibModbus, JsModbus):
        asyncio.run(reading(server))
    print("\ndecoding")
    decoding("float32", ["float32"], ["ABCD"])
    decoding("float32, low word first", ["float32"], ["CDAB"])
    decoding("uint16", ["uint16"], ["ABCD"])
    decoding("six types", list(KINDS), ["ABCD", "CDAB"])
    decoding("six types in four byte orders", list(KINDS), list(BYTE_ORDERS))
    print("\na device that stalls for half a period, 1.5 and 5 periods, and 2.5 s")
    for poll in (0.2, 1.0):
        asyncio.run(stalling(poll))


if __name__ == "__main__":
    main()
