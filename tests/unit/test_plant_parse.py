"""What the plant file may say, what it means, and that every mistake is named with its place and a fix."""

import tomllib
from datetime import UTC, date, datetime, time, timedelta

import pytest

from plant.model import BreakRule, Convention, EquipmentLevel, Plant, Role
from plant.parse import PlantError, PlantErrors, parse
from plant.states import MachineState

GOOD = """
schema = 1
[site]
id = "s"
name = "Site"
zone = "Europe/Berlin"
[settings]
convention = "iso22400"
micro_stop = "90s"
breaks = "unless_running"
target_oee = 0.7

[[equipment]]
id = "hall"
name = "Hall"
level = "Area"
calendar = "week"
stale_after = "15s"
[[equipment]]
id = "line"
name = "Line"
level = "ProductionLine"
parent = "hall"
micro_stop = "0s"
[[equipment]]
id = "filler"
name = "Filler"
level = "WorkUnit"
parent = "line"
[[equipment]]
id = "capper"
name = "Capper"
level = "WorkUnit"
parent = "line"
upstream = ["filler"]
stale_after = "1min"
micro_stop = "30s"

[[source]]
id = "plc"
protocol = "opcua"
url = "opc.tcp://127.0.0.1:4840/"
password = { env = "PLC_PASSWORD" }

[[signal]]
equipment = "filler"
id = "state"
role = "state"
source = "plc"
address = "s=filler.state"
[signal.states]
6 = "running"
"9" = { state = "down", reason = "jam" }
[[signal]]
equipment = "filler"
id = "good"
role = "good"
source = "plc"
address = "s=filler.good"
modulus = 65536
[[signal]]
equipment = "filler"
id = "reject"
role = "reject"
min_cycle = "100ms"
[[signal]]
equipment = "filler"
id = "temperature"
role = "process_value"
unit = "°C"
scale = 0.1
offset = -40

[[material]]
id = "water"
name = "Water"
ideal_cycle = [
  { equipment = "filler", cycle = "0.9s" },
  { equipment = ["filler"], cycle = "800ms", from = 2026-07-01 },
]

[[calendar]]
id = "week"
[[calendar.shift]]
id = "early"
name = "Early"
start = "06:00"
end = "14:00"
days = ["Mon", "Tue"]
breaks = [{ start = "10:00", end = "10:15", name = "Coffee" }]
[[calendar.shift]]
id = "night"
name = "Night"
start = 22:00:00
end = "06:00"
breaks = [{ start = "23:50", end = "00:20" }]
[[calendar.exception]]
date = 2026-12-25
name = "Christmas"
shifts = []
[[calendar.exception]]
date = 2026-12-26
shifts = ["early", { id = "extra", name = "Extra", start = "14:00", end = "16:00" }]

[[reason]]
id = "mechanical"
name = "Mechanical"
[[reason]]
id = "jam"
name = "Jam"
parent = "mechanical"

[[user]]
id = "mara"
name = "Mara"
email = "mara@example.org"
roles = ["maintenance"]

[[channel]]
id = "mail"
kind = "mail"
host = "127.0.0.1"
[[escalation]]
id = "standard"
name = "Standard"
steps = [
  { after = "0s", channel = "mail", to = ["role:maintenance"] },
  { after = "10min", channel = "mail", to = ["mara"] },
]
[[alert]]
id = "stop"
name = "Stopped"
longer_than = "5min"
equipment = ["line"]
states = ["down", "starved"]
severity = "urgent"
escalation = "standard"
"""


def plant(text: str = GOOD) -> Plant:
    return parse({"plant.toml": tomllib.loads(text)})


def errors(text: str, **more: str) -> list[PlantError]:
    documents = {"plant.toml": tomllib.loads(text)} | {f"{k}.toml": tomllib.loads(v) for k, v in more.items()}
    with pytest.raises(PlantErrors) as caught:
        parse(documents)
    return caught.value.errors


