"""First causes and the line account against a second-by-second oracle, over random topologies and states."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.ledger.firstcause import charges
from analytics.ledger.lineaccount import constraint, line_account
from plant.frames import LEDGER, Window
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState
from tests.examples import examples

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
NAMES = "abcde"
DOES = {
    "R": ("running", "running"),
    "D": ("down", "unplanned_downtime"),
    "m": ("down", "micro_stop"),
    "S": ("starved", "starved"),
    "B": ("blocked", "blocked"),
    "C": ("setup", "changeover"),
    "P": ("planned_stop", "planned_downtime"),
    "?": ("unknown", "unknown"),
    "o": ("starved", "not_scheduled"),
    "r": ("running", "not_scheduled"),
}
"""State and category."""


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def plant_of(upstream: dict[str, list[str]], buffers: dict[str, int]) -> Plant:
    line = Equipment(id="line", name="line", level=EquipmentLevel.PRODUCTION_LINE)
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={"line": line}
        | {
            m: Equipment(
                id=m,
                name=m,
                level=EquipmentLevel.WORK_UNIT,
                parent="line",
                upstream=tuple(fed),
                buffer=timedelta(seconds=buffers.get(m, 0)),
            )
            for m, fed in upstream.items()
        },
        signals={
            (m, "st"): Signal(
                id="st", equipment=m, role=Role.STATE, states={"1": StateMapping(state=MachineState.RUNNING)}
            )
            for m in upstream
        },
    )


def ledger_of(lives: dict[str, str], cuts: set[int]) -> pl.DataFrame:
    """Rows from a letter a second, cut also at `cuts`."""
    rows = []
    for machine, life in lives.items():
        began = start = 0
        for second in range(1, len(life) + 1):
            over = second == len(life) or life[second] != life[second - 1]
            if over or second in cuts:
                state, category = DOES[life[start]]
                rows.append(
                    {
                        "equipment": machine,
                        "start": at(start),
                        "end": at(second),
                        "line": "line",
                        "state": state,
                        "category": category,
                        "reason": "jam" if life[start] == "D" else None,
                        "stop_start": None if state == "unknown" else at(began),
                        "duration": (second - start) * 1_000_000,
                    }
                )
                start = second
            if over:
                began = second
    return pl.DataFrame(rows, schema=dict(LEDGER))


def oracle(lives: dict[str, str], plant: Plant, machine: str, second: int) -> tuple[str | None, str]:
    """Who is charged with a second of a machine's waiting, and the category, by looking at it alone."""

    def began(m: str, t: int) -> int:
        while t > 0 and lives[m][t - 1] == lives[m][t]:
            t -= 1
        return t

    def felt(m: str, t: int, buffer: int) -> int:
        """The second of m that is felt at t."""
        back = t
        while back > 0 and t - back <= buffer and DOES[lives[m][t]][0] == "running":
            if DOES[lives[m][back]][0] != "running" and lives[m][back] != "?":
                return back
            back -= 1
        if DOES[lives[m][t]][0] == "running" and t - back <= buffer and lives[m][back] not in "Rr?":
            return back
        return t

    own: list[tuple[int, int, int, str, str]] = []
    unknown: list[str] = []
    running: list[str] = []
    level, seen, links, number = [(machine, second)], {machine}, 0, 0
    while level:
        following = []
        for m, t in level:
            if lives[m][t] == "S":
                near = [(f, plant.equipment[m].buffer) for f in plant.equipment[m].upstream]
            else:
                near = [(f, plant.equipment[f].buffer) for f in lives if m in plant.equipment[f].upstream]
            if not near:
                own.append((began(m, t), links, number := number + 1, m, DOES[lives[m][t]][1]))
            for other, buffer in near:
                if other in seen:
                    continue
                seen.add(other)
                moment = felt(other, t, int(buffer.total_seconds()))
                does = lives[other][moment]
                if DOES[does][0] == "running":
                    running.append(other)
                elif does in "SB":
                    following.append((other, moment))
                elif does == "?":
                    unknown.append(other)
                else:
                    own.append((began(other, moment), links + 1, number := number + 1, other, DOES[does][1]))
        level, links = following, links + 1
    if own:
        return min(own)[3:]
    if unknown:
        return unknown[0], "unknown"
    return (running[0], "speed") if running else (None, "unknown")


@st.composite
def lines(draw: st.DrawFn) -> tuple[dict[str, str], Plant, set[int]]:
    names = NAMES[: draw(st.integers(2, 5))]
    if draw(st.booleans()):
        upstream = {m: [names[i - 1]] if i else [] for i, m in enumerate(names)}
    else:
        upstream = {
            m: draw(st.lists(st.sampled_from(names.replace(m, "")), unique=True, max_size=3)) for m in names
        }
    buffers = {m: draw(st.sampled_from([0, 0, 2, 5])) for m in names}
    lives = {}
    for m in names:
        spans = draw(
            st.lists(
                st.tuples(st.sampled_from("RRRDmSSSBBCP?or"), st.integers(1, 9)), min_size=1, max_size=12
            )
        )
        lives[m] = "".join(letter * length for letter, length in spans).ljust(
            60, draw(st.sampled_from("RSB"))
        )[:60]
    return lives, plant_of(upstream, buffers), set(draw(st.lists(st.integers(1, 59), max_size=4)))


