"""How the states of machines are told that have no state signal, in words: for `lineside check`."""

from datetime import timedelta

from plant.expressions import comparisons
from plant.model import CycleGaps, Equipment, Plant


def how_told(plant: Plant) -> dict[str, list[str]]:
    """By id of each machine whose state comes from several signals or from its cycles: a sentence, and what follows."""
    found: dict[str, list[str]] = {}
    for machine in plant.machines():
        if machine.states:
            found[machine.id] = _by_rules(machine)
        elif machine.cycle_gaps is not None:
            found[machine.id] = _by_cycles(plant, machine, machine.cycle_gaps)
    return found


def _by_rules(machine: Equipment) -> list[str]:
    names = dict.fromkeys(
        test.signal
        for rule in machine.states
        if rule.condition is not None
        for test in comparisons(rule.condition)
    )
    lines = [
        f"{machine.name} ({machine.id}): its state is told from {', '.join(names)}. The first that holds:"
    ]
    for rule in machine.states:
        reason = f" ({rule.means.reason})" if rule.means.reason else ""
        lines.append(f"{rule.means.state}{reason}: {rule.when or 'otherwise'}")
    if machine.states[-1].condition is not None:
        lines.append("unknown: when none of them holds")
    lines.append(f"unknown: when it depends on a signal that {_silent(machine)}")
    return lines


def _by_cycles(plant: Plant, machine: Equipment, gaps: CycleGaps) -> list[str]:
    signals = ", ".join(signal.id for signal in plant.cycling(machine.id))
    lines = [
        f"{machine.name} ({machine.id}): its state is told from the time between its parts ({signals}), by the ideal "
        "cycle of what it makes."
    ]
    for material in plant.materials.values():
        ideal = max(
            (c for c in material.ideal_cycles if c.equipment == machine.id),
            key=lambda c: (c.valid_from is not None, c.valid_from),
            default=None,
        )
        if ideal is not None:
            bounds = (gaps.running, gaps.slow, gaps.micro_stop)
            running, slow, stop = (_seconds(bound * ideal.cycle) for bound in bounds)
            lines.append(
                f"{material.id}: up to {running} running, up to {slow} slow, up to {stop} a micro-stop, longer idle; "
                f"the first {_seconds(ideal.cycle)} are always running"
            )
    if len(lines) == 1:
        lines.append(
            "No material has an ideal cycle on it: all its time will be unknown. Add an ideal_cycle to a [[material]]."
        )
    lines.append(f"unknown: when {signals} {_silent(machine)}")
    return lines


def _silent(machine: Equipment) -> str:
    if machine.stale_after is None:
        return "has no value. Without stale_after a lost source looks like one that has nothing to say"
    return f"has no value, or has been silent for {_seconds(machine.stale_after)}"


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():g} s"