def test_a_plant_file_is_read_as_it_is_written() -> None:
    found = plant()
    assert (found.site.id, found.site.zone.key) == ("s", "Europe/Berlin")
    assert (found.settings.convention, found.settings.breaks) == (
        Convention.ISO22400,
        BreakRule.UNLESS_RUNNING,
    )
    assert [e.id for e in found.machines()] == ["filler"]
    assert found.equipment["line"].level is EquipmentLevel.PRODUCTION_LINE
    assert found.equipment["capper"].upstream == ("filler",)
    state = found.signals["filler", "state"]
    assert (state.role, state.states["6"].state) == (Role.STATE, MachineState.RUNNING)
    assert (state.states["9"].state, state.states["9"].reason) == (MachineState.DOWN, "jam")
    assert found.signals["filler", "temperature"].scale == 0.1
    options = {"url": "opc.tcp://127.0.0.1:4840/", "password": {"env": "PLC_PASSWORD"}}
    assert found.sources["plc"].options == options
    early, night = found.calendars["week"].shifts
    assert (early.days, night.start, night.breaks[0].end) == ((0, 1), time(22), time(0, 20))
    holiday, overtime = found.calendars["week"].exceptions
    assert (holiday.shifts, [s.id for s in overtime.shifts]) == ((), ["early", "extra"])
    assert [s.after for s in found.escalations["standard"].steps] == [timedelta(0), timedelta(minutes=10)]
    rule = found.alert_rules["stop"]
    assert (rule.longer_than, rule.states) == (
        timedelta(minutes=5),
        (MachineState.DOWN, MachineState.STARVED),
    )


def test_equipment_inherits_from_the_nearest_above_that_says_so() -> None:
    found = plant().equipment
    assert [found[i].calendar for i in ("hall", "line", "filler")] == ["week"] * 3
    assert [found[i].stale_after for i in ("filler", "capper")] == [
        timedelta(seconds=15),
        timedelta(minutes=1),
    ]
    stops = {i: found[i].micro_stop for i in found}
    assert stops == {
        "hall": timedelta(seconds=90),  # settings
        "line": timedelta(0),  # zero is a value, not "none given"
        "filler": timedelta(0),
        "capper": timedelta(seconds=30),
    }


def test_min_cycle_is_half_the_fastest_ideal_cycle_unless_given() -> None:
    found = plant().signals
    assert found["filler", "good"].min_cycle == timedelta(milliseconds=400)
    assert found["filler", "reject"].min_cycle == timedelta(milliseconds=100)
    assert found["filler", "temperature"].min_cycle is None
    assert found["filler", "good"].assumed and not found["filler", "reject"].assumed


def test_an_ideal_cycle_begins_at_midnight_where_the_plant_is() -> None:
    first, second = plant().materials["water"].ideal_cycles
    assert (first.valid_from, second.valid_from) == (None, datetime(2026, 6, 30, 22, tzinfo=UTC))


def test_lists_of_included_files_are_added() -> None:
    more = tomllib.loads('[[reason]]\nid = "cleaning"\nname = "Cleaning"\nplanned = true\n')
    found = parse({"plant.toml": tomllib.loads(GOOD), "more.toml": more})
    assert found.reasons["cleaning"].planned


