"""What is proposed for a source nobody has seen before: roles by names, companion specifications and behaviour; machines;
what states mean."""

from collections.abc import Sequence

import pytest

from collectors.onboarding import OnboardingError, scheme
from collectors.onboarding.behaviour import Behaviour, Pattern, observe, rises_during
from collectors.onboarding.companion import MACHINE_TOOL, MACHINERY, PACKML, UA
from collectors.onboarding.found import Kind, Offer, Series, Step, Variable
from collectors.onboarding.naming import rest_of, words_of
from collectors.onboarding.propose import (
    MachineProposal,
    Proposal,
    SignalProposal,
    adjusted,
    likeliest,
    propose,
    slug,
)
from collectors.onboarding.states import by_counter, by_name
from plant.model import Role
from plant.states import MachineState

KINDS = {
    "int": Kind.INTEGER,
    "float": Kind.FLOAT,
    "bool": Kind.BOOLEAN,
    "text": Kind.TEXT,
    "array": Kind.OTHER,
}
COUNTS = [(t / 2, 100 + t) for t in range(20)]
DRIFTS = [(t / 2, 20 + (t * 7 % 5) / 3) for t in range(20)]
SWITCHES = [(0.0, 3), (3.0, 5), (6.0, 3)]
STEADY = [(0.0, 7)]
PULSES = [(t / 4, t % 2 == 1) for t in range(40)]
UNTIL = 10.0


def variable(path: str, kind: str = "int", **more: object) -> Variable:
    """A variable at a path; a step may be written uri|name|type uri|type name."""
    steps = []
    for step in path.split(" > "):
        uri, name, type_uri, type_name = (
            ([*step.split("|"), "", "", ""])[:4] if "|" in step else ("", step, "", "")
        )
        steps.append(Step(name=name, uri=uri, type_uri=type_uri, type_name=type_name))
    given = {
        "data_type": {"int": "UInt32", "float": "Double", "bool": "Boolean", "text": "String"}.get(kind, kind)
    }
    return Variable(address=path, path=tuple(steps), kind=KINDS[kind], **(given | more))  # type: ignore[arg-type]


def proposed(*found: tuple[Variable, Series] | Variable, until: float = UNTIL, name: str = "PLC") -> Proposal:
    pairs = [v if isinstance(v, tuple) else (v, [(0.0, v.value)]) for v in found]
    offer = Offer(
        url="opc.tcp://h",
        protocol="opcua",
        options={},
        product="p",
        name=name,
        variables=tuple(v for v, _ in pairs),
    )
    return propose(offer, {v.address: series for v, series in pairs}, until)


def roles(signals: Sequence[SignalProposal]) -> dict[str, str | None]:
    return {s.variable.name: s.role and str(s.role) for s in signals}


def only(proposal: Proposal) -> MachineProposal:
    (machine,) = proposal.machines
    return machine


NAMES = [
    # the path, the kind of value, and the role it is given by its name alone
    ("Press > State", "int", "state"),
    ("Press > MachineStatus", "int", "state"),
    ("Press > Betriebszustand", "int", "state"),
    ("Press > Maschinenzustand", "text", "state"),
    ("Press > bRunning", "bool", "state"),
    ("Press > GoodParts", "int", "good"),
    ("Press > Gutteile", "int", "good"),
    ("Press > Zähler > OK", "int", "good"),
    ("Press > Counter_GOOD_Total", "int", "good"),
    ("Press > NOK", "int", "reject"),
    ("Press > Ausschusszähler", "int", "reject"),
    ("Press > nScrapCnt", "int", "reject"),
    ("Press > Nacharbeit", "int", "rework"),
    ("Press > Stückzähler", "int", "total"),
    ("Press > PartCount", "int", "total"),
    ("Press > Taktzeit", "float", "cycle"),
    ("Press > CycleTime", "float", "cycle"),
    ("Press > Auftragsnummer", "text", "order"),
    ("Press > WorkOrder", "text", "order"),
    ("Press > ErrorCode", "int", "alarm"),
    ("Press > Störungstext", "text", "alarm"),
    ("Press > Drehzahl", "float", "process_value"),
    ("Press > AlarmCount", "int", "alarm"),
    ("Press > SpindleTemperature", "float", "process_value"),
    # what only looks like one
    ("Press > TargetCount", "int", None),
    ("Press > Sollmenge", "int", None),
    ("Press > Betriebsstunden", "int", None),
    ("Press > StateRequested", "int", None),
    ("Press > Heartbeat", "int", None),
    ("Press > DoorState", "bool", None),
    ("Press > GoodPartsText", "text", None),
    ("Press > Recipe", "text", None),
    ("Press > x17", "int", None),
]


