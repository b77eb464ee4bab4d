"""[site], [settings] and the equipment tree, with what equipment inherits."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo, available_timezones

from plant.model import BreakRule, ChangeoverRule, Convention, Equipment, EquipmentLevel, Settings, Site
from plant.parsing.problems import suggestion
from plant.parsing.reader import Table, shown
from plant.parsing.registry import Registry
from plant.parsing.telling import read_cycle_gaps, read_orders_from, read_rules

T = TypeVar("T")


def read_site(table: Table | None) -> Site:
    """[site]; a stand-in when there is none."""
    if table is None:
        return Site(id="", name="", zone=ZoneInfo("UTC"))
    return Site(
        id=table.identifier(),
        name=table.text("name"),
        zone=_read_zone(table),
        currency=table.text("currency", ""),
    )


def _read_zone(table: Table) -> ZoneInfo:
    name = table.text("zone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all, a folder of the zone database
        if name.strip():
            fix = suggestion(name, available_timezones(), 'Use an IANA name such as "Europe/Berlin"')
            table.error("zone", f"{shown(name)} is not a time zone", fix)
        return ZoneInfo("UTC")


def read_settings(table: Table | None) -> Settings:
    """[settings]; the defaults of `Settings` where nothing is said."""
    given = Settings()
    if table is None:
        return given
    target = table.number("target_oee", given.target_oee)
    if not 0 < target <= 1:
        table.error(
            "target_oee", f"{target:g} is not between 0 and 1", "Write a fraction: 0.85 means 85 percent"
        )
    return Settings(
        convention=table.choice("convention", Convention, given.convention),
        micro_stop=_either(table.duration("micro_stop"), given.micro_stop),
        min_running=_either(table.duration("min_running"), given.min_running),
        changeover=table.choice("changeover", ChangeoverRule, given.changeover),
        startup=_either(table.duration("startup"), given.startup),
        breaks=table.choice("breaks", BreakRule, given.breaks),
        orders_from=read_orders_from(table) or given.orders_from,
        target_oee=target,
        blind_after=_either(table.duration("blind_after"), given.blind_after),
    )


def read_equipment(tables: list[Table], registry: Registry) -> dict[str, Equipment]:
    """[[equipment]], nothing inherited yet."""
    found: dict[str, Equipment] = {}
    for table in tables:
        node = Equipment(
            id=table.identifier(),
            name=table.text("name"),
            level=table.choice("level", EquipmentLevel),
            parent=table.optional("parent"),
            description=table.text("description", ""),
            calendar=table.optional("calendar"),
            stale_after=table.duration("stale_after", zero=False),
            micro_stop=table.duration("micro_stop"),
            min_running=table.duration("min_running"),
            changeover=_read_changeover(table),
            startup=table.duration("startup"),
            upstream=table.strings("upstream"),
            buffer=_either(table.duration("buffer"), timedelta(0)),
            constraint=table.optional("constraint"),
            material=table.optional("material"),
            orders_from=read_orders_from(table),
            states=read_rules(table),
            cycle_gaps=read_cycle_gaps(table),
            cost_per_hour=table.amount("cost_per_hour"),
        )
        if registry.declare("equipment", table, node.id):
            found[node.id] = node
    return found


def _read_changeover(table: Table) -> ChangeoverRule | None:
    return table.choice("changeover", ChangeoverRule) if "changeover" in table.data else None


def check_equipment(found: Mapping[str, Equipment], registry: Registry) -> None:
    """References, and that the tree is one."""
    order = list(EquipmentLevel)
    for node in found.values():
        table = registry.place("equipment", node.id)
        if node.parent and registry.refer("equipment", table, "parent", node.parent):
            above = found[node.parent]
            if table.ok and order.index(above.level) > order.index(node.level):
                table.error(
                    "parent",
                    f"a {node.level} cannot stand under a {above.level} ({above.id})",
                    f"Levels from the outside in: {', '.join(order)}",
                )
        if node.calendar:
            registry.refer("calendar", table, "calendar", node.calendar)
        for index, feeder in enumerate(node.upstream):
            if feeder == node.id:
                table.error(("upstream", index), f'"{feeder}" feeds itself', "Remove it")
            else:
                registry.refer("equipment", table, ("upstream", index), feeder)
    registry.unroll("equipment", {node.id: node.parent for node in found.values()})


def check_costs(found: Mapping[str, Equipment], machines: Collection[str], registry: Registry) -> None:
    """That what an hour costs is said of a machine: of a line it would be counted for each of its machines, or for none."""
    for node in found.values():
        if node.cost_per_hour is not None and node.id not in machines:
            problem = f'"{node.id}" is not a machine: nothing tells its state'
            registry.place("equipment", node.id).error(
                "cost_per_hour", problem, "Write it at the machines below it"
            )


def check_materials(found: Mapping[str, Equipment], machines: Collection[str], registry: Registry) -> None:
    """That what a machine makes without an order exists, and that it is a machine."""
    for node in found.values():
        table = registry.place("equipment", node.id)
        if node.material is None or not registry.refer("material", table, "material", node.material):
            continue
        if node.id not in machines:
            problem = f'"{node.id}" is not a machine: nothing tells its state'
            table.error("material", problem, "Write it at the machines below it")


def check_constraints(found: Mapping[str, Equipment], machines: Collection[str], registry: Registry) -> None:
    """That what sets the pace of a line is a machine of it."""
    for node in found.values():
        table = registry.place("equipment", node.id)
        if node.constraint is None or not registry.refer("equipment", table, "constraint", node.constraint):
            continue
        above, seen = found[node.constraint].parent, {node.constraint}
        while above and above in found and above != node.id and above not in seen:
            seen.add(above)
            above = found[above].parent
        if node.constraint not in machines or above != node.id:
            problem = f'"{node.constraint}" is not a machine of "{node.id}"'
            table.error("constraint", problem, "Name one of the machines below it")


def inherit(found: Mapping[str, Equipment], settings: Settings) -> dict[str, Equipment]:
    """Calendar, stale_after and the rules of booking from the nearest equipment above that says so; the rules at last
    from the settings. The tree must be free of circles."""
    resolved: dict[str, Equipment] = {}
    for node in found.values():
        pending = [node]
        while (parent := pending[-1].parent) and parent not in resolved:
            pending.append(found[parent])
        for lower in reversed(pending):
            resolved[lower.id] = _inherit_from(
                resolved[lower.parent] if lower.parent else None, lower, settings
            )
    return {name: resolved[name] for name in found}


def _inherit_from(above: Equipment | None, node: Equipment, settings: Settings) -> Equipment:
    return replace(
        node,
        calendar=node.calendar or (above.calendar if above else None),
        stale_after=node.stale_after or (above.stale_after if above else None),
        orders_from=node.orders_from or (above.orders_from if above else settings.orders_from),
        micro_stop=_either(node.micro_stop, (above or settings).micro_stop),
        min_running=_either(node.min_running, (above or settings).min_running),
        changeover=_either(node.changeover, (above or settings).changeover),
        startup=_either(node.startup, (above or settings).startup),
    )


def _either(own: T | None, otherwise: T) -> T:
    """The own value unless there is none; zero is a value."""
    return otherwise if own is None else own
