"""How a machine's state is told: the values of a state signal, conditions over several signals, or its cycles."""

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from plant.expressions import Condition, ExpressionError, comparisons, parse
from plant.model import (
    CycleGaps,
    Equipment,
    OrderSource,
    Role,
    Signal,
    StateBit,
    StateMapping,
    StateRange,
    StateRule,
)
from plant.packml import PACKML, spellings
from plant.parsing.problems import suggestion
from plant.parsing.reader import Table, shown
from plant.parsing.registry import Registry
from plant.states import MachineState

_RANGE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*-\s*(-?\d+(?:\.\d+)?)\s*", re.ASCII)
_LIKE = "like"
MOST = 30
"""Comparisons with one signal: what is known of them is kept in one number."""


def read_states(table: Table) -> tuple[dict[str, StateMapping], tuple[StateRange, ...]]:
    """`states` of a signal: single values, and ranges "900-999" without overlap. "packml", or a table with
    like = "packml", begins with PackML's states; what the table says itself goes before."""
    value = table.data.get("states", {})
    if isinstance(value, str):
        return _preset(table, ("states",), value), ()
    if not isinstance(value, Mapping) or ("states" in table.data and not value):
        fix = 'Write { "1" = "running", ... } or "packml"'
        table.error("states", f"{shown(value)} is not a table of states", fix)
        return {}, ()
    found: dict[str, StateMapping] = {}
    if _LIKE in value:
        found = _preset(table, ("states", _LIKE), value[_LIKE])
    alike = {raw: spellings(number) for number in PACKML for raw in spellings(number)} if found else {}
    ranges: list[tuple[str, StateRange]] = []
    for raw, meaning in value.items():
        if raw == _LIKE:
            continue
        means = read_meaning(table, ("states", raw), meaning)
        bounds = _RANGE.fullmatch(raw)
        if bounds is None:
            found.update(dict.fromkeys(alike.get(raw, (raw,)), means))
            continue
        low, high = float(bounds[1]), float(bounds[2])
        if low > high:
            fix = f'Write "{bounds[2]}-{bounds[1]}"'
            table.error(("states", raw), f"the range ends before it begins: {raw}", fix)
        ranges.append((raw, StateRange(low=low, high=high, means=means)))
    ranges.sort(key=lambda entry: (entry[1].low, entry[1].high))
    for (one, first), (two, second) in pairwise(ranges):
        if second.low <= first.high:
            table.error(("states", two), f'"{two}" overlaps "{one}"', "Let each value be in one range")
    return found, tuple(each for _, each in ranges)


def _preset(table: Table, path: tuple[str, ...], name: object) -> dict[str, StateMapping]:
    if name != "packml":
        fix = suggestion(name, ("packml",), "") if isinstance(name, str) else ""
        table.error(path, f"{shown(name)} is no set of states that is known", fix or 'Write "packml"')
        return {}
    return {
        raw: StateMapping(state=state) for number, (_, state) in PACKML.items() for raw in spellings(number)
    }


def read_meaning(table: Table, path: tuple[str | int, ...], value: object) -> StateMapping:
    """A state, or a table of a state and a reason."""
    if isinstance(value, Mapping):
        inner = table.child(path, "signal.states", value)
        return StateMapping(state=inner.choice("state", MachineState), reason=inner.optional("reason"))
    return StateMapping(state=table.word(path, value, MachineState) or MachineState.UNKNOWN)


def read_bits(table: Table) -> tuple[StateBit, ...]:
    """`bits` of a signal, the first that is set decides."""
    found: list[StateBit] = []
    for inner in table.tables("bits"):
        bit = inner.integer("bit")
        if bit is None and "bit" not in inner.data:
            inner.error("bit", '"bit" is missing', "Say which bit, 0 is the lowest")
        elif bit is not None and not 0 <= bit <= 52:
            inner.error("bit", f"{bit} is not a bit", "Count from 0, the lowest, to 52")
        elif bit in {other.bit for other in found}:
            inner.error("bit", f"bit {bit} is listed twice", "Remove one")
        means = StateMapping(state=inner.choice("state", MachineState), reason=inner.optional("reason"))
        found.append(StateBit(bit=bit or 0, means=means))
    return tuple(found)


def read_rules(table: Table) -> tuple[StateRule, ...]:
    """`states` of a machine: rules in order, the first that holds decides."""
    inner = table.tables("states")
    found: list[StateRule] = []
    for index, rule in enumerate(inner):
        condition: Condition | None = None
        when = rule.text("when", "")
        if "when" in rule.data and when.strip():
            try:
                condition = parse(when)
            except ExpressionError as error:
                rule.error("when", error.problem, error.fix)
        elif "when" in rule.data:
            rule.error("when", "is blank", "Write a condition, or leave it out of the last rule")
        elif index < len(inner) - 1:
            rule.error("when", '"when" is missing', "Only the last rule may hold always")
        means = StateMapping(state=rule.choice("state", MachineState), reason=rule.optional("reason"))
        found.append(StateRule(when=when, condition=condition, means=means))
    if found and found[0].condition is None and inner[0].ok:
        inner[0].error("when", "no signal decides", 'Write a condition first, such as when = "spindle > 100"')
    return tuple(found)