@pytest.mark.parametrize(("path", "kind", "role"), NAMES, ids=[path for path, *_ in NAMES])
def test_names_say_roles(path: str, kind: str, role: str | None) -> None:
    offered = propose(
        Offer(
            url="", protocol="opcua", options={}, product="", name="PLC", variables=(variable(path, kind),)
        ),
        {},
        0,
    )
    signals = [s for m in offered.machines for s in m.signals] or list(offered.others)
    assert roles(signals) == {path.rpartition(" > ")[2]: role}


BEHAVIOURS = [
    # a name that says little, what it did, and the role
    ("DB10.W4", "int", COUNTS, "total"),
    ("State", "int", COUNTS, None),
    ("DB10.W4", "int", SWITCHES, None),  # to and fro is not enough for a state ...
    ("Sts", "int", SWITCHES, "state"),  # ... with a hint of a name it is
    ("Total", "int", SWITCHES, None),
    ("DB10.R4", "float", DRIFTS, "process_value"),
    ("GoodParts", "float", DRIFTS, "process_value"),
    ("Running", "bool", PULSES, None),
    ("Ausschuss", "int", STEADY, "reject"),  # rejects are rare
    ("Ausschuss", "int", [(0.0, 1), (4.0, 2)], "reject"),
]


@pytest.mark.parametrize(("name", "kind", "series", "role"), BEHAVIOURS)
def test_what_it_did_says_more(name: str, kind: str, series: Series, role: str | None) -> None:
    found = proposed((variable(f"Press > {name}", kind), series))
    signals = [s for m in found.machines for s in m.signals] or list(found.others)
    assert roles(signals) == {name: role}


def test_behaviour_is_told_from_what_was_seen() -> None:
    def seen(kind: str, series: Series) -> Behaviour:
        return observe(variable("x", kind), series, UNTIL)

    assert seen("int", []).pattern is Pattern.NOTHING
    assert seen("int", [(0, None)]).pattern is Pattern.NOTHING
    assert seen("int", STEADY).pattern is Pattern.CONSTANT
    assert (seen("int", COUNTS).pattern, seen("int", COUNTS).rate) == (Pattern.COUNTS, 1.9)
    assert seen("int", SWITCHES).pattern is Pattern.STATES
    assert seen("int", [(0, 1), (5, 2)]).pattern is Pattern.STEPPED
    assert seen("float", DRIFTS).pattern is Pattern.VARIES
    assert (seen("bool", PULSES).pattern, seen("bool", PULSES).rate) == (Pattern.TOGGLES, 2.0)
    assert seen("text", [(0, "a"), (1, "b")]).pattern is Pattern.TEXT
    reset = seen("int", [*COUNTS[:10], (6.0, 0), (7.0, 1), (8.0, 2)])
    assert (reset.pattern, reset.resets) == (Pattern.COUNTS, 1)
    assert seen("float", [(0, float("nan")), (1, float("inf"))]).pattern is Pattern.NOTHING
    assert len(seen("int", COUNTS).line) == 40
    assert seen("int", COUNTS).line[0] == 100 and seen("int", COUNTS).line[-1] == 119