MISTAKES = [
    # what is written, instead of what, then the path and a piece of the problem and of the fix
    ("schema = 2", "schema = 1", "schema", "schema 2", "schema = 1"),
    ("", "schema = 1", "schema", "missing", "schema = 1"),
    ('zone = "Europe/Berln"', 'zone = "Europe/Berlin"', "site.zone", "Europe/Berln", "Europe/Berlin"),
    ("zone = 1", 'zone = "Europe/Berlin"', "site.zone", "not text", "quotes"),
    ("plc = 1", 'name = "Site"', "site.name", "missing", "Add name"),
    ("target_oee = 85", "target_oee = 0.7", "settings.target_oee", "between 0 and 1", "0.85"),
    ("target_oee = nan", "target_oee = 0.7", "settings.target_oee", "finite", "finite"),
    ('convention = "vorne"', 'convention = "iso22400"', "settings.convention", "vorne", "Use one"),
    ('micro_stop = "-90s"', 'micro_stop = "90s"', "settings.micro_stop", "negative", "2min"),
    ("micro_stop = 90", 'micro_stop = "90s"', "settings.micro_stop", "not a duration", "2min"),
    ('micro_stop = "90"', 'micro_stop = "90s"', "settings.micro_stop", "not a duration", "2min"),
    ('stale_after = "0s"', 'stale_after = "15s"', "equipment[0].stale_after", "no time", "15s"),
    ('staleafter = "15s"', 'stale_after = "15s"', "equipment[0].staleafter", "unknown key", '"stale_after"?'),
    ('level = "area"', 'level = "Area"', "equipment[0].level", "area", '"Area"?'),
    ('level = "WorkCell"', 'level = "Area"', "equipment[1].parent", "cannot stand under", "outside in"),
    ('parent = "haal"', 'parent = "hall"', "equipment[1].parent", '"haal"', '"hall"?'),
    ('id = "filler!"', 'id = "filler"', "equipment[2].id", "not an id", "letters"),
    ('calendar = "weak"', 'calendar = "week"', "equipment[0].calendar", '"weak"', '"week"?'),
    ('upstream = ["filer"]', 'upstream = ["filler"]', "equipment[3].upstream[0]", '"filer"', '"filler"?'),
    ('upstream = ["capper"]', 'upstream = ["filler"]', "equipment[3].upstream[0]", "feeds itself", "Remove"),
    ('upstream = "filler"', 'upstream = ["filler"]', "equipment[3].upstream", "list of texts", "["),
    ("password = { env = 1 }", 'password = { env = "PLC_PASSWORD" }', "source[0].password", "secret", "env"),
    ('role = "status"', 'role = "state"', "signal[0].role", "status", '"state"?'),
    (
        'source = "plx"\naddress = "s=filler.state"',
        'source = "plc"\naddress = "s=filler.state"',
        "signal[0].source",
        "plx",
        "plc",
    ),
    ("", 'address = "s=filler.state"', "signal[0].address", "missing", "where"),
    ('6 = "runing"', '6 = "running"', 'signal[0].states."6"', "runing", '"running"?'),
    ('reason = "jamm"', 'reason = "jam"', 'signal[0].states."9".reason', "jamm", '"jam"?'),
    ('name = "Water"\nvalue = -1', 'name = "Water"', "material[0].value", "less than nothing", "zero"),
    ('name = "Water"\nvalue = "2 EUR"', 'name = "Water"', "material[0].value", "2 EUR", "without quotes"),
    (
        'cost_per_hour = 90\nstale_after = "15s"',
        'stale_after = "15s"',
        "equipment[0].cost_per_hour",
        "not a machine",
        "below it",
    ),
    ('material = "watr"', 'upstream = ["filler"]', "equipment[3].material", '"watr"', "water"),
    (
        'level = "Area"\nmaterial = "water"',
        'level = "Area"',
        "equipment[0].material",
        "not a machine",
        "below it",
    ),
    ("states = {}\n[other]", "[signal.states]", "signal[0].states", "not a table of states", "running"),
    ("modulus = 1", "modulus = 65536", "signal[1].modulus", "below 2", "65536"),
    ("modulus = 65536.0", "modulus = 65536", "signal[1].modulus", "whole number", "65536"),
    ('unit = "°C"\nmodulus = 9', 'unit = "°C"', "signal[3].modulus", "does not count", "counter"),
    ('unit = "°C"\nmin_cycle = "1s"', 'unit = "°C"', "signal[3].min_cycle", "does not count", "counter"),
    ("scale = 0", "scale = 0.1", "signal[3].scale", "every value 0", "factor"),
    ('cycle = "0s"', 'cycle = "0.9s"', "material[0].ideal_cycle[0].cycle", "no time", "15s"),
    (
        'equipment = "line", cycle',
        'equipment = "filler", cycle',
        "material[0].ideal_cycle[0].equipment",
        "not a machine",
        "below",
    ),
    ('from = "2026"', "from = 2026-07-01", "material[0].ideal_cycle[1].from", "not a date", "2026-12-25"),
    (
        'cycle = "800ms"',
        'cycle = "800ms", from = 2026-07-01',
        "material[0].ideal_cycle[1].equipment",
        "already",
        "from",
    ),
    ('start = "6:00"', 'start = "06:00"', "calendar[0].shift[0].start", "time of day", "06:00"),
    ('start = "25:00"', 'start = "06:00"', "calendar[0].shift[0].start", "time of day", "06:00"),
    ('days = ["Mo", "Tue"]', 'days = ["Mon", "Tue"]', "calendar[0].shift[0].days[0]", '"Mo"', '"Mon"?'),
    ('start = "05:00"', 'start = "06:00"', "calendar[0].shift", "overlap", "Move"),
    ('start = "05:50"', 'start = "10:00"', "calendar[0].shift[0].breaks[0].start", "not inside", "Move"),
    ('end = "06:20"', 'end = "00:20"', "calendar[0].shift[1].breaks[0].start", "not inside", "Move"),
    (
        'start = "13:00", end = "16:00"',
        'start = "14:00", end = "16:00"',
        "calendar[0].exception[1].shifts",
        "overlap",
        "Move",
    ),
    ('shifts = ["erly", {', 'shifts = ["early", {', "calendar[0].exception[1].shifts[0]", "erly", '"early"?'),
    ("date = 2026-12-25", "date = 2026-12-26", "calendar[0].exception[1].date", "already", "one"),
    (
        "date = 2026-12-25T06:00:00",
        "date = 2026-12-25",
        "calendar[0].exception[0].date",
        "not a date",
        "without a time",
    ),
    ("date = 0001-01-01", "date = 2026-12-25", "calendar[0].exception[0].date", "out of range", "1970"),
    (
        "from = 9999-12-31T23:59:59",
        "from = 2026-07-01",
        "material[0].ideal_cycle[1].from",
        "out of range",
        "2200",
    ),
    ('date = "2026-12-25"', "date = 2026-12-25", "calendar[0].exception[0].date", "not a date", "quotes"),
    ('parent = "mechanic"', 'parent = "mechanical"', "reason[1].parent", "mechanic", '"mechanical"?'),
    ('name = "Mechanical"\nparent = "jam"', 'name = "Mechanical"', "reason[0].parent", "circle", "another"),
    (
        'name = "Mechanical"\nplanned = "no"',
        'name = "Mechanical"',
        "reason[0].planned",
        "true or false",
        "quotes",
    ),
    ('email = "mara"', 'email = "mara@example.org"', "user[0].email", "mail address", "@"),
    ("", 'email = "mara@example.org"', "escalation[0].steps[0].to[0]", "mail address", "email"),
    (
        'roles = ["maintenace"]',
        'roles = ["maintenance"]',
        "escalation[0].steps[0].to[0]",
        "no user",
        '"role:maintenace"?',
    ),
    (
        'channel = "mall", to = ["mara"]',
        'channel = "mail", to = ["mara"]',
        "escalation[0].steps[1].channel",
        "mall",
        "mail",
    ),
    ('to = ["marra"]', 'to = ["mara"]', "escalation[0].steps[1].to[0]", "marra", '"mara"?'),
    (
        'channel = "mail" }',
        'channel = "mail", to = ["mara"] }',
        "escalation[0].steps[1].to",
        "nobody",
        "role:",
    ),
    (
        'after = "1h", channel',
        'after = "0s", channel',
        "escalation[0].steps[1].after",
        "before the one above",
        "order",
    ),
    ('longer_than = "5 minutes"', 'longer_than = "5min"', "alert[0].longer_than", "not a duration", "2min"),
    ('equipment = ["lime"]', 'equipment = ["line"]', "alert[0].equipment[0]", "lime", '"line"?'),
    (
        'states = ["down", "hungry"]',
        'states = ["down", "starved"]',
        "alert[0].states[1]",
        "hungry",
        "Use one",
    ),
    ('severity = "hihg"', 'severity = "urgent"', "alert[0].severity", "hihg", '"high"?'),
    ('escalation = "standart"', 'escalation = "standard"', "alert[0].escalation", "standart", '"standard"?'),
]


