"""[site], [settings] and the equipment tree, with what equipment inherits."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo, available_timezones

from plant.model import BreakRule, Convention, Equipment, EquipmentLevel, Settings, Site
from plant.parsing.problems import suggestion
from plant.parsing.reader import Table, shown
from plant.parsing.registry import Registry


def read_site(table: Table | None) -> Site:
    """[site]; a stand-in when there is none."""
    if table is None:
        return Site(id="", name="", zone=ZoneInfo("UTC"))
    return Site(id=table.identifier(), name=table.text("name"), zone=_read_zone(table))


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
    micro_stop = table.duration("micro_stop")
    blind_after = table.duration("blind_after")
    return Settings(
        convention=table.choice("convention", Convention, given.convention),
        micro_stop=given.micro_stop if micro_stop is None else micro_stop,
        breaks=table.choice("breaks", BreakRule, given.breaks),
        target_oee=target,
        blind_after=given.blind_after if blind_after is None else blind_after,
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
            upstream=table.strings("upstream"),
            material=table.optional("material"),
        )
        if registry.declare("equipment", table, node.id):
            found[node.id] = node
    return found


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


def check_materials(found: Mapping[str, Equipment], machines: Collection[str], registry: Registry) -> None:
    """That what a machine makes without an order exists, and that it is a machine."""
    for node in found.values():
        table = registry.place("equipment", node.id)
        if node.material is None or not registry.refer("material", table, "material", node.material):
            continue
        if node.id not in machines:
            problem = f'"{node.id}" is not a machine: it has no state signal'
            table.error("material", problem, "Write it at the machines below it")


def inherit(found: Mapping[str, Equipment], settings: Settings) -> dict[str, Equipment]:
    """Calendar, stale_after and micro_stop from the nearest equipment above that says so; micro_stop at last
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
        micro_stop=_first(node.micro_stop, above.micro_stop if above else settings.micro_stop),
    )


def _first(own: timedelta | None, above: timedelta | None) -> timedelta | None:
    """The own value unless there is none; zero is a value."""
    return above if own is None else own
