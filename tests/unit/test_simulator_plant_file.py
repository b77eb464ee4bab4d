"""The demo plant file describes the plant that the simulator plays."""

import tomllib
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from collectors.simulator.codes import (
    FAULTS,
    LINE,
    MACHINES,
    MATERIALS,
    MOD16,
    MODBUS_ADDRESSES,
    MODULUS,
    OPCUA_NAMESPACE,
    PRESS,
    PROCESS_VALUES,
    STATES,
    STATIONS,
    signals,
)
from collectors.simulator.faults import demo_script
from collectors.simulator.profiles import PROFILES
from plant.model import Plant, Role
from plant.parse import parse

DEMO = Path(__file__).parents[2] / "infra" / "demo"
ROLES = {"state": Role.STATE, "good": Role.GOOD, "reject": Role.REJECT, "order": Role.ORDER}


@pytest.fixture(scope="module")
def plant() -> Plant:
    """Parsed without asking the protocols about their options: those are not compared here."""
    files = [DEMO / "plant.toml", *sorted(DEMO.glob("lines/*.toml"))]
    return parse({file.name: tomllib.loads(file.read_text(encoding="utf-8")) for file in files})


def test_the_same_machines_and_signals_at_the_same_addresses(plant: Plant) -> None:
    assert [m.id for m in plant.machines()] == list(MACHINES)
    assert {plant.equipment[s].parent for s in STATIONS} == {LINE}
    for before, after in pairwise(STATIONS):
        assert plant.equipment[after].upstream == (before,)
    for machine in MACHINES:
        described = {s.id: s for s in plant.signals_of(machine)}
        assert tuple(described) == signals(machine)
        for name, signal in described.items():
            assert signal.role is ROLES.get(name, Role.PROCESS_VALUE)
            assert signal.address == (
                MODBUS_ADDRESSES[name] if machine == PRESS else f"nsu={OPCUA_NAMESPACE};s={machine}.{name}"
            )
        name, unit = PROCESS_VALUES[machine]
        assert described[name].unit == unit
        assert described["good"].modulus == MODULUS[machine]
        assert described["reject"].modulus == MOD16


def test_every_state_a_machine_can_show_means_the_same_to_both(plant: Plant) -> None:
    scripted = {(stop.equipment, stop.state) for stop in demo_script(datetime(2026, 1, 5, tzinfo=UTC))}
    for machine in MACHINES:
        shown = {*STATES, *(kind.code for kind in PROFILES[machine].stops)}
        shown |= {code for equipment, code in scripted if equipment == machine}
        mapped = {s.id: s for s in plant.signals_of(machine)}["state"].states
        for code in shown:
            mapping = mapped[str(code)]
            reason = FAULTS[code][0] if code in FAULTS else None
            assert (mapping.state, mapping.reason) == (STATES.get(code, "down"), reason), (machine, code)
    assert {reason for reason, _ in FAULTS.values()} <= set(plant.reasons)


def test_the_same_materials_at_the_same_ideal_cycles(plant: Plant) -> None:
    assert set(plant.materials) == set(MATERIALS)
    for id, material in MATERIALS.items():
        described = plant.materials[id]
        assert (described.name, described.unit) == (material.name, material.unit)
        cycles = {c.equipment: c.cycle // timedelta(microseconds=1) for c in described.ideal_cycles}
        assert cycles == material.cycles
