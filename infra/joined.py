"""Machines that must be derived together: what one does may be charged to one it feeds or is fed by."""

from collections.abc import Collection
from dataclasses import replace

from plant.model import Plant


def joined(plant: Plant, equipment: Collection[str]) -> set[str]:
    """The machines and those they feed or are fed by, over any number of others."""
    feeds = {m.id: set(m.upstream) for m in plant.machines()}
    found, more = set(equipment), set(equipment)
    while more:
        more = {
            other
            for other, fed_by in feeds.items()
            if other not in found and (fed_by & more or any(other in feeds.get(m, ()) for m in more))
        }
        found |= more
    return found & set(feeds)


def components(plant: Plant) -> list[list[str]]:
    """All machines, those that are joined together; each in order of their ids, as are the lists."""
    found: list[list[str]] = []
    left = sorted(m.id for m in plant.machines())
    while left:
        together = joined(plant, left[:1])
        found.append(sorted(together))
        left = [m for m in left if m not in together]
    return found


def part_of(plant: Plant, machines: Collection[str]) -> Plant:
    """The plant with these of its machines only (whole components), and what they belong to."""
    others = {m.id for m in plant.machines()} - set(machines)
    return replace(
        plant,
        equipment={
            e.id: replace(e, states=(), cycle_gaps=None) if e.id in others else e
            for e in plant.equipment.values()
        },
        signals={key: s for key, s in plant.signals.items() if s.equipment not in others},
    )