@pytest.mark.parametrize(("written", "instead_of", "path", "problem", "fix"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_a_fix(
    written: str, instead_of: str, path: str, problem: str, fix: str
) -> None:
    assert instead_of in GOOD
    found = errors(GOOD.replace(instead_of, written, 1))
    match = [e for e in found if e.path == path]
    assert match, "\n".join(map(str, found))
    assert problem in match[0].problem
    assert fix in match[0].fix
    assert all(e.file == "plant.toml" and e.problem and e.fix for e in found)


def test_a_machine_needs_its_states_and_counters_need_a_machine() -> None:
    bare = '[[signal]]\nequipment = "capper"\nid = "good"\nrole = "good"\n'
    (counter,) = errors(GOOD + bare)
    assert (counter.path, "no state signal" in counter.problem) == ("signal[4].equipment", True)
    (state,) = errors(GOOD + bare.replace("good", "state"))
    assert (state.path, "needs its states" in state.problem) == ("signal[4].states", True)


def test_a_machine_has_one_state_signal() -> None:
    more = '[[signal]]\nequipment = "filler"\nid = "mode"\nrole = "state"\nstates = { 1 = "running" }\n'
    (second,) = errors(GOOD + more)
    assert (second.path, '"state"' in second.problem) == ("signal[4].role", True)


def test_an_id_used_twice_names_the_first_place() -> None:
    (error,) = errors(GOOD, more='[[reason]]\nid = "jam"\nname = "Jam again"\n')
    assert (error.file, error.path) == ("more.toml", "reason[0].id")
    assert "plant.toml: reason[1]" in error.problem


def test_a_circle_of_parents_is_reported_once() -> None:
    text = GOOD.replace(
        'name = "Hall"\nlevel = "Area"', 'name = "Hall"\nlevel = "ProductionLine"\nparent = "line"'
    )
    (error,) = errors(text)
    assert (error.path, "hall -> line -> hall" in error.problem) == ("equipment[0].parent", True)


def test_a_tree_may_be_deep_and_in_any_order() -> None:
    nodes = [{"id": f"m{i}", "name": "n", "level": "WorkUnit", "parent": f"m{i + 1}"} for i in range(3000)]
    root = {"id": "m3000", "name": "n", "level": "Area", "stale_after": "9s"}
    document = {"schema": 1, "site": {"id": "s", "name": "s", "zone": "UTC"}, "equipment": [*nodes, root]}
    assert parse({"plant.toml": document}).equipment["m0"].stale_after == timedelta(seconds=9)


def test_only_the_main_file_has_site_settings_stores_and_include() -> None:
    alone = ("historian", "include", "records", "settings", "site", "spool")
    tables = "".join(f"[{name}]\n" for name in alone if name != "include")
    found = errors(GOOD, more=f'include = ["x"]\n{tables}')
    assert [(e.file, e.path) for e in found] == [("more.toml", p) for p in alone]


def test_all_errors_come_at_once_and_sorted_by_place() -> None:
    text = GOOD
    for written, instead_of, *_ in (MISTAKES[2], MISTAKES[12], MISTAKES[25], MISTAKES[-1]):
        text = text.replace(instead_of, written, 1)
    paths = [e.path for e in errors(text)]
    assert paths == ["alert[0].escalation", "equipment[0].staleafter", 'signal[0].states."6"', "site.zone"]


def test_an_empty_file_says_what_a_plant_file_needs() -> None:
    assert [e.path for e in errors("")] == ["schema", "site"]


@pytest.mark.parametrize("kind", ["equipment", "signal", "calendar", "source", "material"])
@pytest.mark.parametrize("value", ["1", '"x"', "[1]", "{}", "[[]]", "[{}]", "[{ id = 1 }]", "[{ id = {} }]"])
def test_nonsense_is_an_error_and_nothing_else(kind: str, value: str) -> None:
    head = GOOD[: GOOD.index("[settings]")]
    found = errors(f"{kind} = {value}\n{head}")
    assert all(e.path.startswith(kind) for e in found)


def test_what_protocols_and_channels_say_comes_with_everything_else_and_in_its_place() -> None:
    documents = {"plant.toml": tomllib.loads(GOOD.replace('parent = "hall"', 'parent = "hal"'))}
    said = [
        'source "plc", option "url": not an address; write opc.tcp://',
        'signal "filler.good": bad node id',
    ]
    with pytest.raises(PlantErrors) as caught:
        parse(documents, lambda source, signals: [f"{s}" for s in said], lambda channel: ["port is missing"])
    assert [(e.path, e.fix) for e in caught.value.errors] == [
        ("channel[0]", "Correct the options of this channel"),
        ("equipment[1].parent", 'Did you mean "hall"?'),
        ("signal[1].address", "Correct the address"),
        ("source[0].url", "Write opc.tcp://"),
    ]


ROTA = """
[[calendar]]
id = "rota"
cycle = 8
anchor = 2026-01-05

[[calendar.shift]]
id = "day"
name = "Day"
start = "06:00"
end = "18:00"
crews = { A = [1, 2], B = [3, 4], C = [5, 6], D = [7, 8] }

[[calendar.shift]]
id = "night"
name = "Night"
start = "18:00"
end = "06:00"
days = [1, 2, 3, 4, 5, 6, 7]

[[calendar.exception]]
date = 2026-08-03
until = 2026-08-14

[[calendar.exception]]
date = 2026-08-05
equipment = ["line"]

[[calendar.exception.add]]
id = "extra"
name = "Extra"
start = "08:00"
end = "12:00"
crew = "A"
breaks = [{ start = "10:00", end = "10:15" }]

[[calendar.exception]]
date = 2026-08-20
closed = [{ start = "12:00", end = "14:00" }]
"""
ROTATING = GOOD.replace('calendar = "week"', 'calendar = "rota"') + ROTA


def test_rotating_shifts_and_exceptions_are_read() -> None:
    plant = parse({"plant.toml": tomllib.loads(ROTATING)})
    rota = plant.calendars["rota"]
    assert (rota.cycle, rota.anchor) == (8, date(2026, 1, 5))
    assert rota.shifts[0].crews == (("A", (0, 1)), ("B", (2, 3)), ("C", (4, 5)), ("D", (6, 7)))
    assert (rota.shifts[0].days, rota.shifts[1].days) == (tuple(range(8)), tuple(range(7)))
    line, whole = plant.calendar_of("filler"), plant.calendar_of("hall")
    assert line is plant.calendar_of("line") is not whole
    assert line is not None and whole is not None
    assert [s.id for s in line.shifts_on(date(2026, 8, 5))] == ["extra"]
    assert whole.shifts_on(date(2026, 8, 5)) == whole.shifts_on(date(2026, 8, 14)) == ()
    assert [s.id for s in whole.shifts_on(date(2026, 8, 15))] == ["day", "night"]
    assert line.shifts_on(date(2026, 8, 5))[0].crew(3) == "A"
    assert line.closed_on(date(2026, 8, 20)) == ((time(12), time(14)),)


@pytest.mark.parametrize(
    ("good", "bad", "path", "problem", "fix"),
    [
        ("cycle = 8", "cycle = 0", "calendar[1].cycle", "no cycle", "1 to"),
        ("anchor = 2026-01-05", "", "calendar[1].anchor", "missing", "first day"),
        ("cycle = 8\n", "", "calendar[1].cycle", "missing", "repeat"),
        ("D = [7, 8]", "D = [7, 9]", "calendar[1].shift[0].crews.D[1]", "day of the cycle", "1 to 8"),
        ("D = [7, 8]", "D = [6, 8]", "calendar[1].shift[0].crews.D", 'crew "C" works day 6', "one of them"),
        ("days = [1, 2,", 'days = ["Mon", 2,', "calendar[1].shift[1].days[0]", "day of the cycle", "1 to 8"),
        # Only around the end of the cycle: the night of day 8 runs into day 1.
        ("[1, 2, 3, 4, 5, 6, 7]\n", "[8]\nbreaks = []\n", None, "", ""),
        ('end = "06:00"\ndays = [1', 'end = "07:00"\ndays = [1', "calendar[1].shift", "overlap", "Move"),
        ("until = 2026-08-14", "until = 2026-08-01", "calendar[1].exception[0].until", "no span", "last"),
        ('equipment = ["line"]\n', "", "calendar[1].exception[1].date", "2026-08-05 already", "one"),
        (
            'equipment = ["line"]\n\n',
            'equipment = ["lime"]\n\n',
            "calendar[1].exception[1].equipment[0]",
            '"lime"',
            '"line"?',
        ),
        ("date = 2026-08-05", "date = 2026-08-16", "calendar[1].exception[1].add", "overlap", "Move"),
        (
            'start = "12:00", end = "14:00"',
            'start = "12:00", end = "12:00"',
            "calendar[1].exception[2].closed[0].end",
            "no part",
            "Move",
        ),
    ],
)
def test_what_is_wrong_with_a_rotation_is_said(
    good: str, bad: str, path: str | None, problem: str, fix: str
) -> None:
    assert good in ROTATING
    text = ROTATING.replace(good, bad)
    if path is None:
        parse({"plant.toml": tomllib.loads(text)})
        return
    (error,) = errors(text)
    assert (error.path, problem in error.problem, fix in error.fix) == (path, True, True), error


def test_an_overlap_over_the_end_of_the_cycle_is_found() -> None:
    days = "days = [1, 2, 3, 4, 5, 6, 7]"
    late = ROTATING.replace(days, "days = [8]").replace('"18:00"\nend = "06:00"', '"18:00"\nend = "07:00"')
    (error,) = errors(late)
    assert (error.path, "overlap" in error.problem) == ("calendar[1].shift", True)
    parse({"plant.toml": tomllib.loads(late.replace("A = [1, 2]", "A = [2]"))})


def test_an_exception_for_equipment_of_another_calendar_is_refused() -> None:
    (error,) = errors(GOOD + ROTA)
    assert error.path == "calendar[1].exception[1].equipment[0]"
    assert "does not work by" in error.problem


@pytest.mark.parametrize(
    ("written", "key", "problem", "fix"),
    [
        ("lower = 5\nupper = 4", "lower", "not below upper", "Swap"),
        ("lower = 5\ntarget = 4", "target", "outside of lower", "between"),
        ("upper = 5\ntarget = 6", "target", "outside of upper", "between"),
        ("spc = 3", "spc", "not a table", "chart ="),
        ('spc = { chart = "p" }', "spc.chart", "counts rejects", "xbar_r"),
        ("spc = { size = 2 }", "spc.size", "single values", "Remove size"),
        ('spc = { chart = "xbar_r", size = 26 }', "spc.size", "26 is no size", "xbar_s"),
        ('spc = { by = "count", every = "1min" }', "spc.every", 'by = "time"', "Remove every"),
        ("spc = { slack = 1 }", "spc.slack", "no slack", "cusum"),
        ('spc = { chart = "ewma", weight = 0 }', "spc.weight", "not above 0", "share"),
        ('spc = { chart = "cusum", decision = 0 }', "spc.decision", "too small", "above zero"),
    ],
)
def test_a_mistake_in_a_specification_is_named(written: str, key: str, problem: str, fix: str) -> None:
    more = '[[signal]]\nequipment = "filler"\nid = "torque"\nrole = "process_value"\n'
    found = errors(f"{GOOD}{more}{written}\n")
    (error,) = [e for e in found if e.path == f"signal[4].{key}"]
    assert problem in error.problem
    assert fix in error.fix
