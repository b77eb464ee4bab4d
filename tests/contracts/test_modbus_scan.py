"""The register scan against a device (libmodbus') whose map it does not know."""

import asyncio
import math
import struct

import pytest
from devices.modbus_servers import JsModbus, LibModbus

from collectors.connection import ConnectionLostError
from collectors.modbus.scan import Did, Reading, Scan, scan

pytestmark = pytest.mark.server


def split(data: bytes, swap: bool) -> list[int]:
    found = [int.from_bytes(data[i : i + 2]) for i in (0, 2)]
    return found[::-1] if swap else found


async def living(device: LibModbus, swap: bool) -> None:
    """A machine: holding 100 to 115 of unit 1 and coil 10, some of it going on until cancelled."""
    loop = asyncio.get_running_loop()
    began, k = loop.time(), 0
    while True:
        passed = loop.time() - began
        temperature = 71.3 + 2.5 * math.sin(passed * 2.1)
        device.put(1, "holding", 100, split(struct.pack(">f", temperature), swap))
        device.put(
            1, "holding", 102, split(struct.pack(">I", 65_500 + int(passed * 30)), swap)
        )  # carries after 1.2 s
        device.put(1, "holding", 104, [(3, 3, 6, 6, 6, 9)[k // 4 % 6]])  # a state
        device.put(1, "holding", 105, [1000 + k // 3])  # a 16 bit counter
        device.put(1, "holding", 106, [(-20 + k % 40) & 0xFFFF])  # around 0
        device.put(1, "holding", 107, [4711])
        device.put(1, "holding", 108, split(struct.pack(">f", 12.5), swap))
        device.put(1, "holding", 110, [int(passed)])  # uptime
        device.put(1, "coil", 10, [k // 5 % 2])
        k += 1
        await asyncio.sleep(0.1)


def of(found: Scan, start: str) -> list[Reading]:
    return [reading for reading in found.readings if reading.address.startswith(start)]


@pytest.mark.parametrize(("swap", "order"), [(False, "ABCD"), (True, "CDAB")])
def test_what_registers_did_is_said_with_evidence(swap: bool, order: str) -> None:
    async def body() -> None:
        device = LibModbus()
        await device.start()
        device.put(1, "holding", 0, [0])
        device.tell("illegal", 1, "holding", 0, 97)
        device.tell("illegal", 1, "holding", 117, 65000)
        device.tell("illegal", 1, "input", 0, 65536)
        device.tell("illegal", 1, "discrete", 0, 65536)
        device.tell("illegal", 1, "coil", 64, 65000)
        device.put(5, "holding", 3, [55])
        device.tell("silent", 9, 1)
        machine = asyncio.create_task(living(device, swap))
        said: list[float] = []
        try:
            found = await scan(
                "127.0.0.1",
                device.port,
                units=(1, 5, 9),
                ranges=(("holding", 0, 300), ("input", 0, 300), ("coil", 0, 300), ("discrete", 0, 300)),
                seconds=6.0,
                every=0.25,
                pause=0.001,
                timeout=0.2,
                progress=lambda _, done: said.append(done),
            )
        finally:
            machine.cancel()
            await device.stop()
        spans = {(s.unit, s.area): (s.start, s.length) for s in found.readable}
        assert spans[1, "holding"] == (97, 20) and spans[1, "coil"] == (0, 64)
        assert (1, "input") not in spans and (1, "discrete") not in spans and spans[5, "holding"] == (0, 300)
        assert found.notes == ("unit 9 does not answer",)
        assert found.options["byte_order"] == order and found.options["unit"] == 1
        assert said == sorted(said) and said[-1] == 1.0

        best = of(found, "holding:100:")[0]
        assert (best.address, best.collect, best.did) == ("holding:100:float32", {}, Did.VARIED)
        assert best.plausible > 0.8 and all(68 < value < 74 for _, value in best.series)
        assert "lower word jumped" in best.evidence
        best = of(found, "holding:102:")[0]
        assert (
            best.address == "holding:102:uint32"
            and best.plausible > 0.9
            and "passed 65535 1 times" in best.evidence
        )
        assert best.did in (Did.COUNTER, Did.CLOCK)
        assert of(found, "holding:104:")[0].did is Did.FEW
        assert of(found, "holding:105:uint16")[0].did is Did.COUNTER
        assert of(found, "holding:106:")[0].address == "holding:106:int16"
        assert of(found, "holding:107:uint16")[0].did is Did.CONSTANT
        assert of(found, "holding:108:")[0].address == "holding:108:float32"
        assert of(found, "holding:110:uint16")[0].did is Did.CLOCK
        (coil,) = of(found, "coil:")
        assert (coil.address, coil.did) == ("coil:10:bool", Did.TOGGLED)
        (other,) = [reading for reading in found.readings if reading.unit == 5]
        assert (other.address, other.collect) == ("holding:3:uint16", {"unit": 5})
        overlapping = {
            "holding:101:float32",
            "holding:101:uint32",
            "holding:103:uint32",
            "holding:99:float32",
        }
        assert not overlapping & {reading.address for reading in found.readings}

    asyncio.run(body())


def test_a_scan_is_bounded_and_says_what_it_left_out() -> None:
    async def body() -> None:
        device = LibModbus()
        await device.start()
        device.put(1, "holding", 500, [7])
        for area in ("holding", "input", "coil", "discrete"):
            device.tell("illegal", 1, area, 0, 400)
        device.requests()
        found = await scan("127.0.0.1", device.port, seconds=0.2, every=0.1, pause=0, most_requests=60)
        asked = device.requests()
        await device.stop()
        assert found.requests == asked <= 60 + 4 * len(found.readable) * 9
        assert "the bound on requests" in found.notes[0]

    asyncio.run(body())


def test_a_device_that_answers_short_and_nobody_there() -> None:
    async def body() -> None:
        device = JsModbus(registers=37)
        await device.start()
        device.put(1, "holding", 36, [9])
        found = await scan(
            "127.0.0.1", device.port, ranges=(("holding", 0, 200),), seconds=0.2, every=0.1, pause=0
        )
        await device.stop()
        assert [(s.start, s.length) for s in found.readable] == [(0, 37)]
        assert [reading.address for reading in found.readings] == ["holding:36:uint16"]
        with pytest.raises(ConnectionLostError, match="no Modbus device"):
            await scan("127.0.0.1", device.port, timeout=0.2)
        silent = LibModbus()
        await silent.start()
        silent.tell("silent", 1, 1)
        with pytest.raises(ConnectionLostError, match="unit 1 does not answer"):
            await scan("127.0.0.1", silent.port, timeout=0.1)
        await silent.stop()

    asyncio.run(body())
