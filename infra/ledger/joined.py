"""Machines that must be derived together: what one does may be charged to one it feeds or is fed by."""

from collections.abc import Collection
from dataclasses import replace

from analytics.ledger.firstcause import Topology
from plant.model import Plant


def joined(plant: Plant, equipment: Collection[str]) -> set[str]:
    """The machines and those they feed or are fed by, over any number of others."""
    topology = Topology(plant)
    return topology.connected(set(equipment) & topology.before.keys())


def components(plant: Plant) -> list[list[str]]:
    """All machines, those that are joined together; each in order of their ids, as are the lists."""
    topology = Topology(plant)
    found: list[list[str]] = []
    left = sorted(topology.before)
    while left:
        together = topology.connected(left[:1])
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
