"""What the variables of a source probably are: a role each, with the reasons in words, grouped by machine. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from collectors.onboarding import states
from collectors.onboarding.behaviour import MOST_STATES, Behaviour, Pattern, observe, rises_during
from collectors.onboarding.companion import Known, known, specifications
from collectors.onboarding.found import Kind, Offer, Series, Variable
from collectors.onboarding.grouping import Group, group
from collectors.onboarding.naming import UMLAUTS, hints
from collectors.onboarding.states import Meaning
from plant.model import COUNTER_ROLES, Role
from plant.states import MachineState

ENOUGH = 0.4
"""Confidence from which a role is proposed."""
WORTH_NAMING = 0.15
"""Confidence from which a role is offered as an alternative."""
MOST_VALUES = 20
"""Measured values and alarms proposed for one machine."""

COUNTED_WITH = "the part counter rose during some of its values and not during others"

_FITS: Mapping[Role, Mapping[Kind, float]] = {
    Role.STATE: {Kind.INTEGER: 1.0, Kind.BOOLEAN: 0.9, Kind.TEXT: 0.9, Kind.FLOAT: 0.3},
    **{role: {Kind.INTEGER: 1.0, Kind.FLOAT: 0.6} for role in COUNTER_ROLES},
    Role.CYCLE: {Kind.FLOAT: 1.0, Kind.INTEGER: 0.8},
    Role.ORDER: {Kind.TEXT: 1.0, Kind.INTEGER: 0.6},
    Role.MATERIAL: {Kind.TEXT: 1.0, Kind.INTEGER: 0.8},
    Role.ALARM: {Kind.TEXT: 1.0, Kind.INTEGER: 0.8, Kind.BOOLEAN: 0.8},
    Role.PROCESS_VALUE: {Kind.FLOAT: 1.0, Kind.INTEGER: 0.8},
}
"""How well a kind of value suits a role; a kind left out cannot be it."""

_DID: Mapping[Pattern, tuple[str, Mapping[Role, float]]] = {
    Pattern.COUNTS: ("it only counted up while watched", {
        Role.GOOD: 0.25, Role.REJECT: 0.1, Role.TOTAL: 0.45, Role.STATE: -0.85, Role.PROCESS_VALUE: -0.5,
        Role.CYCLE: -0.7, Role.ORDER: -0.9, Role.ALARM: -0.6}),
    Pattern.STATES: ("it went to and fro between few whole numbers", {
        Role.STATE: 0.35, Role.GOOD: -0.8, Role.REJECT: -0.7, Role.TOTAL: -0.8, Role.REWORK: -0.7, Role.ORDER: -0.3}),
    Pattern.STEPPED: ("it rose once or twice while watched", {
        Role.STATE: -0.1, Role.GOOD: -0.15, Role.REJECT: 0.1, Role.TOTAL: -0.15}),
    Pattern.VARIES: ("its value drifted", {
        Role.PROCESS_VALUE: 0.5, Role.CYCLE: 0.1, Role.STATE: -0.9, Role.GOOD: -0.85, Role.REJECT: -0.85, Role.TOTAL: -0.85,
        Role.REWORK: -0.85, Role.ORDER: -0.8, Role.ALARM: -0.4}),
    Pattern.TOGGLES: ("it went on and off", {Role.STATE: 0.1, Role.ALARM: 0.05}),
    Pattern.TEXT: ("its text changed", {Role.STATE: 0.15}),
    Pattern.CONSTANT: ("it did not change while watched", {
        Role.GOOD: -0.25, Role.TOTAL: -0.35, Role.PROCESS_VALUE: -0.3, Role.STATE: -0.1}),
    Pattern.NOTHING: ("it gave no value while watched", {
        Role.GOOD: -0.5, Role.TOTAL: -0.5, Role.STATE: -0.5, Role.REJECT: -0.4, Role.PROCESS_VALUE: -0.6, Role.ORDER: -0.3}),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A role a variable may have; None: no signal."""

    role: Role | None
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalProposal:
    """What is proposed for one variable."""

    variable: Variable
    behaviour: Behaviour | None
    role: Role | None
    """None: leave it out."""
    confidence: float
    reasons: tuple[str, ...]
    alternatives: tuple[Role, ...] = ()
    id: str = ""
    states: Mapping[str, Meaning] = field(default_factory=dict)
    modulus: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineProposal:
    """A machine and its signals; those without a role come last."""

    id: str
    name: str
    why: str
    signals: tuple[SignalProposal, ...]
    cycle: float | None = None
    """Seconds per part it made while watched, or its design speed says: a hint for the ideal cycle."""
    cycle_why: str = ""
    problems: tuple[str, ...] = ()
    """What keeps its OEE from being shown, with the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """All machines of a source, and the variables that belong to none."""

    machines: tuple[MachineProposal, ...]
    others: tuple[SignalProposal, ...]


def propose(offer: Offer, watched: Mapping[str, Series], until: float) -> Proposal:
    """The proposal for a source. `watched`: address to what it said, empty when nothing was watched; `until`: seconds
    from its beginning to its end."""
    behaviours = {
        v.address: observe(v, watched[v.address], until) for v in offer.variables if v.address in watched
    }
    judged = [_judge(v, behaviours.get(v.address)) for v in offer.variables]
    groups, rest = group([(s.variable, s.role) for s in judged], offer.name)
    by_address = {s.variable.address: s for s in judged}
    taken: set[str] = set()
    machines = []
    for found in groups:
        members = [by_address[address] for address in found.addresses]
        machines.append(_machine(found, members, watched, until, taken))
    return Proposal(machines=tuple(machines), others=tuple(by_address[address] for address in rest))


def candidates(variable: Variable, behaviour: Behaviour | None) -> list[Candidate]:
    """The roles a variable may have, the likeliest first."""
    evidence: dict[Role, list[tuple[float, str]]] = {role: [] for role in Role}
    for hint in hints([step.name for step in variable.path]):
        evidence[hint.role].append((hint.weight, hint.why))
    if variable.names:
        said = ", ".join(list(variable.names.values())[:4])
        evidence[Role.STATE].append((_named_like_states(variable), f"the server names its values: {said}"))
    if variable.unit and variable.kind in (Kind.FLOAT, Kind.INTEGER):
        evidence[Role.PROCESS_VALUE].append((0.45, f"it has a unit, {variable.unit}"))
    if behaviour is not None:
        why, weights = _DID[behaviour.pattern]
        for role, weight in weights.items():
            evidence[role].append((weight, why))
        if behaviour.pattern is Pattern.TOGGLES and behaviour.rate > 0.2:
            evidence[Role.STATE].append((-0.7, "it goes on and off too often for a state"))
    found = []
    for role, said_for in evidence.items():
        fits = _FITS[role].get(variable.kind, 0.0)
        confidence = _combined([weight for weight, _ in said_for]) * fits
        if confidence > 0:
            # A reason that hardly counts only lengthens the list.
            reasons = [why for weight, why in sorted(said_for, key=lambda e: -e[0]) if abs(weight) >= 0.1]
            found.append(Candidate(role=role, confidence=confidence, reasons=tuple(dict.fromkeys(reasons))))
    return sorted(found, key=lambda c: -c.confidence)


def likeliest(variables: Sequence[Variable], most: int) -> list[Variable]:
    """The variables that look most like a signal by what they are and how they are called."""

    def doubt(variable: Variable) -> float:
        found = candidates(variable, None)
        return -1.0 if known(variable) is not None else -found[0].confidence if found else 0.0

    return sorted(variables, key=doubt)[:most]


def _combined(weights: Sequence[float]) -> float:
    """Independent hints: each for it takes away from the doubt, each against it from what is left."""
    doubt = prod(1 - w for w in weights if w > 0)
    return (1 - doubt) * prod(1 + w for w in weights if w < 0)


def _named_like_states(variable: Variable) -> float:
    known_names = [states.by_name(name) for name in variable.names.values()]
    share = sum(m is not None for m in known_names) / len(known_names)
    return 0.2 + 0.5 * share


def _judge(variable: Variable, behaviour: Behaviour | None) -> SignalProposal:
    found = candidates(variable, behaviour)
    alternatives = tuple(c.role for c in found if c.role is not None and c.confidence >= WORTH_NAMING)
    said = known(variable)
    if said is not None:
        return _as_specified(variable, behaviour, said, alternatives)
    if variable.kind is Kind.OTHER:
        why = (f"{variable.data_type}: a collector reads single values",)
        return _left_out(variable, behaviour, why, ())
    if not found or found[0].confidence < ENOUGH:
        reasons = (found[0].reasons if found else ()) or ("nothing speaks for a role",)
        return _left_out(variable, behaviour, reasons, alternatives)
    best = found[0]
    return SignalProposal(
        variable=variable,
        behaviour=behaviour,
        role=best.role,
        confidence=best.confidence,
        reasons=best.reasons,
        alternatives=tuple(role for role in alternatives if role is not best.role),
    )


def _as_specified(
    variable: Variable, behaviour: Behaviour | None, said: Known, alternatives: tuple[Role, ...]
) -> SignalProposal:
    reasons: tuple[str, ...] = (said.why,)
    role = said.role
    if role is not None and variable.kind is Kind.OTHER:
        role = None
        reasons = (f"{said.why}; but it is {variable.data_type}, and a collector reads single values",)
    elif variable.status != "Good" and variable.value is None:
        reasons = (*reasons, f"it has no value now ({variable.status})")
    return SignalProposal(
        variable=variable,
        behaviour=behaviour,
        role=role,
        confidence=said.confidence,
        reasons=reasons,
        alternatives=tuple(a for a in alternatives if a is not role),
        states=said.states,
    )


def _left_out(
    variable: Variable,
    behaviour: Behaviour | None,
    reasons: tuple[str, ...],
    alternatives: tuple[Role, ...],
) -> SignalProposal:
    return SignalProposal(
        variable=variable,
        behaviour=behaviour,
        role=None,
        confidence=0.0,
        reasons=reasons,
        alternatives=alternatives,
    )


def _machine(
    found: Group,
    members: Sequence[SignalProposal],
    watched: Mapping[str, Series],
    until: float,
    taken: set[str],
) -> MachineProposal:
    members = _with_a_state(members, watched, until)
    order = [
        Role.STATE,
        *COUNTER_ROLES,
        Role.CYCLE,
        Role.ORDER,
        Role.MATERIAL,
        Role.ALARM,
        Role.PROCESS_VALUE,
        None,
    ]
    chosen = _without_pulses(_one_of_each(members))
    chosen.sort(key=lambda s: (order.index(s.role), -s.confidence, s.variable.place))
    signals = _completed(chosen, watched, until)
    by_role = {s.role: s for s in reversed(signals) if s.role is not None}
    machine_id = unique(slug(found.name) or "machine", taken)
    taken.add(machine_id)
    counter = by_role.get(Role.GOOD) or by_role.get(Role.TOTAL)
    cycle, why = _cycle(members, by_role.get(Role.STATE), counter, watched, until)
    return MachineProposal(
        id=machine_id,
        name=found.name,
        why=_why(found, members),
        signals=signals,
        cycle=cycle,
        cycle_why=why,
        problems=_problems(by_role),
    )


def adjusted(
    machine: MachineProposal,
    roles: Mapping[str, Role | None],
    meanings: Mapping[str, MachineState],
    watched: Mapping[str, Series],
    until: float,
) -> MachineProposal:
    """The proposal as somebody who knows the machine wants it: `roles` by address, `meanings` by raw value of its state."""
    chosen = []
    for signal in machine.signals:
        role = roles.get(signal.variable.address, signal.role)
        if role is not signal.role:
            signal = replace(signal, role=role, confidence=1.0, reasons=("you said so",))
        chosen.append(signal)
    signals = []
    for signal in _completed(chosen, watched, until):
        if signal.role is Role.STATE:
            said = {
                raw: Meaning(state=state, why="you said so")
                for raw, state in meanings.items()
                if raw not in signal.states or signal.states[raw].state is not state
            }
            signal = replace(signal, states={**signal.states, **said})
        signals.append(signal)
    by_role = {s.role: s for s in reversed(signals) if s.role is not None}
    return replace(machine, signals=tuple(signals), problems=_problems(by_role))


def _completed(
    signals: Sequence[SignalProposal], watched: Mapping[str, Series], until: float
) -> tuple[SignalProposal, ...]:
    """Signals with what their roles need."""
    by_role = {s.role: s for s in reversed(signals) if s.role is not None}
    counter = by_role.get(Role.GOOD) or by_role.get(Role.TOTAL)
    ids: set[str] = set()
    found = []
    for signal in signals:
        if signal.role is None:
            found.append(replace(signal, id=""))
            continue
        name = _signal_id(signal, ids)
        ids.add(name)
        completed = replace(signal, id=name, modulus=_modulus(signal))
        if signal.role is Role.STATE:
            completed = with_states(completed, counter, watched, until)
        found.append(completed)
    return tuple(found)


def with_states(
    signal: SignalProposal, counter: SignalProposal | None, watched: Mapping[str, Series], until: float
) -> SignalProposal:
    """A state signal with what its values mean: what its specification says, what the server or its texts call
    them, and what the part counter did while each held."""
    variable, behaviour = signal.variable, signal.behaviour
    series = watched.get(variable.address, ())
    seen = list(dict.fromkeys([*(value for _, value in series), variable.value]))[:MOST_STATES]
    during = rises_during(series, watched.get(counter.variable.address, ()), until) if counter else {}
    counted = states.by_counter({value: did for value, did in during.items() if value in seen})
    meanings: dict[str, Meaning] = dict(signal.states)
    if not meanings and variable.names:
        meanings = states.by_names(variable.names)
    if not meanings and variable.kind is Kind.BOOLEAN:
        meanings = states.of_boolean(variable.name)
    if not meanings and variable.kind is Kind.TEXT:
        meanings = states.by_names({str(v): str(v) for v in seen if v not in (None, "")})
    for raw, meaning in {**states.unknown(seen), **counted}.items():
        if raw == "" or (raw in meanings and not _outvoted(meanings[raw], meaning)):
            continue
        meanings[raw] = meaning
    reasons = signal.reasons
    if behaviour is not None and len(counted) > 1 and COUNTED_WITH not in reasons:
        reasons = (*reasons, COUNTED_WITH)
    return replace(signal, states=meanings, reasons=reasons)


def _outvoted(said: Meaning, counted: Meaning) -> bool:
    """Whether parts were counted, for long enough, during a value that does not sound like running."""
    return (
        not said.sure
        and counted.sure
        and counted.state is MachineState.RUNNING
        and said.state is not counted.state
    )


def _with_a_state(
    members: Sequence[SignalProposal], watched: Mapping[str, Series], until: float
) -> Sequence[SignalProposal]:
    """Where no name says which is the state: the variable of few values that parts are counted in some of, and not in
    others."""
    if any(s.role is Role.STATE for s in members):
        return members
    counters = [s for s in members if s.role in (Role.GOOD, Role.TOTAL)]
    found: list[tuple[float, SignalProposal]] = []
    for signal in members:
        did = signal.behaviour
        few = did is not None and (
            did.pattern in (Pattern.STATES, Pattern.STEPPED)
            or (did.pattern is Pattern.TOGGLES and did.rate <= 0.2)
        )
        if not few or signal.role is not None or known(signal.variable) is not None:
            continue
        for counter in counters:
            during = rises_during(watched[signal.variable.address], watched[counter.variable.address], until)
            meant = states.by_counter(during)
            running = [raw for raw, m in meant.items() if m.state is MachineState.RUNNING]
            if running and len(running) < len(meant):
                stood = sum(s for value, (_, s) in during.items() if states.raw(value) not in running)
                found.append((min(stood / until, 0.5), signal))
    if not found:
        return members
    best = max(found, key=lambda pair: pair[0])[1]
    chosen = replace(best, role=Role.STATE, confidence=0.5, reasons=(COUNTED_WITH,))
    return [chosen if s is best else s for s in members]


def _one_of_each(members: Sequence[SignalProposal]) -> list[SignalProposal]:
    """One state, one of each counter and one order; parts said three times are counted once."""
    single = (Role.STATE, *COUNTER_ROLES, Role.ORDER, Role.MATERIAL)
    best: dict[Role, SignalProposal] = {}
    for signal in sorted(members, key=_likeliest):
        if signal.role in single and signal.role not in best:
            best[signal.role] = signal
    if Role.GOOD in best and Role.REJECT in best and Role.TOTAL in best:
        del best[Role.TOTAL]
    found, values = [], 0
    for signal in members:
        shown = signal.role in (Role.PROCESS_VALUE, Role.ALARM, Role.CYCLE)
        second = signal.role in single and best.get(signal.role) is not signal
        values += shown
        found.append(_set_aside(signal, best) if second or (shown and values > MOST_VALUES) else signal)
    return found


def _likeliest(signal: SignalProposal) -> tuple[float, float, int, str]:
    """To sort by: the surest first, of equal ones the fastest counter."""
    rate = signal.behaviour.rate if signal.behaviour else 0.0
    return (-round(signal.confidence, 2), -rate, len(signal.variable.path), signal.variable.place)


def _set_aside(signal: SignalProposal, best: Mapping[Role, SignalProposal]) -> SignalProposal:
    role = signal.role
    assert role is not None
    if role in best:
        why = f"{best[role].variable.name} is more likely the {role} signal, and there is one"
    elif role is Role.TOTAL:
        why = "good and rejected parts are counted: a total says nothing more"
    else:
        why = f"there are {MOST_VALUES} measured values and alarms already"
    alternatives = (role, *(a for a in signal.alternatives if a is not role))
    return replace(signal, role=None, reasons=(why, *signal.reasons), alternatives=alternatives)


def _without_pulses(signals: list[SignalProposal]) -> list[SignalProposal]:
    """A boolean that goes on once for each part says nothing the counter does not."""
    rates = [
        s.behaviour.rate
        for s in signals
        if s.role in (Role.GOOD, Role.TOTAL) and s.behaviour and s.behaviour.pattern is Pattern.COUNTS
    ]
    found = []
    for signal in signals:
        did = signal.behaviour
        pulses = did is not None and did.pattern is Pattern.TOGGLES and did.changes >= 6
        if pulses and did is not None and any(0.8 * rate <= did.rate <= 1.25 * rate for rate in rates):
            why = "it goes on once for each part: a pulse, which says nothing the counter does not"
            signal = replace(signal, role=None, confidence=0.0, reasons=(why,))
        found.append(signal)
    return found


def _cycle(
    members: Sequence[SignalProposal],
    state: SignalProposal | None,
    counter: SignalProposal | None,
    watched: Mapping[str, Series],
    until: float,
) -> tuple[float | None, str]:
    for signal in members:
        speed = signal.variable.value
        if (
            signal.variable.name == "MachDesignSpeed"
            and isinstance(speed, int | float)
            and not isinstance(speed, bool)
            and speed > 0
        ):
            return 60 / speed, f"its MachDesignSpeed is {speed:g} a minute"
    if counter is None or counter.behaviour is None or counter.behaviour.pattern is not Pattern.COUNTS:
        return None, ""
    rate = counter.behaviour.rate
    if state is not None:
        during = rises_during(
            watched.get(state.variable.address, ()), watched.get(counter.variable.address, ()), until
        )
        rate = max([rate, *(rise / seconds for rise, seconds in during.values() if seconds >= 5)])
    return 1 / rate, "what it made while watched; the ideal cycle is rather shorter"


def _problems(by_role: Mapping[Role, SignalProposal]) -> tuple[str, ...]:
    found = []
    if Role.STATE not in by_role:
        found.append("No state signal: choose the variable that says whether it runs.")
    if Role.GOOD not in by_role and Role.TOTAL not in by_role:
        found.append("No part counter: it will have an availability, but no performance and no OEE.")
    return tuple(found)


def _modulus(signal: SignalProposal) -> int | None:
    """A 16 bit counter starts again after 65,535; a wider one rarely lives that long."""
    counts = signal.role in COUNTER_ROLES and signal.variable.data_type.lower() == "uint16"
    return 65_536 if counts else None


def _signal_id(signal: SignalProposal, taken: set[str]) -> str:
    own = (Role.STATE, *COUNTER_ROLES, Role.ORDER, Role.MATERIAL)
    assert signal.role is not None
    name = str(signal.role) if signal.role in own else slug(signal.variable.name) or str(signal.role)
    return unique(name, taken)


def _why(found: Group, members: Sequence[SignalProposal]) -> str:
    specified = [name for s in members for name in specifications(s.variable.path)]
    if specified:
        return f"{found.why}; it follows {' and '.join(dict.fromkeys(specified))}"
    return found.why


def common_folders(signals: Sequence[SignalProposal]) -> int:
    """How many steps the paths of all signals begin with in common; what is common needs not be read on each line."""
    paths = [[step.name for step in s.variable.path[:-1]] for s in signals]
    common = 0
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        common += 1
    return common


def slug(name: str) -> str:
    """An id as the plant file allows: "Füller 1" is fueller-1."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name.translate(UMLAUTS))
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:48].strip("-")


def unique(name: str, taken: set[str]) -> str:
    """The name, or with the first number that is free."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
