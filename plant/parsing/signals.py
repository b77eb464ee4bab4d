"""[[source]], [[signal]] and the reasons their states name."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta

from plant.model import (
    COUNTER_ROLES,
    HELD_ROLES,
    CycleKind,
    Material,
    Role,
    Signal,
    Source,
)
from plant.parsing.charting import read_specification
from plant.parsing.reader import Table, shown
from plant.parsing.registry import Registry
from plant.parsing.telling import read_bits, read_meaning, read_states

_ONE_PER_MACHINE = (Role.STATE, Role.ORDER, Role.MATERIAL, Role.CYCLE)
_NAMES = (Role.STATE, Role.ORDER, Role.MATERIAL, Role.ALARM)
"""Roles whose values are no measurements."""


def read_sources(tables: list[Table], registry: Registry) -> dict[str, Source]:
    """[[source]]: all but id and protocol are options for the collector of that protocol."""
    found: dict[str, Source] = {}
    for table in tables:
        process = table.identifier("process") if "process" in table.data else "collect"
        source = Source(
            id=table.identifier(),
            protocol=table.identifier("protocol"),
            process=process,
            options=table.options(),
        )
        if registry.declare("source", table, source.id):
            found[source.id] = source
    return found


def read_signals(tables: list[Table], registry: Registry) -> dict[tuple[str, str], Signal]:
    """[[signal]]"""
    found: dict[tuple[str, str], Signal] = {}
    for table in tables:
        signal = _read_signal(table)
        if signal.equipment and signal.id:
            key = f"{signal.equipment}/{signal.id}"
            if registry.declare("signal", table, key):
                found[signal.equipment, signal.id] = signal
    return found


def _read_signal(table: Table) -> Signal:
    role = table.choice("role", Role)
    source = table.optional("source")
    if source and "address" not in table.data:
        table.error("address", '"address" is missing', f"Say where the signal is on the source {source}")
    modulus = table.integer("modulus")
    if modulus is not None and modulus < 2:
        table.error("modulus", f"{modulus} is below 2", "Write the value it starts again at, such as 65536")
    scale = table.number("scale", 1.0)
    if scale == 0:
        table.error("scale", "a scale of 0 makes every value 0", "Leave it out, or write the factor")
    known_role = "role" in table.data and table.data["role"] in list(Role)
    if known_role and role not in COUNTER_ROLES:
        for key in ("modulus", "min_cycle"):
            if key in table.data:
                table.error(key, f"a {role} signal does not count", f"Remove {key} or make it a counter")
    if known_role and role in _NAMES:
        for key in ("scale", "offset"):
            if key in table.data:
                table.error(key, f"a {role} signal is not a measured value", f"Remove {key}")
    states, ranges = read_states(table)
    if known_role and role is Role.STATE and not {"states", "bits"} & table.data.keys():
        table.error("states", "a state signal needs its states", 'Add states = { "1" = "running", ... }')
    for key, owner in _OF_ROLE.items():
        if known_role and role is not owner and key in table.data:
            fix = f'Remove {key} or write role = "{owner}"'
            table.error(key, f"a {role} signal has no {key}", fix)
    specification = read_specification(table)
    return Signal(
        id=table.identifier(),
        equipment=table.text("equipment"),
        role=role,
        source=source,
        address=table.optional("address") or "",
        unit=table.text("unit", ""),
        modulus=modulus,
        min_cycle=table.duration("min_cycle", zero=False),
        scale=scale,
        offset=table.number("offset", 0.0),
        collect=_read_collect(table, source),
        states=states,
        ranges=ranges,
        bits=read_bits(table),
        otherwise=read_meaning(table, ("otherwise",), table.data["otherwise"])
        if "otherwise" in table.data
        else None,
        cycle=table.choice("cycle", CycleKind, CycleKind.TIME),
        materials=_read_materials(table),
        lower=specification.lower,
        upper=specification.upper,
        target=specification.target,
        spc=specification.spc,
    )


_OF_ROLE = {
    "states": Role.STATE,
    "bits": Role.STATE,
    "otherwise": Role.STATE,
    "cycle": Role.CYCLE,
    "materials": Role.MATERIAL,
    "lower": Role.PROCESS_VALUE,
    "upper": Role.PROCESS_VALUE,
    "target": Role.PROCESS_VALUE,
    "spc": Role.PROCESS_VALUE,
}
"""Keys that signals of one role have."""


def _read_materials(table: Table) -> dict[str, str]:
    value = table.data.get("materials", {})
    if not isinstance(value, Mapping):
        table.error("materials", f"{shown(value)} is not a table", 'Write { "17" = "cola" }')
        return {}
    found: dict[str, str] = {}
    for raw, material in value.items():
        if isinstance(material, str) and material.strip():
            found[raw] = material
        else:
            table.error(
                ("materials", raw), f"{shown(material)} is no material", "Write the id of a [[material]]"
            )
    return found


def _read_collect(table: Table, source: str | None) -> Mapping[str, object]:
    value = table.data.get("collect", {})
    if not isinstance(value, Mapping):
        table.error(
            "collect", f"{shown(value)} is not a table", 'Write { sampling = "10ms", deadband = 0.5 }'
        )
        return {}
    if value and not source:
        table.error(
            "collect", "a signal without a source is not collected", "Remove collect, or name its source"
        )
    return table.child(("collect",), "signal.collect", value).options()


def check_signals(
    found: Mapping[tuple[str, str], Signal], machines: Collection[str], registry: Registry
) -> None:
    """References, and what a machine must have for its ledger to be derived."""
    first: dict[tuple[str, Role], str] = {}
    for signal in found.values():
        table = registry.place("signal", f"{signal.equipment}/{signal.id}")
        if signal.source:
            registry.refer("source", table, "source", signal.source)
        _check_reasons(signal, table, registry)
        for raw, material in signal.materials.items():
            registry.refer("material", table, ("materials", raw), material)
        if not registry.refer("equipment", table, "equipment", signal.equipment) or not table.ok:
            continue
        if signal.role in _ONE_PER_MACHINE:
            other = first.setdefault((signal.equipment, signal.role), signal.id)
            if other != signal.id:
                table.error(
                    "role",
                    f'{signal.equipment} already has the {signal.role} signal "{other}"',
                    f"A machine has one {signal.role} signal: remove one or change its role",
                )
        if signal.role in HELD_ROLES and signal.equipment not in machines:
            table.error(
                "equipment",
                f"{signal.equipment} has a {signal.role} signal but no state signal to count it in",
                f'Add a [[signal]] with role = "state" to {signal.equipment}, or give it states, or state_from = "cycles"',
            )


def _check_reasons(signal: Signal, table: Table, registry: Registry) -> None:
    meant: list[tuple[tuple[str | int, ...], str | None]] = [
        (("states", raw, "reason"), mapping.reason) for raw, mapping in signal.states.items()
    ]
    meant += [(("states",), each.means.reason) for each in signal.ranges]
    meant += [(("bits", index, "reason"), each.means.reason) for index, each in enumerate(signal.bits)]
    if signal.otherwise is not None:
        meant.append((("otherwise", "reason"), signal.otherwise.reason))
    for path, reason in meant:
        if reason:
            registry.refer("reason", table, path, reason)


def resolve_decides(
    found: Mapping[tuple[str, str], Signal], deciding: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Signal]:
    """Mark the signals that their machine's states compare."""
    return {key: replace(signal, decides=key in deciding) for key, signal in found.items()}


def resolve_min_cycles(
    found: Mapping[tuple[str, str], Signal], materials: Mapping[str, Material]
) -> dict[tuple[str, str], Signal]:
    """Give counters without a min_cycle half of the fastest ideal cycle of their machine."""
    fastest: dict[str, timedelta] = {}
    for material in materials.values():
        for ideal in material.ideal_cycles:
            fastest[ideal.equipment] = min(ideal.cycle, fastest.get(ideal.equipment, ideal.cycle))
    return {
        key: replace(signal, min_cycle=fastest[signal.equipment] / 2, assumed=True)
        if signal.role in COUNTER_ROLES and signal.min_cycle is None and signal.equipment in fastest
        else signal
        for key, signal in found.items()
    }
