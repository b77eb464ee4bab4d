"""Which variables belong to one machine, by where they stand and what their names begin with. Pure.

A folder that holds both a state and a part counter is a machine; several such folders side by side are several
machines. A flat list is split where its names begin differently: Filler_State, Capper_State.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from collectors.onboarding.companion import MACHINE_TOOL, MTCONNECT, PACKML
from collectors.onboarding.found import Variable
from collectors.onboarding.naming import rest_of, words_of
from plant.model import COUNTER_ROLES, Role

_MACHINE_TYPES = {
    (MACHINE_TOOL, "MachineToolType"),
    (PACKML, "PackMLBaseObjectType"),
    (MTCONNECT, "Device"),
}
_GENERIC = frozenset((
    "admin", "application", "base", "betrieb", "counter", "counters", "counts", "current", "data",
    "datablocks", "datablocksglobal", "daten", "db", "device", "devices", "deviceset", "global",
    "globals", "gvl", "info", "infos", "inputs", "io", "kpi", "kpis", "machine", "machines", "main",
    "maschine", "maschinen", "monitoring", "objects", "oee", "operation", "outputs", "packmlobjects",
    "plc", "prg", "process", "production", "produktion", "program", "programs", "resource", "root",
    "signale", "signals", "state", "states", "statistics", "status", "tag", "tags", "value", "values",
    "variables", "werte", "zaehler", "zustand"
))  # fmt: skip
"""Words of folders that name no machine."""

Judged = tuple[Variable, Role | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The variables of one machine, and why they are together."""

    name: str
    addresses: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class _Member:
    address: str
    folders: tuple[str, ...]
    name: str
    role: Role | None
    machine: tuple[str, ...] | None
    """The folders of the nearest object that surely is a machine: by its type, or one of a flat list."""


def group(judged: Sequence[Judged], source: str) -> tuple[list[Group], list[str]]:
    """Machines, and the addresses of what belongs to none. `source` names a machine that nothing else names."""
    members = _unflattened([_member(variable, role) for variable, role in judged])
    if not any(m.role is Role.STATE or m.role in COUNTER_ROLES for m in members):
        return [], [m.address for m in members]
    groups = _split((), members)
    placed = {m.address for _, found in groups for m in found}
    rest = [m for m in members if m.address not in placed]
    if len(groups) == 1:  # what stands elsewhere can only be about this one
        prefix, found = groups[0]
        groups, rest = [(prefix, [*found, *rest])], []
    return [_named(prefix, found, source) for prefix, found in groups], [m.address for m in rest]


def _member(variable: Variable, role: Role | None) -> _Member:
    machine = None
    for depth, step in enumerate(variable.path[:-1], 1):
        if (step.type_uri, step.type_name) in _MACHINE_TYPES:
            machine = tuple(s.name for s in variable.path[:depth])
    return _Member(variable.address, tuple(s.name for s in variable.path[:-1]), variable.name, role, machine)


def _unflattened(members: Sequence[_Member]) -> list[_Member]:
    """Members whose folder holds the states of several machines get a folder of their own."""
    beginnings: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for member in members:
        if member.role is Role.STATE:
            beginnings.setdefault(member.folders, set()).add(rest_of(member.name))
    split = {
        folder: {b for b in found if b} for folder, found in beginnings.items() if len(found - {()}) >= 2
    }
    found = []
    for member in members:
        words = words_of(member.name)
        own = [b for b in split.get(member.folders, ()) if words[: len(b)] == b]
        if own:
            folders = (*member.folders, _label(member.name, max(own, key=len)))
            member = _Member(member.address, folders, member.name, member.role, member.machine or folders)
        found.append(member)
    return found


def _label(name: str, words: tuple[str, ...]) -> str:
    """The beginning of a name that those words are, as it is written; parts of one label are told apart by words."""
    length = len("".join(words))
    end = next((i for i in range(1, len(name) + 1) if len("".join(words_of(name[:i]))) >= length), len(name))
    return name[:end]


def _split(prefix: tuple[str, ...], members: list[_Member]) -> list[tuple[tuple[str, ...], list[_Member]]]:
    """Machines below a folder: its path and members each."""
    typed = {m.machine for m in members if m.machine is not None and len(m.machine) > len(prefix)}
    outermost = {t for t in typed if not any(t != o and t[: len(o)] == o for o in typed)}
    if outermost:
        by_type = []
        for machine in sorted(outermost):
            inside = [m for m in members if m.folders[: len(machine)] == machine]
            if any(m.role is not None for m in inside):
                by_type.append((machine, inside))
        outside = [m for m in members if not any(m.folders[: len(t)] == t for t in outermost)]
        if _whole(outside):
            by_type += _split(prefix, outside)
        if by_type:
            return by_type
    groups: dict[str, list[_Member]] = {}
    direct = []
    for member in members:
        if len(member.folders) > len(prefix):
            groups.setdefault(member.folders[len(prefix)], []).append(member)
        else:
            direct.append(member)
    whole = {name: found for name, found in groups.items() if _whole(found)}
    left = [*direct, *(m for name, found in groups.items() if name not in whole for m in found)]
    if len(whole) >= 2:
        split = [part for name, found in whole.items() for part in _split((*prefix, name), found)]
        return [*split, *([(prefix, left)] if _whole(left) else [])]
    if len(whole) == 1 and not _any(left, Role.STATE, *COUNTER_ROLES):
        ((name, found),) = whole.items()
        return _split((*prefix, name), found)
    if not whole and not _any(direct, Role.STATE, *COUNTER_ROLES):
        alike = {name: found for name, found in groups.items() if _any(found, Role.STATE)}
        if len(alike) >= 2 and _alike(list(alike.values()), len(prefix) + 1):
            return [part for name, found in alike.items() for part in _split((*prefix, name), found)]
    return [(prefix, members)]


def _whole(members: Sequence[_Member]) -> bool:
    return _any(members, Role.STATE) and _any(members, *COUNTER_ROLES)


def _any(members: Sequence[_Member], *roles: Role) -> bool:
    return any(m.role in roles for m in members if m.role is not None)


def _alike(groups: Sequence[Sequence[_Member]], depth: int) -> bool:
    """Whether the groups say their state at the same place below them."""
    places = [{(m.folders[depth:], m.name) for m in found if m.role is Role.STATE} for found in groups]
    return bool(set.intersection(*places))


def _named(prefix: tuple[str, ...], members: Sequence[_Member], source: str) -> Group:
    roled = [m.folders for m in members if m.role is not None]
    common = _common(roled) if roled else prefix
    telling = [name for name in common if not _is_generic(name)]
    name = telling[-1] if telling else source
    if any(m.machine == prefix for m in members):
        name = prefix[-1]
    place = "/".join(common)
    why = f'its signals are under "{place}"' if place else "its signals stand at the top of the server"
    return Group(name=name or "Machine", addresses=tuple(m.address for m in members), why=why)


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    common = paths[0]
    for path in paths[1:]:
        length = next(
            (i for i, (a, b) in enumerate(zip(common, path, strict=False)) if a != b),
            min(len(common), len(path)),
        )
        common = common[:length]
    return common


def _is_generic(name: str) -> bool:
    words = [w for w in words_of(name) if not w.isdigit()]
    return all(word in _GENERIC for word in words)
