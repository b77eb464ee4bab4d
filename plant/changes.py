"""What differs between two plants, and what that means for one that runs. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from plant.model import Plant, Signal, Source

TABLES = (
    "equipment",
    "sources",
    "signals",
    "materials",
    "calendars",
    "reasons",
    "users",
    "channels",
    "escalations",
    "alert_rules",
)
SINGLE = ("site", "settings", "historian", "records", "spool")
NEEDS_RESTART = ("historian", "records", "spool")
"""What a running plant takes up only when it is started again."""
FROM_NOW_ON = ("address", "source", "scale", "offset", "collect")
"""Fields of a signal that change what is collected: samples that are stored stay as they are."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of something that is in both."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is new, gone or different."""

    kind: str
    """As in `Plant`: equipment, sources, signals ... settings."""
    id: str
    what: str
    """new, gone or changed."""
    fields: tuple[Field, ...] = ()
    """Of something changed."""


def changes(before: Plant, after: Plant) -> list[Change]:
    """Everything that differs, in the order of `Plant`."""
    found: list[Change] = []
    for kind in SINGLE:
        if differing := _fields(getattr(before, kind), getattr(after, kind)):
            found.append(Change(kind, "", "changed", differing))
    for kind in TABLES:
        found.extend(_table(kind, getattr(before, kind), getattr(after, kind)))
    return found


def collected(plant: Plant, source: str) -> tuple[Source, tuple[Signal, ...]]:
    """A source and its signals without what only the derivation looks at: while this stays the same, its connection is
    not touched."""
    signals = (s for s in plant.signals.values() if s.source == source)
    return plant.sources[source], tuple(
        replace(s, states={}, modulus=None, min_cycle=None, assumed=False, unit="") for s in signals
    )


def connections(before: Plant, after: Plant) -> dict[str, str]:
    """What happens to each source's connection: "new", "gone", "anew" (ended and made again) or "kept"."""
    found = {s: "gone" for s in before.sources if s not in after.sources}
    for source in after.sources:
        if source not in before.sources:
            found[source] = "new"
        else:
            found[source] = "kept" if collected(before, source) == collected(after, source) else "anew"
    return found


def _table(kind: str, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> Iterator[Change]:
    for key in (*before, *(k for k in after if k not in before)):
        name = ".".join(key) if isinstance(key, tuple) else str(key)
        if key not in after:
            yield Change(kind, name, "gone")
        elif key not in before:
            yield Change(kind, name, "new")
        elif differing := _fields(before[key], after[key]):
            yield Change(kind, name, "changed", differing)


def _fields(before: Any, after: Any) -> tuple[Field, ...]:
    pairs = ((f.name, getattr(before, f.name), getattr(after, f.name)) for f in fields(before))
    return tuple(Field(name, one, other) for name, one, other in pairs if one != other)