def test_the_value_during_which_parts_are_counted_is_running() -> None:
    state = [(0.0, 3), (10.0, 5), (20.0, 3), (30.0, 7)]
    counter = [(float(t), min(t, 9) if t <= 20 else t - 11) for t in range(30)]
    during = rises_during(state, counter, 40)
    assert during == {3: (18.0, 20.0), 5: (0.0, 10.0), 7: (0.0, 10.0)}
    meant = by_counter(during)
    assert {raw: m.state for raw, m in meant.items()} == {
        "3": MachineState.RUNNING,
        "5": MachineState.DOWN,
        "7": MachineState.DOWN,
    }
    assert [meant[raw].sure for raw in "357"] == [True, False, False]
    assert by_counter({3: (0.0, 10.0)}) == {}


def test_what_rose_from_one_value_to_another_says_nothing() -> None:
    polled_state = [(0.0, True), (4.0, False), (6.0, True), (10.0, False)]
    polled_count = [
        *((float(t), t * 5) for t in range(4)),
        (4.0, 18),
        (6.0, 20),
        (7.0, 25),
        (8.0, 30),
        (10.0, 33),
    ]
    during = rises_during(polled_state, polled_count, 12)
    assert during == {True: (25.0, 8.0), False: (0.0, 4.0)}


def test_a_state_that_no_name_tells_is_the_one_that_parts_are_counted_in() -> None:
    state = [(0.0, 4), (4.0, 2), (6.0, 4), (10.0, 2)]
    other = [(0.0, 1), (2.0, 9), (3.0, 1), (7.0, 9), (8.0, 1)]
    count = [(t / 2, 100 + (t if t <= 8 else max(t - 4, 8))) for t in range(21)]
    machine = only(
        proposed((variable("r20"), other), (variable("r10"), state), (variable("r11"), count), until=12.0)
    )
    assert roles(machine.signals) == {"r10": "state", "r11": "total", "r20": None}
    (found,) = [s for s in machine.signals if s.role is Role.STATE]
    assert {raw: str(m.state) for raw, m in found.states.items()} == {"4": "running", "2": "down"}
    assert machine.problems == ()


WORDS = [
    ("Execute", "running", True),
    ("RUNNING", "running", True),
    ("Produktion", "running", True),
    ("Läuft", "running", True),
    ("Automatic", "running", False),
    ("Störung", "down", True),
    ("Alarm active", "down", True),
    ("NotExecuting", "down", True),
    ("not running", "down", True),
    ("Nicht bereit", "down", False),
    ("Idle", "down", False),
    ("Rüsten", "setup", True),
    ("ChangeOver", "setup", True),
    ("Wartung", "maintenance", True),
    ("OutOfService", "maintenance", True),
    ("Suspended", "starved", False),
    ("Materialmangel", "starved", True),
    ("Rückstau", "blocked", True),
    ("Pause", "planned_stop", True),
    ("NotAvailable", "unknown", True),
    ("Mode 7", None, None),
]


@pytest.mark.parametrize(("name", "state", "sure"), WORDS)
def test_states_by_their_words(name: str, state: str | None, sure: bool | None) -> None:
    meant = by_name(name)
    assert (meant and str(meant.state), meant and meant.sure) == (state, sure)


def test_the_servers_own_names_of_values_are_used() -> None:
    names = {"0": "Off", "1": "Running", "2": "Fault", "3": "Xyz"}
    machine = only(proposed(variable("Press > S1", names=names, value=1), (variable("Press > Good"), COUNTS)))
    (state,) = [s for s in machine.signals if s.role is Role.STATE]
    meant = {raw: (str(m.state), m.sure) for raw, m in state.states.items()}
    assert meant == {
        "0": ("planned_stop", False),
        "1": ("running", True),
        "2": ("down", True),
        "3": ("down", False),
    }


def test_counting_outvotes_a_doubtful_word_but_not_a_clear_one() -> None:
    series = [(0.0, "Auto bereit"), (8.0, "Fault")]
    text = variable("Press > State", "text", value="Fault")
    machine = only(proposed((text, series), (variable("Press > Good"), COUNTS)))
    meant = {raw: str(m.state) for raw, m in machine.signals[0].states.items()}
    assert meant == {"Auto bereit": "running", "Fault": "down"}
    clear = (variable("Press > State", "text", value="Fault"), [(0.0, "Fault"), (9.0, "Running")])
    machine = only(proposed(clear, (variable("Press > Good"), COUNTS)))
    assert str(machine.signals[0].states["Fault"].state) == "down"


