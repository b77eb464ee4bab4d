"""The simulator's servers, read by stock clients, show what the truth log and the model say."""

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import Client, ua
from pymodbus.client import AsyncModbusTcpClient

from collectors.simulator.codes import MACHINES, OPCUA_NAMESPACE, PRESS
from collectors.simulator.model import Simulation
from collectors.simulator.truth import load_truth

START = datetime(2026, 1, 5, 5, tzinfo=UTC)
UNTIL = START + timedelta(minutes=4)
DEADLINE = 60


class Plant:
    """A running `python -m collectors.simulator`."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "collectors.simulator", "--start", START.isoformat(), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports = self.message()

    def message(self) -> dict[str, object]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Plant, Path]]:
    plant = Plant("--seed", "3", "--speed", "120", "--until", UNTIL.isoformat(), "--truth", str(tmp_path))
    yield plant, tmp_path
    plant.process.kill()
    plant.process.wait()


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not all(_gone(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still there: {[p for p in pids if not _gone(p)]}"
        time.sleep(0.02)


@pytest.mark.slow
def test_last_readings_equal_the_model_and_the_truth_files_equal_its_log(served: tuple[Plant, Path]) -> None:
    plant, folder = served
    assert plant.message() == {"done": True}
    sim = Simulation(3, START)
    sim.advance_to(UNTIL)

    async def opcua() -> None:
        async with Client(f"opc.tcp://127.0.0.1:{plant.ports['opcua']}/") as client:
            index = await client.get_namespace_index(OPCUA_NAMESPACE)
            for machine in MACHINES:
                for name, value in sim.reading(machine).signals(machine).items():
                    if machine == PRESS:
                        continue
                    data = await client.get_node(f"ns={index};s={machine}.{name}").read_data_value()
                    assert data.Value is not None and data.Value.Value == value, (machine, name)
                    assert data.SourceTimestamp is not None
                    assert UNTIL - timedelta(seconds=5) < data.SourceTimestamp <= UNTIL

    async def modbus() -> None:
        async with AsyncModbusTcpClient("127.0.0.1", port=int(str(plant.ports["modbus"]))) as client:
            answer = await client.read_holding_registers(0, count=26, device_id=1)
            state, good, reject, order, force, clock = struct.unpack(
                ">HIH32sfQ", struct.pack(">26H", *answer.registers)
            )
            press = sim.reading(PRESS)
            assert (state, good, reject, force) == (press.state, press.good, press.reject, press.process)
            assert order.rstrip(b"\0").decode() == press.order
            assert datetime.fromtimestamp(clock / 1000, UTC) == UNTIL
            assert (await client.read_holding_registers(26, count=1, device_id=1)).isError()
            assert (await client.write_register(0, 1, device_id=1)).isError()

    asyncio.run(opcua())
    asyncio.run(modbus())
    assert plant.stop() == 0

    logged = load_truth(*(file.read_bytes() for file in sorted(folder.glob("truth-*.jsonl"))))
    span = START, UNTIL + sim.period
    for ask in ("state_intervals", "order_runs", "counts", "counter_events"):
        keys = ["equipment", *(["start"] if ask in ("state_intervals", "order_runs") else [])]
        ours, theirs = (
            getattr(log, ask)(*span).sort(keys, maintain_order=True) for log in (sim.truth, logged)
        )
        assert ours.equals(theirs), ask
        assert ours.height or ask == "counter_events"


@pytest.mark.slow
def test_a_subscription_sees_every_reading_in_sequence_and_none_twice() -> None:
    """The filler's good counter, as a client with an ample queue sees it, is the model's step by step."""
    until = START + timedelta(minutes=2)
    plant = Plant("--seed", "3", "--speed", "20", "--until", until.isoformat(), "--machines", "filler")
    assert set(plant.ports) == {"opcua"}

    async def follow() -> list[tuple[datetime, int]]:
        seen: list[tuple[datetime, int]] = []
        async with Client(f"opc.tcp://127.0.0.1:{plant.ports['opcua']}/") as client:
            index = await client.get_namespace_index(OPCUA_NAMESPACE)

            class Handler:
                def datachange_notification(self, node: object, value: int, data: object) -> None:
                    seen.append((data.monitored_item.Value.SourceTimestamp, value))  # type: ignore[attr-defined]

            subscription = await client.create_subscription(50, Handler())
            await subscription.subscribe_data_change(
                client.get_node(f"ns={index};s=filler.good"),
                queuesize=1000,
                sampling_interval=0.0,
                monitoring=ua.MonitoringMode.Reporting,
            )
            final = Simulation(3, START)
            final.advance_to(until)
            deadline = time.monotonic() + DEADLINE
            while not seen or seen[-1][1] != final.reading("filler").good:
                assert time.monotonic() < deadline, seen[-3:]
                await asyncio.sleep(0.02)
        return seen

    try:
        seen = asyncio.run(follow())
    finally:
        plant.process.kill()
        plant.process.wait()
    sim = Simulation(3, START)
    sim.advance_to(seen[0][0])
    expected, last = [], None
    while sim.now <= seen[-1][0]:
        good = sim.reading("filler").good
        if good != last:
            expected.append((sim.now, good))
        last = good
        sim.step()
    assert [value for _, value in seen] == [value for _, value in expected]
    assert seen[1:] == expected[1:]  # the first value is the last heartbeat's: its time may be later
    assert len(seen) > 10


def test_serving_from_a_later_time_joins_the_same_history() -> None:
    """--from: what lies before is simulated at once, and the clock starts there."""
    begin = START + timedelta(hours=2)
    plant = Plant("--from", begin.isoformat(), "--until", begin.isoformat(), "--machines", PRESS)
    try:
        assert plant.message() == {"done": True}
        sim = Simulation(1, START)
        sim.advance_to(begin)

        async def good() -> int:
            async with AsyncModbusTcpClient("127.0.0.1", port=int(str(plant.ports["modbus"]))) as client:
                answer = await client.read_holding_registers(1, count=2, device_id=1)
                return int(answer.registers[0] << 16 | answer.registers[1])

        assert asyncio.run(good()) == sim.reading(PRESS).good
    finally:
        plant.process.kill()
        plant.process.wait()


@pytest.mark.slow
def test_nothing_outlives_a_terminated_or_a_killed_simulator() -> None:
    for end in (signal.SIGTERM, signal.SIGKILL):
        plant = Plant()
        servers = _children(plant.process.pid)
        assert len(servers) == 2
        plant.process.send_signal(end)
        assert plant.process.wait(DEADLINE) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
        _wait_gone(servers)


@pytest.mark.slow
def test_the_simulator_ends_when_a_server_dies_and_when_its_parent_does() -> None:
    plant = Plant()
    servers = _children(plant.process.pid)
    os.kill(servers[0], signal.SIGKILL)
    assert plant.process.wait(DEADLINE) == 1
    _wait_gone(servers)

    command = [sys.executable, "-m", "collectors.simulator", "--start", START.isoformat()]
    script = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen({command!r}, stdout=subprocess.PIPE)\n"
        "print(p.pid, p.stdout.readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    pids = [pid, *_children(pid)]
    assert len(pids) == 3
    parent.kill()
    parent.wait()
    _wait_gone(pids)


@pytest.mark.parametrize(
    ("file", "option", "says"),
    [
        (
            '[{"equipment": "press-9", "at": "2026-01-05T06:00:00+00:00", "state": 9, "duration": 60}]',
            "--script",
            "press-9",
        ),
        ("id,material\nPO-1,bracket\n", "--orders", "row 1 has no equipment"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_served(
    tmp_path: Path, file: str, option: str, says: str
) -> None:
    path = tmp_path / "file"
    path.write_text(file)
    command = [sys.executable, "-m", "collectors.simulator", "--start", START.isoformat(), option, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert answer.returncode == 2
    assert says in answer.stderr
    assert not answer.stdout
