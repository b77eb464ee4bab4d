"""[[material]] with its ideal cycles, and [[reason]]."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from plant.calendar import to_utc
from plant.model import IdealCycle, Material, Reason
from plant.parsing.reader import Table
from plant.parsing.registry import Registry


def read_materials(
    tables: list[Table], registry: Registry, machines: Collection[str], zone: ZoneInfo
) -> dict[str, Material]:
    """[[material]]; dates of ideal cycles begin at midnight in the site's zone."""
    found: dict[str, Material] = {}
    for table in tables:
        material = Material(
            id=table.identifier(),
            name=table.text("name"),
            unit=table.text("unit", "pcs"),
            value=table.amount("value"),
            ideal_cycles=_read_cycles(table, registry, machines, zone),
        )
        if registry.declare("material", table, material.id):
            found[material.id] = material
    return found


def _read_cycles(
    material: Table, registry: Registry, machines: Collection[str], zone: ZoneInfo
) -> tuple[IdealCycle, ...]:
    found: dict[tuple[str, datetime | None], IdealCycle] = {}
    for table in material.tables("ideal_cycle"):
        cycle = table.required_duration("cycle", zero=False)
        valid_from = _instant(table, "from", zone)
        for name in _names(table, "equipment"):
            if not registry.refer("equipment", table, "equipment", name):
                continue
            if name not in machines:
                table.error(
                    "equipment",
                    f'"{name}" is not a machine: nothing tells its state',
                    "Name the machines below it",
                )
            if (name, valid_from) in found:
                table.error(
                    "equipment",
                    f'"{name}" already has an ideal cycle from that date',
                    'Remove one, or give it a "from"',
                )
            found[name, valid_from] = IdealCycle(equipment=name, cycle=cycle, valid_from=valid_from)
    return tuple(found.values())


def _names(table: Table, key: str) -> tuple[str, ...]:
    """One id or a list of ids."""
    if isinstance(table.data.get(key), list):
        return table.strings(key)
    return (table.text(key),)


def _instant(table: Table, key: str, zone: ZoneInfo) -> datetime | None:
    """A TOML date or date-time as UTC; None when left out."""
    value = table.date(key)
    if value is None:
        return None
    if not isinstance(value, datetime):
        return to_utc(datetime.combine(value, time(0)), zone)
    return to_utc(value, zone) if value.tzinfo is None else value.astimezone(UTC)


def read_reasons(tables: list[Table], registry: Registry) -> dict[str, Reason]:
    """[[reason]]"""
    found: dict[str, Reason] = {}
    for table in tables:
        reason = Reason(
            id=table.identifier(),
            name=table.text("name"),
            parent=table.optional("parent"),
            planned=table.boolean("planned", False),
        )
        if registry.declare("reason", table, reason.id):
            found[reason.id] = reason
    return found


def check_reasons(found: Mapping[str, Reason], registry: Registry) -> None:
    """Parents exist and do not go round in a circle."""
    for reason in found.values():
        if reason.parent:
            registry.refer("reason", registry.place("reason", reason.id), "parent", reason.parent)
    registry.unroll("reason", {reason.id: reason.parent for reason in found.values()})