def test_packml_is_known_by_its_tags_and_its_types() -> None:
    machine = only(
        proposed(
            variable("Filler > Status > StateCurrent", value=6),
            variable("Filler > Status > UnitModeCurrent", value=1),
            variable("Filler > Command > StateRequested", value=6),
            variable("Filler > Admin > ProdProcessedCount", value=10),
            variable("Filler > Admin > ProdDefectiveCount", value=1),
            variable("Filler > Admin > MachDesignSpeed", "float", value=120.0),
            variable("Filler > Status > CurMachSpeed", "float", value=110.0),
        )
    )
    assert machine.name == "Filler"
    assert roles(machine.signals) == {
        "StateCurrent": "state",
        "ProdProcessedCount": "total",
        "ProdDefectiveCount": "reject",
        "CurMachSpeed": "process_value",
        "MachDesignSpeed": None,
        "UnitModeCurrent": None,
        "StateRequested": None,
    }
    assert {raw for raw, m in machine.signals[0].states.items() if m.state is MachineState.RUNNING} == {"6"}
    assert (machine.cycle, "MachDesignSpeed" in machine.cycle_why) == (0.5, True)


def test_machinery_and_machine_tools_are_known_by_namespace_and_type() -> None:
    tool = f"urn:m|Mill 4|{MACHINE_TOOL}|MachineToolType"
    item = f"{MACHINERY}|State|{MACHINERY}|MachineryItemState_StateMachineType"
    mode = f"{MACHINERY}|MachineryOperationMode|{MACHINERY}|MachineryOperationModeStateMachineType"
    program = f"{MACHINE_TOOL}|ActiveProgram > {MACHINE_TOOL}|State"
    machine = only(
        proposed(
            variable(
                f"Machines > {tool} > Monitoring > {item} > {UA}|CurrentState", "text", value="Executing"
            ),
            variable(f"Machines > {tool} > Monitoring > {mode} > {UA}|CurrentState", "text", value="Setup"),
            variable(
                f"Machines > {tool} > Production > {program} > {UA}|CurrentState", "text", value="Running"
            ),
            (variable(f"Machines > {tool} > Production > {MACHINE_TOOL}|PartsProducedInLifetime"), COUNTS),
        )
    )
    assert (machine.name, machine.id) == ("Mill 4", "mill-4")
    assert "Machinery and Machine Tools" in machine.why or "Machine Tools and Machinery" in machine.why
    state, parts = (s for s in machine.signals if s.role is not None)
    assert (state.role, state.variable.path[-2].name) == (Role.STATE, "State")
    assert state.states["Executing"].state is MachineState.RUNNING
    assert parts.role is Role.TOTAL


def test_a_structure_is_named_but_not_proposed() -> None:
    count = variable(f"M > {PACKML}|ProdProcessedCount", "array", data_type="an array of PackMLCountDataType")
    machine = only(proposed(variable("M > StateCurrent"), count))
    (left,) = [s for s in machine.signals if s.variable is count]
    assert left.role is None
    assert "PackMLCountDataType" in left.reasons[0]