def read_cycle_gaps(table: Table) -> CycleGaps | None:
    """`state_from` and `cycle_gaps` of a machine; None: its state does not come from its cycles."""
    word = table.optional("state_from")
    if word is not None and word != "cycles":
        fix = "Leave it out: a state signal or states need no word"
        table.error("state_from", f"{shown(word)} is not one of cycles", suggestion(word, ("cycles",), fix))
    given = table.data.get("cycle_gaps")
    gaps = table.child(("cycle_gaps",), "equipment.cycle_gaps", given) if isinstance(given, Mapping) else None
    if given is not None and gaps is None:
        table.error("cycle_gaps", f"{shown(given)} is not a table", "Write { slow = 1.7, micro_stop = 6 }")
    if gaps is not None and word is None:
        table.error("cycle_gaps", "the state does not come from cycles", 'Add state_from = "cycles"')
    if word != "cycles":
        return None
    usual = CycleGaps()
    if gaps is None:
        return usual
    names = ("running", "slow", "micro_stop")
    bounds = [gaps.number(name, getattr(usual, name)) for name in names]
    for name, before, bound in zip(names, [1.0, *bounds], bounds, strict=False):
        if not before <= bound <= 1e6 or math.isnan(bound):
            problem = (
                f"{bound:g} cycles is less than {before:g}" if bound < before else f"{bound:g} is too many"
            )
            gaps.error(name, problem, "Write 1 or more, in the order running, slow, micro_stop")
    return CycleGaps(running=bounds[0], slow=bounds[1], micro_stop=bounds[2])


def read_orders_from(table: Table) -> tuple[OrderSource, ...]:
    """`orders_from`; empty when left out."""
    given = table.strings("orders_from")
    if "orders_from" in table.data and not given and table.ok:
        table.error(
            "orders_from", "nobody is left to say the order", f"Name some of {', '.join(OrderSource)}"
        )
    found = [table.word(("orders_from", index), name, OrderSource) for index, name in enumerate(given)]
    return tuple(source for source in found if source is not None)


def machines(equipment: Mapping[str, Equipment], signals: Iterable[Signal]) -> set[str]:
    """Equipment whose state is told."""
    told = {node.id for node in equipment.values() if node.states or node.cycle_gaps is not None}
    return told | {s.equipment for s in signals if s.role is Role.STATE}


def deciding(equipment: Mapping[str, Equipment]) -> set[tuple[str, str]]:
    """The signals that `states` of machines compare."""
    return {
        (node.id, comparison.signal)
        for node in equipment.values()
        for rule in node.states
        if rule.condition is not None
        for comparison in comparisons(rule.condition)
    }


def check_telling(
    equipment: Mapping[str, Equipment], signals: Mapping[tuple[str, str], Signal], registry: Registry
) -> None:
    """That a machine's state is told in one way, by signals it has."""
    for node in equipment.values():
        table = registry.place("equipment", node.id)
        own = {s.id: s for s in signals.values() if s.equipment == node.id}
        ways = {
            f'the state signal "{next((s.id for s in own.values() if s.role is Role.STATE), "")}"': any(
                s.role is Role.STATE for s in own.values()
            ),
            "states": bool(node.states),
            "state_from": node.cycle_gaps is not None,
        }
        told = [way for way, is_so in ways.items() if is_so]
        if len(told) > 1:
            fix = "Keep one; for a condition over it, a state signal becomes a process_value"
            table.error(told[-1], f"its state is told twice: by {' and by '.join(told)}", fix)
        if node.cycle_gaps is not None and not any(s.role in _CYCLING for s in own.values()):
            fix = f"Add a [[signal]] with one of the roles {', '.join(_CYCLING)}"
            table.error("state_from", "the machine has neither counter nor cycle signal", fix)
        _check_rules(node, own, table, registry)


_CYCLING = (Role.GOOD, Role.TOTAL, Role.REJECT, Role.CYCLE)


def _check_rules(node: Equipment, own: Mapping[str, Signal], table: Table, registry: Registry) -> None:
    usable = [s.id for s in own.values() if s.role in (Role.PROCESS_VALUE, Role.ALARM)]
    counted: dict[str, set[str]] = {}
    for index, rule in enumerate(node.states):
        if rule.means.reason:
            registry.refer("reason", table, ("states", index, "reason"), rule.means.reason)
        for comparison in comparisons(rule.condition) if rule.condition is not None else ():
            where = ("states", index, "when")
            name = comparison.signal
            counted.setdefault(name, set()).add(comparison.text)
            if name not in own:
                fix = (
                    f"Its process values and alarms: {', '.join(usable)}" if usable else "Add the [[signal]]"
                )
                table.error(where, f'{node.id} has no signal "{name}"', suggestion(name, usable, fix))
            elif name not in usable:
                fix = 'Use a signal with role = "process_value" or "alarm"'
                table.error(where, f'"{name}" is a {own[name].role} signal', fix)
    for name, texts in counted.items():
        if len(texts) > MOST:
            problem = f'"{name}" is compared in {len(texts)} ways'
            table.error("states", problem, f"Use at most {MOST} different comparisons with one signal")
