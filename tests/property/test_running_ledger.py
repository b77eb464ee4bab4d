"""The running ledger is the ledger: whatever comes, in whatever order, it has the rows of one made from scratch."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.ledger.rows import ledger
from pipelines.derive import booked, corrected
from pipelines.fold import Fold
from pipelines.running import RunningLedger
from plant.frames import CORRECTIONS, ORDER_RUNS, RECODES, SAMPLES, Window, empty
from plant.model import (
    Break,
    BreakRule,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Reason,
    Role,
    Settings,
    Shift,
    Signal,
    Site,
    StateMapping,
    WorkCalendar,
)
from plant.states import MachineState
from tests.examples import examples
from tests.stored import Store

START = datetime(2026, 3, 28, 22, tzinfo=UTC)
STATES = {
    "1": StateMapping(state=MachineState.RUNNING),
    "2": StateMapping(state=MachineState.DOWN, reason="jam"),
    "3": StateMapping(state=MachineState.DOWN),
    "4": StateMapping(state=MachineState.PLANNED_STOP, reason="clean"),
}
SHIFT = Shift(
    id="n", name="Night", start=time(22), end=time(6), breaks=(Break(start=time(23, 5), end=time(23, 7)),)
)
PLANT = Plant(
    site=Site(id="s", name="s", zone=ZoneInfo("Europe/Berlin")),
    settings=Settings(breaks=BreakRule.UNLESS_RUNNING),
    equipment={
        m: Equipment(
            id=m,
            name=m,
            level=EquipmentLevel.WORK_UNIT,
            calendar=calendar,
            stale_after=stale,
            micro_stop=timedelta(seconds=short),
        )
        for m, calendar, stale, short in (
            ("a", "c", timedelta(seconds=40), 60),
            ("b", None, None, 200),
            ("quiet", None, None, 60),
        )
    },
    signals={
        (m, s): Signal(
            id=s,
            equipment=m,
            role=role,
            states=STATES if role is Role.STATE else {},
            min_cycle=timedelta(seconds=1),
        )
        for m in ("a", "b", "quiet")
        for s, role in (("st", Role.STATE), ("co", Role.GOOD), ("or", Role.ORDER))
    },
    materials={
        m: Material(id=m, name=m, ideal_cycles=(IdealCycle(equipment="a", cycle=timedelta(seconds=2)),))
        for m in "pq"
    },
    calendars={"c": WorkCalendar(id="c", shifts=(SHIFT,))},
    reasons={
        "jam": Reason(id="jam", name="jam"),
        "clean": Reason(id="clean", name="clean", planned=True),
        "stop": Reason(id="stop", name="stop"),
    },
)
ORDERS = pl.DataFrame({"order": ["A", "B"], "material": ["p", "q"]})


def at(second: float) -> datetime:
    """Seconds from 23:00 local, an hour after the fold's memory begins."""
    return START + timedelta(seconds=second)


@st.composite
def sample(draw: st.DrawFn, now: int) -> tuple[float, str, str, float | None, str | None, int]:
    """Mostly of the last seconds, sometimes late, sometimes ahead."""
    back = draw(st.sampled_from([0, 0, 1, 2, 5, 10, 30, 70, 200, 500, -3, -20]))
    signal = draw(st.sampled_from(["st", "st", "co", "co", "or"]))
    value: float | None = None
    text: str | None = None
    if signal == "or":
        text = draw(st.sampled_from(["A", "B", ""]))
    elif signal == "st":
        value = draw(st.sampled_from([1, 1, 2, 3, 4, 9]))
    else:
        value = draw(st.one_of(st.integers(0, 30), st.sampled_from([None, 1.5])))
    return (
        max(now - back, 0),
        draw(st.sampled_from("ab")),
        signal,
        value,
        text,
        draw(st.sampled_from([0, 0, 2])),
    )


def frame(
    drawn: Sequence[tuple[float, str, str, float | None, str | None, int]], received: int
) -> pl.DataFrame:
    rows = [(at(t), m, s, v, x, q, at(5000 + received)) for t, m, s, v, x, q in drawn]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