GROUPS = [
    # paths of a state and a counter for each machine, and the machines
    (["Line > Filler > State", "Line > Filler > Good", "Line > Capper > State", "Line > Capper > Good"],
     {"Filler": 2, "Capper": 2}),
    (["PLC > Press > Status > State", "PLC > Press > Counters > Good"], {"Press": 2}),
    (["Filler_State", "Filler_Good", "Capper_State", "Capper_Good"], {"Filler": 2, "Capper": 2}),
    (["PLC > Filler_State", "PLC > Filler_Good", "PLC > Capper_State", "PLC > LineSpeed"],
     {"Filler": 2, "Capper": 1}),
    (["State", "Good"], {"PLC": 2}),
    (["M1 > State", "M2 > State"], {"M1": 1, "M2": 1}),
    (["Press > State", "Press > Good", "Press > Axis1 > State", "Press > Axis2 > State"], {"Press": 4}),
    (["Status > State", "Counters > Good"], {"PLC": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("paths", "machines"), GROUPS, ids=[" + ".join(p) for p, _ in GROUPS])
def test_machines_are_found_by_where_signals_stand(paths: list[str], machines: dict[str, int]) -> None:
    found = proposed(
        *(
            (variable(path, "float" if "Speed" in path else "int"), COUNTS if "Good" in path else SWITCHES)
            for path in paths
        )
    )
    assert {m.name: len(m.signals) for m in found.machines} == machines


def test_each_machine_has_one_state_and_one_of_each_counter() -> None:
    machine = only(
        proposed(
            (variable("P > State"), SWITCHES),
            (variable("P > StateOld"), SWITCHES),
            (variable("P > GoodCount"), COUNTS),
            (variable("P > GoodShift"), COUNTS),
            (variable("P > Reject"), STEADY),
            (variable("P > TotalCount"), COUNTS),
            (variable("P > PartPulse", "bool"), [(t / 4, t % 2 == 1) for t in range(40)]),
        )
    )
    given = [str(s.role) for s in machine.signals if s.role]
    assert given == ["state", "good", "reject"]
    total = next(s for s in machine.signals if s.variable.name == "TotalCount")
    assert Role.TOTAL in total.alternatives and "says nothing more" in total.reasons[0]
    pulse = next(s for s in machine.signals if s.variable.name == "PartPulse")
    assert "once for each part" in pulse.reasons[0]


def test_what_is_missing_for_an_oee_is_said() -> None:
    assert "availability" in only(proposed((variable("P > State"), SWITCHES))).problems[0]
    assert "No state signal" in only(proposed((variable("P > Good"), COUNTS))).problems[0]
    assert proposed(variable("P > Recipe", "text")).machines == ()


def test_somebody_who_knows_better_changes_roles_and_meanings() -> None:
    good, hidden = (variable("P > Good"), COUNTS), (variable("P > x7"), SWITCHES)
    machine = only(proposed(good, hidden))
    watched = {v.address: s for v, s in (good, hidden)}
    changed = adjusted(
        machine, {"P > x7": Role.STATE}, {"5": MachineState.SETUP, "9": MachineState.BLOCKED}, watched, UNTIL
    )
    assert (machine.problems != (), changed.problems) == (True, ())
    state = next(s for s in changed.signals if s.role is Role.STATE)
    assert (state.id, {raw: str(m.state) for raw, m in state.states.items()}) == (
        "state",
        {"3": "running", "5": "setup", "9": "blocked"},
    )
    again = adjusted(changed, {"P > x7": None}, {}, watched, UNTIL)
    assert "No state signal" in again.problems[0]


def test_the_likeliest_are_watched_when_not_all_can_be() -> None:
    dull = [variable(f"PLC > x{n}") for n in range(50)]
    found = likeliest([*dull, variable("PLC > Betriebszustand"), variable("F > Status > StateCurrent")], 2)
    assert [v.name for v in found] == ["StateCurrent", "Betriebszustand"]


def test_words_of_names() -> None:
    assert words_of("GutTeile_Zähler1") == ("gut", "teile", "zaehler", "1")
    assert words_of("nPLCStateOK") == ("n", "plc", "state", "ok")
    assert rest_of("Filler_Head1_State") == ("filler", "head", "1")
    assert rest_of("State") == ()
    assert slug("Füller 1 / Süd") == "fueller-1-sued"


def test_only_addresses_of_known_protocols_are_looked_at() -> None:
    assert scheme("opc.tcp://host:4840") == "opc.tcp"
    for url in (
        "file:///etc/passwd",
        "opc.tcp://",
        "host:4840",
        "http+unix://x",
        "opc.tcp://h\n",
        "opc.tcp://" + "h" * 600,
    ):
        with pytest.raises(OnboardingError, match="write it like"):
            scheme(url)
