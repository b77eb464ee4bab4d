"""From the address of a server nobody has described to an OEE on the board."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from devices.foreign import ForeignFloor, ForeignPress, press_in_a_thread

from collectors.onboarding import look
from collectors.onboarding.found import Access, Offer, Series
from collectors.onboarding.propose import Proposal, propose
from plant.model import Role

LINESIDE = [sys.executable, "-m", "infra"]
DEADLINE = 60.0


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"COLUMNS": "160"}
    return subprocess.run(
        [*LINESIDE, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment,
        check=False,
    )


@pytest.fixture
def press() -> Iterator[ForeignPress]:
    with press_in_a_thread() as served:
        yield served


def looked_at(url: str, folder: Path, watch: float) -> Proposal:
    heard = Heard()
    offer, watched = asyncio.run(look(url, watch, Access(folder=folder), heard))
    assert heard.done == sorted(heard.done) and heard.done[-1] == 1.0
    assert heard.variables == [v.address for v in offer.variables]
    return propose(offer, watched, watch)


class Heard:
    """What a look said on its way."""

    def __init__(self) -> None:
        self.done: list[float] = []
        self.variables: list[str] = []

    def progress(self, said: str, done: float) -> None:
        self.done.append(done)

    def found(self, offer: Offer, series: Mapping[str, Series]) -> None:
        self.variables = [v.address for v in offer.variables]


def signals(proposal: Proposal, machine: str) -> dict[str, str]:
    (found,) = [m for m in proposal.machines if m.name == machine]
    return {s.variable.name: str(s.role) for s in found.signals if s.role is not None}


@pytest.mark.slow
def test_a_press_without_any_specification(press: ForeignPress, tmp_path: Path) -> None:
    proposal = looked_at(press.url, tmp_path, 7.0)
    assert signals(proposal, "Presse 3") == {
        "Betriebszustand": "state",
        "Gutteile": "good",
        "Ausschuss": "reject",
        "Auftragsnummer": "order",
        "Störungstext": "alarm",
        "Öltemperatur": "process_value",
    }
    (machine,) = proposal.machines
    state = next(s for s in machine.signals if s.role is Role.STATE)
    assert {raw: (str(m.state), m.sure) for raw, m in state.states.items()} == {
        "3": ("running", True),
        "7": ("down", False),
    }
    left = {s.variable.name: s.reasons[0] for s in machine.signals if s.role is None}
    assert "once for each part" in left["Takt"] or "too often" in left["Takt"]
    assert "an array of Double" in left["Verlauf"]
    assert machine.cycle is not None and 0.15 < machine.cycle < 0.4


@pytest.mark.server
def test_machines_that_follow_specifications_and_one_that_does_not(tmp_path: Path) -> None:
    async def floor() -> Proposal:
        server = ForeignFloor()
        await server.start()
        try:
            return await asyncio.to_thread(looked_at, server.url, tmp_path, 7.0)
        finally:
            await server.stop()

    proposal = asyncio.run(floor())
    assert signals(proposal, "Filler 7") == {
        "StateCurrent": "state",
        "BottleCount": "total",
        "RejectCount": "reject",
        "CurMachSpeed": "process_value",
    }
    assert signals(proposal, "Mill 4") == {"Number": "state", "PartsProducedInLifetime": "total"}
    assert signals(proposal, "Presse 3") == {
        "Zustand": "state",
        "Gutteile": "good",
        "Öltemperatur": "process_value",
    }
    filler, mill, press = (
        next(m for m in proposal.machines if m.name == n) for n in ("Filler 7", "Mill 4", "Presse 3")
    )
    assert ("PackML" in filler.why, "Machine Tools" in mill.why) == (True, True)
    assert filler.cycle == 0.1  # its MachDesignSpeed is 600 a minute
    running = {
        m.id: {
            raw for s in m.signals for raw, meant in s.states.items() if meant.state == "running" and s.role
        }
        for m in (filler, mill, press)
    }
    assert running == {"filler-7": {"6"}, "mill-4": {"1"}, "presse-3": {"1"}}
    names = {s.variable.name: s for s in press.signals}
    assert names["Öltemperatur"].variable.unit == "°C"
    assert {raw: str(m.state) for raw, m in names["Zustand"].states.items()} == {
        "0": "planned_stop",
        "1": "running",
        "2": "down",
        "3": "setup",
    }


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_from_an_address_to_an_oee_on_the_board(press: ForeignPress, tmp_path: Path) -> None:
    began = time.monotonic()
    plant, data = tmp_path / "plant.toml", tmp_path / "data"
    browsed = run(
        "browse",
        press.url,
        "--watch",
        "8s",
        "--yes",
        "--cycle",
        "0.2s",
        "--write",
        str(plant),
        "--data",
        str(data),
    )
    assert browsed.returncode == 0, browsed.stderr
    assert "Presse 3" in browsed.stdout and f"lineside up {plant}" in browsed.stderr.replace("\n", "")
    written = time.monotonic()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(
            [*LINESIDE, "up", str(plant), "--data", str(data), "--port", str(port)], stderr=log, stdout=log
        )
    try:
        tile = _tile(f"http://127.0.0.1:{port}/api/v1/board", up)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(20)
    live = time.monotonic()
    print(
        f"browsed, watched and written in {written - began:.1f} s, OEE on the board {live - written:.1f} s later"
    )
    assert tile["good"] > 0 and 0 < tile["oee"] <= 1.0
    assert live - began < 120


def _tile(url: str, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Good parts and OEE of the only machine, as soon as it has both."""
    until, found = time.monotonic() + DEADLINE, None
    while time.monotonic() < until:
        assert process.poll() is None, "lineside up has ended"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.loads(answer.read())
        except OSError:
            time.sleep(0.3)
            continue
        (machine,) = found["machines"]
        if machine["kpi"]["oee"] and machine["good"]:
            return {"good": machine["good"], "oee": machine["kpi"]["oee"]}
        time.sleep(0.3)
    raise AssertionError(f"no OEE after {DEADLINE:.0f} s: {json.dumps(found)[:2000]}")
