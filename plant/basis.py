"""What of a plant file the ledger follows from, per machine, as plain data that can be kept; and which past time becomes
different when it does. Names, people, alerts and how samples are collected are no part of it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from itertools import pairwise
from typing import Any

from plant.frames import Window
from plant.model import Plant

Basis = Mapping[str, Any]
"""As JSON: planned reasons, and per machine its ideal cycles, calendar and everything else."""

NO_MATTER = {
    "Equipment": ("name", "description", "level", "parent", "calendar", "cost_per_hour"),
    "Signal": ("source", "address", "unit", "scale", "offset", "collect", "min_cycle"),
    "Shift": ("name",),
    "Break": ("name",),
    "CalendarException": ("name",),
    "Settings": ("convention", "target_oee", "blind_after"),
}
"""Fields that change no ledger row of samples that are stored."""
AROUND = timedelta(days=2)
"""A shift that begins on a date lies within so much of it, in any zone."""


@dataclass(frozen=True, slots=True)
class Dirty:
    """Time of a machine that another plant file makes different."""

    equipment: str
    window: Window
    cause: str
    """ideal_cycle or plant."""
    what: str
    """What is another one, in words."""
    reasons: tuple[str, ...] = ()
    """Not empty: only stops with one of these reasons."""
    flagged: bool = False
    """Only where a counter reading was flagged."""


def basis(plant: Plant) -> Basis:
    """Of that plant."""
    return {
        "planned": sorted(r.id for r in plant.reasons.values() if r.planned),
        "settings": _plain(plant.settings),
        "zone": plant.site.zone.key,
        "machines": {
            m.id: {
                "cycles": [
                    [material.id, _plain(c.valid_from), c.cycle // timedelta(microseconds=1)]
                    for material in plant.materials.values()
                    for c in material.ideal_cycles
                    if c.equipment == m.id
                ],
                "paces": {
                    s.id: _plain(s.min_cycle)
                    for s in plant.derived_signals()
                    if s.equipment == m.id and s.min_cycle is not None
                },
                "calendar": _plain(plant.calendar_of(m.id)),
                "line": plant.line_of(m.id),
                "rest": [_plain(m), *(_plain(s) for s in plant.derived_signals() if s.equipment == m.id)],
            }
            for m in plant.machines()
        },
    }


def dirtied(before: Basis, after: Basis, past: Window) -> Iterator[Dirty]:
    """What of the past the change makes different, machine by machine; a new machine has no past."""
    planned = tuple(sorted(set(before["planned"]) ^ set(after["planned"])))
    everywhere = before["settings"] != after["settings"] or before["zone"] != after["zone"]
    for machine, now in after["machines"].items():
        then = before["machines"].get(machine)
        if then is None:
            continue
        if everywhere or then["rest"] != now["rest"] or then["line"] != now["line"]:
            yield Dirty(machine, past, "plant", "how its time is derived")
            continue
        if then["calendar"] != now["calendar"]:
            for window in _hours(then["calendar"], now["calendar"], past):
                yield Dirty(machine, window, "plant", "its calendar")
        if planned:
            yield Dirty(machine, past, "plant", "which reasons are planned", planned)
        for window in _cycles(then["cycles"], now["cycles"], past):
            yield Dirty(machine, window, "ideal_cycle", "its ideal cycle")
        if then["paces"] != now["paces"]:
            # With a faster pace all that was believed still is; what was not was flagged.
            faster = set(then["paces"]) == set(now["paces"]) and all(
                now["paces"][s] <= pace for s, pace in then["paces"].items()
            )
            yield Dirty(machine, past, "ideal_cycle", "its fastest cycle", flagged=faster)


def _cycles(before: list[Any], after: list[Any], past: Window) -> Iterator[Window]:
    """Where another ideal cycle holds for any material: an added standard dirties from its date to the next one's."""
    changes = sorted({since for _, since, _ in (*before, *after) if since is not None})
    edges = [past.start, *(at for s in changes if past.start < (at := _instant(s)) < past.end), past.end]
    found: list[Window] = []
    for start, end in pairwise(edges):
        if _at(before, start) == _at(after, start):
            continue
        if found and found[-1].end == start:
            start = found.pop().start
        found.append(Window(start, end))
    yield from found


def _at(cycles: list[Any], instant: datetime) -> dict[str, int]:
    ever = datetime(1, 1, 1, tzinfo=UTC)
    dated = sorted((ever if s is None else _instant(s), m, cycle) for m, s, cycle in cycles)
    return {material: cycle for since, material, cycle in dated if since <= instant}


def _hours(before: Any, after: Any, past: Window) -> Iterator[Window]:
    """The dates whose exceptions differ; everything where the week does."""
    if before is None or after is None or _week(before) != _week(after):
        yield past
        return
    one, other = before.get("exceptions", []), after.get("exceptions", [])
    for exception in [e for e in one if e not in other] + [e for e in other if e not in one]:
        first = datetime.fromisoformat(exception["date"]).replace(tzinfo=UTC)
        last = datetime.fromisoformat(exception.get("until") or exception["date"]).replace(tzinfo=UTC)
        window = Window(max(first - AROUND, past.start), max(min(last + AROUND, past.end), past.start))
        if window.start < window.end:
            yield window


def _week(calendar: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in calendar.items() if name not in ("exceptions", "id")}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _plain(value: Any) -> Any:
    """As JSON holds it. Fields with their default are left out, so that a field that is new changes nothing."""
    if is_dataclass(value) and not isinstance(value, type):
        left_out = NO_MATTER.get(type(value).__name__, ())
        return {
            f.name: _plain(given)
            for f in fields(value)
            if f.name not in left_out and (given := getattr(value, f.name)) != _default(f)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value


def _default(of: Any) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default
