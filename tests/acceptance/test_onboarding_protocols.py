"""The same for sources that are no OPC UA servers: a Modbus device, whose registers have no names; an MTConnect agent; a
broker nobody has described."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from devices.modbus import ModbusDevice
from devices.mosquitto import PASSWORD, USER, Mosquitto
from devices.mqtt import Publisher
from devices.mtconnect import Agent, Item
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collectors.onboarding import look
from collectors.onboarding.found import Access, Offer, OnboardingError, Series
from collectors.onboarding.propose import MachineProposal, Proposal, propose
from infra.onboarding.text import Chosen
from infra.onboarding.write import draft
from plant.model import Role

WATCH = 7.0


class Heard:
    def progress(self, said: str, done: float) -> None:
        assert said and 0 <= done <= 1

    def found(self, offer: Offer, series: Mapping[str, Series]) -> None:
        assert offer.variables


async def looked(
    url: str, folder: Path, options: Mapping[str, object] | None = None, watch: float = WATCH
) -> tuple[Offer, Proposal]:
    offer, series = await look(url, watch, Access(folder=folder, options=options or {}), Heard())
    return offer, propose(offer, series, watch)


async def working(tick: Callable[[int, bool], Awaitable[None]]) -> None:
    """A machine: ten ticks a second, it runs 4 s and stands 2 s."""
    for tenth in range(10**6):
        await tick(tenth, tenth % 60 < 40)
        await asyncio.sleep(0.1)


def roles(machine: MachineProposal) -> dict[str, str]:
    return {s.variable.address: str(s.role) for s in machine.signals if s.role is not None}


def states(machine: MachineProposal) -> dict[str, str]:
    (state,) = [s for s in machine.signals if s.role is Role.STATE]
    return {raw: str(m.state) for raw, m in state.states.items()}


def becomes_a_plant(offer: Offer, machine: MachineProposal, folder: Path) -> None:
    """What is proposed is a plant file its collectors take."""
    made = draft(folder / "plant.toml", offer, [Chosen(machine=machine, cycle=None)]).plant
    assert len(made.machines()) == 1 and len(made.sources) == 1


class Registers(ModbusDevice):
    """Holding registers 100 to 139: a state, a count of 32 bits, a force as a float, and a speed that stands still."""

    async def start(self) -> None:
        self._image = [0] * 40
        block = SimData(100, values=[0] * 40, datatype=DataType.REGISTERS, readonly=True)
        device = SimDevice(1, simdata=[block], action=self._answer)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await self._server.serve_forever(background=True)
        self.port = self._server.transport.sockets[0].getsockname()[1]

    async def tick(self, tenth: int, runs: bool) -> None:
        made = 70_000 + tenth // 60 * 20 + min(tenth % 60, 40) // 2
        force = struct.unpack(">HH", struct.pack(">f", 120.0 + (tenth * 7 % 11) / 3))
        self._image[0] = 4 if runs else 2
        self._image[10:12] = [made >> 16, made & 0xFFFF]
        self._image[20:22] = force
        self._image[30] = 1500

    async def _answer(self, _f: int, _s: int, _a: int, _c: int, current: list[int], _v: object) -> None:
        current[:40] = self._image


@pytest.mark.slow
def test_a_modbus_device_whose_registers_have_no_names(tmp_path: Path) -> None:
    async def scene() -> tuple[Offer, Proposal]:
        device = Registers()
        await device.start()
        work = asyncio.create_task(working(device.tick))
        try:
            return await looked(
                f"modbus://127.0.0.1:{device.port}?unit=1&holding=90-149&input=90-149", tmp_path, watch=8.0
            )
        finally:
            work.cancel()
            await device.stop()

    offer, proposal = asyncio.run(scene())
    (machine,) = proposal.machines
    found = roles(machine)
    # The upper word of the count stood still, so what was seen is a count of 16 bits that starts again at 65536.
    assert found == {
        "holding:100:uint16": "state",
        "holding:111:uint16": "total",
        "holding:120:float32": "process_value",
    }
    assert next(s.modulus for s in machine.signals if s.role is Role.TOTAL) == 65_536
    assert states(machine) == {"4": "running", "2": "down"}
    becomes_a_plant(offer, machine, tmp_path)


@pytest.mark.slow
def test_an_mtconnect_agent_says_what_its_items_are(tmp_path: Path) -> None:
    items = [
        Item("x1", "exec"),
        Item("x2", "pc", type="PART_COUNT"),
        Item("x3", "load", category="SAMPLE", type="LOAD", units="PERCENT"),
        Item("x4", "mode", type="CONTROLLER_MODE"),
        Item("x5", "sys", category="CONDITION", type="SYSTEM"),
    ]

    async def scene() -> tuple[Offer, Proposal]:
        agent = Agent(items)
        await agent.start()

        async def tick(tenth: int, runs: bool) -> None:
            now = datetime.now(UTC)
            agent.put("x1", "ACTIVE" if runs else "FEED_HOLD", now)
            agent.put("x2", str(tenth // 60 * 8 + min(tenth % 60, 40) // 5), now)
            agent.put("x3", f"{40 + tenth % 7}.5", now)
            agent.put("x4", "AUTOMATIC", now)

        work = asyncio.create_task(working(tick))
        await asyncio.sleep(0.2)
        try:
            return await looked(f"http://127.0.0.1:{agent.port}", tmp_path)
        finally:
            work.cancel()
            await agent.stop()

    offer, proposal = asyncio.run(scene())
    (machine,) = proposal.machines
    assert (machine.name, "MTConnect" in machine.why) == ("Lathe", True)
    assert roles(machine) == {"x1": "state", "x2": "total", "x3": "process_value", "x5": "alarm"}
    assert states(machine)["ACTIVE"] == "running" and states(machine)["FEED_HOLD"] == "down"
    becomes_a_plant(offer, machine, tmp_path)


@pytest.mark.server
def test_a_broker_nobody_has_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> tuple[Offer, Proposal]:
        broker = Mosquitto()
        await asyncio.to_thread(broker.start)
        publisher = Publisher(broker.port)
        await asyncio.to_thread(publisher.start)

        async def tick(tenth: int, runs: bool) -> None:
            if tenth % 4 == 0:
                good = 500 + tenth // 60 * 10 + min(tenth % 60, 40) // 4
                text = f'{{"status": "{"RUN" if runs else "FAULT"}", "goodCount": {good}, "tempC": {40 + tenth % 5}.25}}'
                await asyncio.to_thread(publisher.put, "hall/packer/data", text, 1, False)
                await asyncio.to_thread(publisher.put, "hall/weather", "sunny", 1, False)

        work = asyncio.create_task(working(tick))
        try:
            options = {"user": USER, "password": PASSWORD}
            return await looked(f"mqtt://127.0.0.1:{broker.port}/hall", tmp_path, options)
        finally:
            work.cancel()
            await asyncio.to_thread(publisher.stop)
            await asyncio.to_thread(broker.stop)

    offer, proposal = asyncio.run(scene())
    (machine,) = proposal.machines
    assert machine.name == "packer"
    assert roles(machine) == {
        "hall/packer/data#/status": "state",
        "hall/packer/data#/goodCount": "good",
        "hall/packer/data#/tempC": "process_value",
    }
    assert states(machine) == {"RUN": "running", "FAULT": "down"}
    becomes_a_plant(offer, machine, tmp_path)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("modbus://127.0.0.1:9", "127.0.0.1"),
        ("modbus://127.0.0.1:502?slave=1", "write it like modbus://"),
        ("modbus://127.0.0.1:x", "write it like modbus://"),
        ("modbus://127.0.0.1?unit=256", "write it like modbus://"),
        ("modbus://127.0.0.1?holding=9-3", "write it like modbus://"),
        ("http://127.0.0.1:9", "no agent at http://127.0.0.1:9"),
        ("mqtt://127.0.0.1:9/x", "127.0.0.1"),
    ],
)
def test_what_does_not_answer_is_said(url: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(OnboardingError, match=says):
        asyncio.run(looked(url, tmp_path, watch=0))
