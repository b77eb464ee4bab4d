"""How the plant file says what a machine does: codes, ranges, bits, PackML, conditions, and the time between parts."""

import tomllib
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from analytics.ledger.gaps import states_from_cycles
from pipelines.derive import derive, facts
from plant.expressions import ExpressionError
from plant.expressions import parse as condition
from plant.frames import SAMPLES, Window
from plant.model import CycleGaps, OrderSource, Plant, Role
from plant.parse import PlantErrors, parse
from plant.states import MachineState

START = datetime(2026, 3, 2, 6, tzinfo=UTC)

HEAD = """
schema = 1
[site]
id = "s"
name = "Site"
zone = "UTC"
[[reason]]
id = "fault"
name = "Fault"
[[material]]
id = "cola"
name = "Cola"
ideal_cycle = [{ equipment = "m", cycle = "10s" }]
"""
MACHINE = """
[[equipment]]
id = "m"
name = "M"
level = "WorkUnit"
"""
STATE = """
[[signal]]
equipment = "m"
id = "state"
role = "state"
"""


def plant(text: str) -> Plant:
    return parse({"plant.toml": tomllib.loads(HEAD + text)})


def problems(text: str) -> list[tuple[str, str]]:
    with pytest.raises(PlantErrors) as found:
        plant(text)
    return [(error.path, f"{error.problem}; {error.fix}") for error in found.value.errors]


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def samples(**series: list[tuple[float, float | str | None]]) -> pl.DataFrame:
    rows = [
        (
            at(second),
            "m",
            signal,
            None if isinstance(value, str) else value,
            value if isinstance(value, str) else None,
            0,
            at(second),
        )
        for signal, points in series.items()
        for second, value in points
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def told(
    of: Plant, until: float, **series: list[tuple[float, float | str | None]]
) -> list[tuple[object, ...]]:
    found = facts(samples(**series), of, at(until))
    states = states_from_cycles(found.intervals, found.increments, found.runs, of)
    rows = states.select("start", "end", "raw", "state", "reason").iter_rows()
    return [((a - START).total_seconds(), (b - START).total_seconds(), *said) for a, b, *said in rows]


def test_a_single_value_goes_before_its_range_and_the_rest_is_said_once() -> None:
    of = plant(
        MACHINE
        + STATE
        + """
otherwise = "setup"
[signal.states]
"6" = "running"
"900-999" = { state = "down", reason = "fault" }
"905" = "planned_stop"
"-5--1.5" = "blocked"
"""
    )
    values: list[float | str] = [6, 905, 900, 999, 999.5, -1.5, "text", 1000]
    seen = told(of, 80, state=[(10 * n, value) for n, value in enumerate(values)])
    assert [(raw, state, reason) for _, _, raw, state, reason in seen] == [
        ("6", "running", None),
        ("905", "planned_stop", None),
        ("900", "down", "fault"),
        ("999", "down", "fault"),
        ("999.5", "setup", None),
        ("-1.5", "blocked", None),
        ("text", "setup", None),
        ("1000", "setup", None),
    ]


def test_the_first_bit_that_is_set_decides() -> None:
    of = plant(
        MACHINE
        + STATE
        + """
otherwise = "running"
states = { "8" = "maintenance" }
bits = [{ bit = 3, state = "down", reason = "fault" }, { bit = 0, state = "blocked" }]
"""
    )
    seen = told(of, 80, state=[(0, 0), (10, 1), (20, 9), (30, 13), (40, 8), (50, 4), (60, -1), (70, 9.5)])
    assert seen == [
        (0, 10, "0", "running", None),
        (10, 20, "bit 0", "blocked", None),
        (20, 40, "bit 3", "down", "fault"),
        (40, 50, "8", "maintenance", None),
        (50, 60, "4", "running", None),
        (60, 70, "-1", "running", None),
        (70, 80, "9.5", "running", None),
    ]


def test_a_signal_knows_which_values_mean_something() -> None:
    text = (
        MACHINE
        + STATE
        + 'states = { "6" = "running", "900-999" = "down" }\nbits = [{ bit = 3, state = "down" }]'
    )
    signal = plant(text).signals["m", "state"]
    assert [signal.means(raw) for raw in ("6", "900", "999.5", "8", "9", "4", "x", "-8")] == [
        *(True, True, False),
        *(True, True, False),
        *(False, False),
    ]


def test_packml_is_known_by_number_and_name_and_can_be_said_otherwise() -> None:
    of = plant(MACHINE + STATE + 'states = { like = "packml", "5" = "blocked", "900-910" = "setup" }')
    mapping = of.signals["m", "state"].states
    assert {mapping[raw].state for raw in ("6", "Execute", "EXECUTE")} == {MachineState.RUNNING}
    assert {mapping[raw].state for raw in ("5", "Suspended", "SUSPENDED")} == {MachineState.BLOCKED}
    assert mapping["13"].state is MachineState.STARVED
    assert len({raw for raw in mapping if raw.isdigit()} - {"0"}) == 17
    whole = plant(MACHINE + STATE + 'states = "packml"')
    assert whole.signals["m", "state"].states["17"].state is MachineState.DOWN


SPINDLE = """
[[signal]]
equipment = "m"
id = "spindle"
role = "process_value"
[[signal]]
equipment = "m"
id = "axis-mode"
role = "alarm"
"""
MILL = (
    MACHINE
    + """stale_after = "1min"
states = [
  { when = "`axis-mode` in ('JOG', 'MDI')", state = "setup" },
  { when = "spindle > 100", state = "running" },
  { when = "`axis-mode` == 'ALARM'", state = "down", reason = "fault" },
  { state = "down" },
]
"""
    + SPINDLE
)


def test_a_state_from_conditions() -> None:
    of = plant(MILL)
    assert [m.id for m in of.machines()] == ["m"]
    assert [s.id for s in of.derived_signals()] == ["spindle", "axis-mode"]
    series: dict[str, list[tuple[float, float | str | None]]] = {
        "spindle": [(0, 50), (10, 120), (11, 130), (12, 140), (30, 90), (80, 90), (130, None)],
        "axis-mode": [(5, "AUTO"), (20, "JOG"), (25, "AUTO"), (40, "ALARM"), (95, "AUTO")],
    }
    jog, fast, alarm = (rule.when for rule in of.equipment["m"].states[:3])
    assert told(of, 150, **series) == [
        (0, 5, None, "unknown", None),  # what the mode is makes a difference
        (5, 10, "otherwise", "down", None),
        (10, 20, fast, "running", None),
        (20, 25, jog, "setup", None),
        (25, 30, fast, "running", None),
        (30, 40, "otherwise", "down", None),
        (40, 95, alarm, "down", "fault"),
        (95, 130, "otherwise", "down", None),
        (130, 150, None, "unknown", None),
    ]


def test_a_process_value_gives_an_edge_only_where_a_comparison_turns() -> None:
    of = plant(MILL)
    noise = [(0.1 * n, 150 + n % 7) for n in range(500)]
    seen = told(of, 50, spindle=noise, **{"axis-mode": [(0, "AUTO")]})
    assert [state for _, _, _, state, _ in seen] == ["running"]


def test_what_is_not_known_matters_only_where_it_makes_a_difference() -> None:
    of = plant(
        MACHINE
        + """states = [
  { when = "spindle > 100 or `axis-mode` == 'RUN'", state = "running" },
  { when = "`axis-mode` == 'HOLD'", state = "down" },
  { when = "spindle <= 100", state = "down" },
]
"""
        + SPINDLE
    )
    assert [said[3] for said in told(of, 10, spindle=[(0, 120)])] == ["running"]
    assert [said[3] for said in told(of, 10, spindle=[(0, 20)])] == ["unknown"]
    # A text is no number.
    text = {"spindle": [(0.0, "?")], "axis-mode": [(0.0, "X")]}
    assert [said[3] for said in told(of, 10, **text)] == ["unknown"]  # type: ignore[arg-type]
    # The second rule is not known without the mode, but the third one means the same.
    hold = [(0.0, "HOLD")]
    assert [said[3] for said in told(of, 10, **{"axis-mode": hold})] == ["unknown"]  # type: ignore[arg-type]
    assert [said[3] for said in told(of, 10, spindle=[(0, 20)], **{"axis-mode": hold})] == ["down"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spindle > feed", "compares spindle and feed with each other"),
        ("spindle = 1", "Equality is written =="),
        ("spindle >", "cannot be read"),
        ("1 < 2", "about no signal"),
        ("open('x') == 1", "is not known here"),
        ("__import__('os') == 1", "is not known here"),
        ("spindle == [1]", "is not known here"),
        ("mode < 'AUTO'", "Texts are compared by == and !="),
        ("spindle + 'a' > 1", "is no number"),
        ("(lambda: 1)() == 1", "is not known here"),
        ("spindle ** 9 > 1", "is not known here"),
        ("spindle + 1", "neither true nor false"),
        ("spindle is 1", "Write =="),
        ("(" * 300 + "a" + ")" * 300 + " > 1", "cannot be read"),
        ("a > 1 " * 300, "longer than"),
        ("", "cannot be read"),
    ],
)
def test_what_is_no_condition_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says.replace("(", r"\(")):
        condition(text)


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (MACHINE + STATE, "signal[0].states", "needs its states"),
        (MACHINE + STATE + 'states = "packlm"', "signal[0].states", "packml"),
        (MACHINE + STATE + 'states = { "9-1" = "down" }', 'signal[0].states."9-1"', 'Write "1-9"'),
        (
            MACHINE + STATE + 'states = { "1-5" = "down", "5-9" = "running" }',
            'signal[0].states."5-9"',
            'overlaps "1-5"',
        ),
        (MACHINE + STATE + 'bits = [{ state = "down" }]', "signal[0].bits[0].bit", "is missing"),
        (MACHINE + STATE + 'bits = [{ bit = 60, state = "down" }]', "signal[0].bits[0].bit", "is not a bit"),
        (
            MACHINE + STATE + 'bits = [{ bit = 1, state = "down", reason = "x" }]',
            "signal[0].bits[0].reason",
            "no reason",
        ),
        (
            MACHINE + STATE + 'states = "packml"\ncycle = "pulse"',
            "signal[0].cycle",
            'Remove cycle or write role = "cycle"',
        ),
        (
            MACHINE + STATE + 'states = "packml"\nmaterials = { "1" = "cola" }',
            "signal[0].materials",
            "no materials",
        ),
        (
            MACHINE + 'states = [{ when = "speed > 1", state = "running" }]\n' + SPINDLE,
            "equipment[0].states[0].when",
            'm has no signal "speed"',
        ),
        (
            MACHINE + 'states = [{ when = "spindle > 1 +", state = "running" }]\n' + SPINDLE,
            "equipment[0].states[0].when",
            "cannot be read",
        ),
        (
            MACHINE
            + 'states = [{ state = "down" }, { when = "spindle > 1", state = "running" }]\n'
            + SPINDLE,
            "equipment[0].states[0].when",
            "Only the last rule may hold always",
        ),
        (
            MACHINE + 'states = [{ state = "down" }]\n' + SPINDLE,
            "equipment[0].states[0].when",
            "no signal decides",
        ),
        (
            MACHINE
            + 'states = [{ when = "spindle > 1", state = "running" }]\n'
            + SPINDLE
            + STATE
            + 'states = "packml"',
            "equipment[0].states",
            "told twice",
        ),
        (
            MACHINE
            + 'states = [{ when = "good > 1", state = "running" }]\n[[signal]]\nequipment = "m"\nid = "good"\nrole = "good"',
            "equipment[0].states[0].when",
            '"good" is a good signal',
        ),
        (
            MACHINE + 'state_from = "cycles"\n' + SPINDLE,
            "equipment[0].state_from",
            "neither counter nor cycle",
        ),
        (
            MACHINE + 'state_from = "cycle"\n' + STATE + 'states = "packml"',
            "equipment[0].state_from",
            "cycles",
        ),
        (
            MACHINE + "cycle_gaps = { slow = 2 }\n" + STATE + 'states = "packml"',
            "equipment[0].cycle_gaps",
            "does not come from cycles",
        ),
        (
            MACHINE
            + 'state_from = "cycles"\ncycle_gaps = { slow = 7 }\n[[signal]]\nequipment = "m"\nid = "n"\nrole = "total"',
            "equipment[0].cycle_gaps.micro_stop",
            "6 cycles is less than 7",
        ),
        (
            MACHINE + 'orders_from = ["erp"]\n' + STATE + 'states = "packml"',
            "equipment[0].orders_from[0]",
            "not one of terminal, plc, schedule",
        ),
        (
            MACHINE
            + STATE
            + 'states = "packml"\n[[signal]]\nequipment = "m"\nid = "p"\nrole = "material"\nmaterials = { "1" = "coal" }',
            'signal[1].materials."1"',
            "no material",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_fix(text: str, path: str, says: str) -> None:
    found = problems(text)
    assert [where for where, _ in found] == [path], found
    assert says in found[0][1]


COUNTER = """
[[signal]]
equipment = "m"
id = "total"
role = "total"
"""


def test_a_machine_without_a_state_is_told_from_its_parts() -> None:
    of = plant(
        MACHINE + 'state_from = "cycles"\nmaterial = "cola"\ncycle_gaps = { micro_stop = 4 }' + COUNTER
    )
    assert of.equipment["m"].cycle_gaps == CycleGaps(micro_stop=4)
    seen = told(of, 200, total=[(0, 5), (10, 6), (25, 7), (65, 8), (106, 9)])
    assert [(a, b, raw) for a, b, raw, _, _ in seen] == [
        (0, 20, "running"),
        (20, 25, "slow"),
        (25, 35, "running"),
        (35, 65, "micro-stop"),
        (65, 75, "running"),
        (75, 106, "idle"),
        (106, 116, "running"),
        (116, 200, "idle"),
    ]


def test_an_open_gap_grows_from_running_to_idle() -> None:
    of = plant(MACHINE + 'state_from = "cycles"\nmaterial = "cola"' + COUNTER)
    for until, raw in ((29, "running"), (37, "slow"), (38, "micro-stop"), (80, "micro-stop"), (81, "idle")):
        assert told(of, until, total=[(0, 5), (20, 7)])[-1][2] == raw


def test_while_the_counter_is_not_heard_nothing_is_known() -> None:
    of = plant(MACHINE + 'state_from = "cycles"\nmaterial = "cola"\nstale_after = "30s"' + COUNTER)
    points: list[tuple[float, float | str | None]] = [
        (0, 5),
        (10, 6),
        (35, 6),
        (100, 8),
        (110, None),
        (120, 9),
    ]
    assert [(a, b, raw) for a, b, raw, _, _ in told(of, 130, total=points)] == [
        (0, 30, "running"),
        (30, 65, "micro-stop"),
        (65, 100, None),
        (100, 110, "running"),
        (110, 120, None),
        (120, 130, "running"),
    ]


def test_what_has_no_ideal_cycle_is_unknown() -> None:
    of = plant(MACHINE + 'state_from = "cycles"' + COUNTER)
    assert told(of, 50, total=[(0, 5), (10, 6)]) == [(0, 50, "no ideal cycle", "unknown", None)]


def test_cycle_signals() -> None:
    cycle = (
        MACHINE
        + 'state_from = "cycles"\nmaterial = "cola"\n[[signal]]\nequipment = "m"\nid = "c"\nrole = "cycle"\n'
    )
    pulse = plant(cycle + 'cycle = "pulse"')
    seen = told(pulse, 50, c=[(0, 1), (5, 0), (10, 1), (12, 1), (13, 0), (40, 1), (41, 1)])
    assert [(a, b, raw) for a, b, raw, _, _ in seen] == [
        (0, 20, "running"),
        (20, 40, "micro-stop"),
        (40, 50, "running"),
    ]
    # 9.5 is said again before such a cycle can be over, then by a cycle that took as long.
    found = facts(samples(c=[(10, 9.5), (15, 9.5), (24.5, 9.5), (40, 12), (41, 0)]), plant(cycle), at(50))
    ended = found.signalled.select("time", "cycle").rows()
    assert [((t - START).total_seconds(), c) for t, c in ended] == [
        (10, 9_500_000),
        (24.5, 9_500_000),
        (40, 12_000_000),
    ]


def test_a_known_material_without_an_order_has_a_performance() -> None:
    of = plant(
        MACHINE
        + STATE
        + 'states = "packml"'
        + COUNTER
        + '[[signal]]\nequipment = "m"\nid = "product"\nrole = "material"\nmaterials = { "17" = "cola" }'
    )
    series: dict[str, list[tuple[float, float | str | None]]] = {
        "state": [(0, 6)],
        "total": [(0, 0), (30, 2)],
        "product": [(0, 17), (60, "other"), (80, "")],
    }
    ledger = derive(samples(**series), of, Window(at(0), at(100)))
    assert ledger.group_by("material").agg(pl.col("ideal").sum()).sort(
        "material", nulls_last=True
    ).rows() == [
        ("cola", 20_000_000),
        ("other", 0),
        (None, 0),
    ]
    assert ledger["order"].null_count() == ledger.height


def test_whom_the_plant_believes_about_orders_is_inherited() -> None:
    of = parse(
        {
            "plant.toml": tomllib.loads(
                HEAD.replace("[[reason]]", '[settings]\norders_from = ["plc", "schedule"]\n[[reason]]', 1)
                + '[[equipment]]\nid = "l"\nname = "L"\nlevel = "ProductionLine"\norders_from = ["schedule"]\n'
                + MACHINE
                + 'parent = "l"\n'
                + STATE
                + 'states = "packml"'
            )
        }
    )
    assert of.settings.orders_from == (OrderSource.PLC, OrderSource.SCHEDULE)
    assert of.equipment["m"].orders_from == (OrderSource.SCHEDULE,)
    assert of.signals["m", "state"].role is Role.STATE