@examples(250)
@given(lines())
def test_waiting_is_charged_once_and_to_what_each_second_says(
    drawn: tuple[dict[str, str], Plant, set[int]],
) -> None:
    lives, plant, cuts = drawn
    found = charges(ledger_of(lives, cuts), plant)
    said = {
        (row["equipment"], second): (row["cause"], row["cause_category"], row["category"])
        for row in found.iter_rows(named=True)
        for second in range(
            int((row["start"] - START).total_seconds()), int((row["end"] - START).total_seconds())
        )
    }
    assert sum(found["duration"]) == len(said) * 1_000_000  # no second twice
    meant = {
        (m, second): (*oracle(lives, plant, m, second), DOES[life[second]][1])
        for m, life in lives.items()
        for second in range(len(life))
        if life[second] in "SB"
    }
    assert said == meant
    joined = found.with_columns(
        same=(pl.col("start") == pl.col("end").shift())
        & (
            pl.struct("equipment", "category", "cause", "cause_state", "cause_category", "cause_reason")
            .rle_id()
            .diff()
            == 0
        )
    )
    assert not joined["same"].fill_null(False).any()  # what goes on is one charge


@examples(100)
@given(lines(), st.integers(0, 59), st.integers(1, 60))
def test_the_account_of_a_line_is_that_of_its_constraint_to_the_microsecond(
    drawn: tuple[dict[str, str], Plant, set[int]], first: int, last: int
) -> None:
    lives, plant, cuts = drawn
    window = Window(at(min(first, last - 1)), at(last))
    whole = ledger_of(lives, cuts | {int((t - START).total_seconds()) for t in (window.start, window.end)})
    inside = whole.filter(pl.col("start") >= window.start, pl.col("end") <= window.end)
    found = line_account(inside, charges(whole, plant, window), plant, "line", window)
    pace = constraint(plant, "line", window.end)
    life = lives[pace][min(first, last - 1) : last]
    assert found["duration"].sum() == len(life) * 1_000_000
    assert set(found["constraint"]) == {pace}
    sums = dict(found.group_by("kind").agg(pl.col("duration").sum() // 1_000_000).iter_rows())
    assert sums.get("running", 0) == life.count("R")
    assert sums.get("charged", 0) == life.count("S") + life.count("B")
    assert sums.get("planned", 0) == sum(life.count(letter) for letter in "Por")
    assert sums.get("own", 0) == sum(life.count(letter) for letter in "DmC?")


def chain(**lives: str) -> list[tuple[str, str | None, str, str | None, int]]:
    """Charges of a chain of machines, each fed by the one before: who, cause, category, reason, seconds."""
    names = list(lives)
    plant = plant_of({m: names[i - 1 : i] if i else [] for i, m in enumerate(names)}, {})
    found = charges(ledger_of(lives, set()), plant)
    return [
        (r["equipment"], r["cause"], r["cause_category"], r["cause_reason"], r["duration"] // 1_000_000)
        for r in found.iter_rows(named=True)
    ]


def test_through_a_chain_to_the_machine_that_is_down() -> None:
    assert chain(a="RDDDDRRR", b="RRSSSSRR", c="RRRSSSSR") == [
        ("b", "a", "unplanned_downtime", "jam", 3),
        ("b", "a", "speed", None, 1),
        ("c", "a", "unplanned_downtime", "jam", 2),
        ("c", "a", "speed", None, 1),
        ("c", "b", "speed", None, 1),
    ]


def test_both_ways_outside_and_unknown() -> None:
    assert chain(a="BB", b="BB", c="DD") == [
        ("a", "c", "unplanned_downtime", "jam", 2),
        ("b", "c", "unplanned_downtime", "jam", 2),
    ]
    assert chain(a="SS", b="SS") == [("a", "a", "starved", None, 2), ("b", "a", "starved", None, 2)]
    assert chain(a="??", b="SS") == [("b", "a", "unknown", None, 2)]
    assert chain(a="oo", b="SS") == [("b", "a", "not_scheduled", None, 2)]


def test_a_stop_that_is_over_is_the_cause_while_its_parts_are_on_the_way() -> None:
    plant = plant_of({"a": [], "b": ["a"]}, {"b": 3})
    found = charges(ledger_of({"a": "DDRRRRRR", "b": "RSSSSSSR"}, set()), plant)
    assert found.select("cause_category", pl.col("duration") // 1_000_000).rows() == [
        ("unplanned_downtime", 4),
        ("speed", 2),
    ]


def test_equipment_that_is_no_machine_passes_causes_on() -> None:
    plant = plant_of({"a": [], "b": ["belt"]}, {"b": 2})
    belt = Equipment(
        id="belt", name="belt", level=EquipmentLevel.WORK_UNIT, upstream=("a",), buffer=timedelta(seconds=1)
    )
    plant = replace(plant, equipment={**plant.equipment, "belt": belt})
    found = charges(ledger_of({"a": "DDRRRRRR", "b": "RSSSSSSR"}, set()), plant)
    assert found.select("cause", pl.col("duration") // 1_000_000).rows() == [("a", 4), ("a", 2)]