@pytest.mark.slow
@examples(60)
@given(st.data())
def test_whatever_comes_the_rows_are_those_made_from_scratch(data: st.DataObject) -> None:
    store = Store()
    every = timedelta(seconds=data.draw(st.sampled_from([0, 20, 60, 5000]), "checkpoint every"))
    fold = Fold(PLANT, store.read, START, checkpoint_every=every)
    running = RunningLedger(PLANT, fold)
    recodes, runs, corrections = empty(RECODES), empty(ORDER_RUNS), empty(CORRECTIONS)
    now, begin, step = 0, 0, data.draw(st.sampled_from([30, 100]), "grid")
    for number in range(data.draw(st.integers(1, 12), "ticks")):
        now += data.draw(st.sampled_from([0, 1, 1, 5, 30, 90, 300]), "passes")
        for _ in range(data.draw(st.integers(0, 2), "batches")):
            batch = frame(data.draw(st.lists(sample(now), max_size=8)), number)
            store.add(batch)
            fold.accept(batch)
        event = data.draw(
            st.sampled_from(["", "", "", "recode", "recode", "take back", "correct", "run", "end", "forget"]),
            "event",
        )
        machine = data.draw(st.sampled_from("ab"))
        first = max(now - data.draw(st.sampled_from([0, 3, 60, 400])), 0)
        if event == "recode":
            end = data.draw(st.sampled_from([None, at(first + 50)]))
            said = data.draw(st.sampled_from(["clean", "stop", None]))
            doing = data.draw(st.sampled_from([None, None, "down", "running", "setup"]))
            entry = [(machine, at(first), end, said, "ada", at(6000 + number), doing, None)]
            recodes = pl.concat([recodes, pl.DataFrame(entry, schema=dict(RECODES), orient="row")])
        elif event == "correct":
            kind = data.draw(st.sampled_from(["good", "reject"]))
            fact = [(machine, at(first), kind, -3, "ada", at(6000 + number), "")]
            corrections = pl.concat([corrections, pl.DataFrame(fact, schema=dict(CORRECTIONS), orient="row")])
        elif event == "take back":
            recodes = recodes.head(max(recodes.height - 1, 0))
        elif (
            event == "run" and runs.filter(pl.col("end").is_null(), pl.col("equipment") == machine).is_empty()
        ):
            after = runs.filter(pl.col("equipment") == machine)["end"].max() or START
            run = [(machine, max(at(first), after), None, data.draw(st.sampled_from("AB")), "p")]
            runs = pl.concat([runs, pl.DataFrame(run, schema=dict(ORDER_RUNS), orient="row")])
        elif event == "end":
            ended = pl.max_horizontal("start", pl.lit(at(first))) + timedelta(seconds=1)
            closing = pl.col("end").is_null() & (pl.col("equipment") == machine)
            runs = runs.with_columns(end=pl.when(closing).then(ended).otherwise("end"))
        elif event == "forget":
            begin = max(begin, first // step * step)
            fold.forget(at(begin))
        grid = [at(s) for s in range(0, now, step)]
        extra = data.draw(st.sampled_from([[], [], [at(max(now - 45, 0))]]), "moving edge")
        window = Window(at(begin), at(now))
        given_runs = booked(fold.runs(at(now), ORDERS), runs)
        found = running.rows(window, given_runs, recodes, [*grid, *extra], corrections)
        facts = fold.facts(at(now))
        scratch = ledger(
            facts.intervals,
            corrected(facts.increments, corrections),
            given_runs,
            recodes,
            PLANT,
            window,
            [*grid, *extra],
        )
        assert_frame_equal(found, scratch)


def test_only_what_is_new_is_derived() -> None:
    """Of three hours, the last quarter; and of late samples only that machine's time since."""
    store = Store()
    fold = Fold(PLANT, store.read, START)
    running = RunningLedger(PLANT, fold)
    asked: list[dict[str, datetime]] = []
    real = fold.facts

    def spy(until: datetime, orders: pl.DataFrame | None = None, since: dict[str, datetime] | None = None):  # type: ignore[no-untyped-def]
        asked.append(dict(since or {}))
        return real(until, orders, since)

    fold.facts = spy  # type: ignore[method-assign,assignment]
    for minute in range(0, 180, 5):
        rows = [(60 * minute + s, m, "st", 1 + minute // 5 % 2, None, 0) for s in (0, 290) for m in "ab"]
        rows += [(60 * minute + s, m, "co", minute, None, 0) for s in (0, 290) for m in "ab"]
        batch = frame(sorted(rows), minute)
        store.add(batch)
        fold.accept(batch)
        now = at(60 * (minute + 5))
        running.rows(
            Window(START, now), empty(ORDER_RUNS), empty(RECODES), [at(60 * m) for m in range(0, minute, 5)]
        )
    assert asked[0]["a"] == START
    assert all(now - asked[-1][machine] <= timedelta(minutes=15) for machine in "ab")
    late = frame([(60 * 100 + 30, "a", "st", 3, None, 0)], 900)
    store.add(late)
    fold.accept(late)
    running.rows(
        Window(START, now), empty(ORDER_RUNS), empty(RECODES), [at(60 * m) for m in range(0, minute, 5)]
    )
    assert at(60 * 80) <= asked[-1]["a"] <= at(60 * 101)
    assert now - asked[-1]["b"] <= timedelta(minutes=15)


def test_a_stop_that_outgrows_a_micro_stop_and_one_that_is_coded_later_change_their_older_rows() -> None:
    store = Store()
    fold = Fold(PLANT, store.read, START)
    running = RunningLedger(PLANT, fold)
    none, runs = empty(RECODES), empty(ORDER_RUNS)
    rows = none
    for second in range(0, 270, 30):
        fold.accept(frame([(second, "b", "st", 1 if second < 30 else 3, None, 0)], second))
        rows = running.rows(Window(START, at(second + 20)), runs, none, [at(s) for s in range(0, second, 30)])
    stopped = pl.col("equipment") == "b", pl.col("state") == "down"
    assert rows.filter(*stopped)["category"].unique().to_list() == ["unplanned_downtime"]
    entry = [("b", at(60), None, "clean", "ada", at(900), None, None)]
    said = pl.DataFrame(entry, schema=dict(RECODES), orient="row")
    rows = running.rows(Window(START, at(280)), runs, said, [at(s) for s in range(0, 240, 30)])
    coded = rows.filter(*stopped, pl.col("start") >= at(60))
    assert coded["category"].unique().to_list() == ["planned_downtime"]
