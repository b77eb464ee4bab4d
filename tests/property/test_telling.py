"""States that no single signal tells: live equals offline, and both equal a reading of the rules second by second."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.facts.cycles import cycle_times
from analytics.ledger.gaps import Gap, states_from_cycles
from analytics.ledger.rows import ledger
from pipelines.derive import booked, derive, facts
from pipelines.fold import Fold
from pipelines.running import RunningLedger
from plant.expressions import parse
from plant.frames import ORDER_RUNS, RECODES, SAMPLES, Window, empty
from plant.model import (
    CycleGaps,
    CycleKind,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Role,
    Signal,
    Site,
    StateMapping,
    StateRule,
)
from plant.states import MachineState
from tests.examples import examples
from tests.stored import Store

START = datetime(2026, 3, 28, 22, tzinfo=UTC)
SPAN = 900
STALE = {"x": 40, "y": None, "g": 50, "p": None, "t": 60}


def rule(when: str, state: MachineState, reason: str | None = None) -> StateRule:
    return StateRule(
        when=when, condition=parse(when) if when else None, means=StateMapping(state=state, reason=reason)
    )


RULES = (
    rule("door == 1 and not mode == 'AUTO'", MachineState.SETUP),
    rule("pv > 50 or pv % 10 == 3", MachineState.RUNNING),
    rule("10 <= pv < 20", MachineState.DOWN, "jam"),
    rule("mode in ('AUTO', 'MDI') and door != 1", MachineState.DOWN),
    rule("", MachineState.BLOCKED),
)
GAPS = CycleGaps(running=1.0, slow=1.7, micro_stop=6.0)


def _signals() -> list[Signal]:
    found = [
        Signal(id=name, equipment=m, role=role, decides=True)
        for m in "xy"
        for name, role in (
            ("pv", Role.PROCESS_VALUE),
            ("door", Role.PROCESS_VALUE),
            ("mode", Role.ALARM),
        )
    ]
    second = timedelta(seconds=1)
    return [
        *found,
        Signal(id="co", equipment="x", role=Role.GOOD, min_cycle=second),
        Signal(id="co", equipment="g", role=Role.GOOD, min_cycle=second, modulus=64),
        Signal(id="re", equipment="g", role=Role.REJECT, min_cycle=second),
        Signal(id="ma", equipment="g", role=Role.MATERIAL, materials={"1": "slow", "2": "quick"}),
        Signal(id="or", equipment="g", role=Role.ORDER),
        Signal(id="cy", equipment="p", role=Role.CYCLE, cycle=CycleKind.PULSE),
        Signal(id="cy", equipment="t", role=Role.CYCLE),
        Signal(id="co", equipment="t", role=Role.TOTAL, min_cycle=second),
    ]


PLANT = Plant(
    site=Site(id="s", name="s", zone=ZoneInfo("Europe/Berlin")),
    equipment={
        m: Equipment(
            id=m,
            name=m,
            level=EquipmentLevel.WORK_UNIT,
            stale_after=None if stale is None else timedelta(seconds=stale),
            micro_stop=timedelta(seconds=30),
            states=RULES if m in "xy" else (),
            cycle_gaps=GAPS if m in "gpt" else None,
            material="slow" if m in "pt" else None,
        )
        for m, stale in STALE.items()
    },
    signals={(s.equipment, s.id): s for s in _signals()},
    materials={
        "slow": Material(
            id="slow",
            name="slow",
            ideal_cycles=tuple(IdealCycle(equipment=m, cycle=timedelta(seconds=10)) for m in "gpt"),
        ),
        "quick": Material(
            id="quick",
            name="quick",
            ideal_cycles=(
                IdealCycle(equipment="g", cycle=timedelta(seconds=3)),
                IdealCycle(
                    equipment="g", cycle=timedelta(seconds=4), valid_from=START + timedelta(seconds=333)
                ),
            ),
        ),
    },
)
ORDERS = pl.DataFrame({"order": ["A", "B"], "material": ["slow", "unheard"]})
WINDOW = Window(START + timedelta(seconds=60), START + timedelta(seconds=SPAN))

Drawn = tuple[int, str, str, float | None, str | None, int]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@st.composite
def sample(draw: st.DrawFn, machines: str, newest: int = SPAN, oldest: int = 0) -> Drawn:
    machine, signal = draw(st.sampled_from([key for key in sorted(PLANT.signals) if key[0] in machines]))
    value: float | None = None
    text: str | None = None
    if signal == "mode":
        text = draw(st.sampled_from(["AUTO", "AUTO", "MDI", "JOG", None]))
    elif signal == "or":
        text = draw(st.sampled_from(["A", "B", "", None]))
    elif signal == "ma":
        raw = draw(st.sampled_from([1, 2, 2, "quick", "", None]))
        value, text = (None, raw) if isinstance(raw, str) else (raw, None)
    elif signal == "door":
        value = draw(st.sampled_from([0, 1, None]))
    elif signal == "cy":
        value = draw(st.sampled_from([0, 0, 1, 12] if machine == "p" else [8, 8, 12.5, 30, 0, None]))
    elif signal == "pv":
        value, text = draw(
            st.sampled_from(
                [(3, None), (15, None), (15.5, None), (60, None), (61, None), (None, None), (None, "?")]
            )
        )
    else:
        value = draw(st.one_of(st.integers(0, 3), st.integers(0, 70), st.sampled_from([None, 1.5])))
    second = draw(st.integers(oldest, newest))
    return (second, machine, signal, value, text, draw(st.sampled_from([0, 0, 0, 0, 1, 2])))


@st.composite
def day(draw: st.DrawFn) -> list[Drawn]:
    """Samples of one or two machines in any order, dense enough that each follows from others."""
    machines = draw(st.sampled_from(["x", "y", "g", "p", "t", "xg", "ypt"]))
    newest = draw(st.sampled_from([150, 300, SPAN]))
    fewest = draw(st.sampled_from([1, 25]))
    return draw(st.lists(sample(machines, newest), min_size=fewest, max_size=50))


def frame(drawn: Sequence[Drawn], received: int = 1000) -> pl.DataFrame:
    rows = [
        (at(second), machine, signal, value, text, quality, at(received) + timedelta(microseconds=order))
        for order, (second, machine, signal, value, text, quality) in enumerate(drawn)
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


@examples(15)
@given(day(), st.data())
def test_any_batches_in_any_order_give_the_facts_of_one_shot(drawn: list[Drawn], data: st.DataObject) -> None:
    samples = frame(drawn)
    order = data.draw(st.permutations(range(len(drawn))))
    order += data.draw(st.lists(st.sampled_from(order), max_size=8)) if drawn else []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=8)))
    store = Store()
    every = timedelta(seconds=data.draw(st.sampled_from([0, 60, 5000])))
    fold = Fold(PLANT, store.read, START, checkpoint_every=every)
    for first, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        batch = samples[order[first:end]]
        store.add(batch)
        fold.accept(batch)
        if data.draw(st.booleans()):
            fold.facts(at(data.draw(st.sampled_from([SPAN, 300]))))
    assert_frame_equal(fold.ledger(WINDOW, ORDERS), derive(samples, PLANT, WINDOW, ORDERS))
    for until in (700, SPAN + 300):
        seen, live = facts(samples, PLANT, at(until), ORDERS), fold.facts(at(until), ORDERS)
        assert_frame_equal(live.intervals, seen.intervals)
        assert_frame_equal(live.increments, seen.increments)
        assert_frame_equal(live.runs, seen.runs)
        assert_frame_equal(live.signalled, seen.signalled)
        assert_frame_equal(
            cycle_times(live.increments, live.intervals, live.signalled),
            cycle_times(seen.increments, seen.intervals, seen.signalled),
        )


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows, but running and unknown time of machines told from their cycles begins where it is remembered from."""
    goes_on = pl.col("equipment").is_in(["g", "p", "t"]) & pl.col("state").is_in(["running", "unknown"])
    return rows.with_columns(stop_start=pl.when(goes_on).then(None).otherwise("stop_start"))


@examples(12)
@given(day(), st.integers(0, 800))
def test_forgetting_the_past_changes_nothing_after_it(drawn: list[Drawn], past: int) -> None:
    samples = frame(drawn).sort("time", "received")
    store = Store()
    store.add(samples)
    window = Window(at(past), at(SPAN))
    kept = Fold(PLANT, store.read, START, checkpoint_every=timedelta(seconds=30))
    for cut in (samples.filter(pl.col("time") < at(past)), samples.filter(pl.col("time") >= at(past))):
        kept.accept(cut)
        kept.forget(at(past))
    assert_frame_equal(_told(kept.ledger(window, ORDERS)), _told(derive(samples, PLANT, window, ORDERS)))


@pytest.mark.slow
@examples(25)
@given(st.data())
def test_the_running_ledger_is_that_made_from_scratch(data: st.DataObject) -> None:
    store = Store()
    every = timedelta(seconds=data.draw(st.sampled_from([0, 20, 60, 5000]), "checkpoint every"))
    fold = Fold(PLANT, store.read, START, checkpoint_every=every)
    running = RunningLedger(PLANT, fold)
    runs, now, begin, forgot = empty(ORDER_RUNS), 0, 0, False
    machines = data.draw(st.sampled_from(["x", "y", "g", "p", "t", "xg", "ypt"]), "machines")
    for number in range(data.draw(st.integers(1, 12), "ticks")):
        now += data.draw(st.sampled_from([0, 1, 5, 12, 30, 90, 300]), "passes")
        for part in range(data.draw(st.integers(0, 2), "batches")):
            back = data.draw(st.sampled_from([5, 5, 30, 200, 600]))
            batch = frame(
                data.draw(st.lists(sample(machines, now + 3, max(now - back, 0)), max_size=12)),
                5000 + 10 * number + part,
            )
            store.add(batch)
            fold.accept(batch)
        event = data.draw(st.sampled_from(["", "", "", "run", "forget"]), "event")
        first = max(now - data.draw(st.sampled_from([0, 3, 60, 400])), 0)
        if event == "run":
            after = runs["end"].max() or START
            end = max(at(first), after) + timedelta(seconds=data.draw(st.integers(1, 60)))
            run = [
                ("g", max(at(first), after), end, "A", data.draw(st.sampled_from(["slow", "quick", None])))
            ]
            runs = pl.concat([runs, pl.DataFrame(run, schema=dict(ORDER_RUNS), orient="row")])
        elif event == "forget":
            begin, forgot = max(begin, first // 30 * 30), True
            fold.forget(at(begin))
        grid = [at(s) for s in range(0, now, 30)]
        window = Window(at(begin), at(now))
        given_runs = booked(fold.runs(at(now), ORDERS), runs)
        found = running.rows(window, given_runs, empty(RECODES), grid)
        seen = fold.facts(at(now))
        scratch = ledger(seen.intervals, seen.increments, given_runs, empty(RECODES), PLANT, window, grid)
        if forgot:
            found, scratch = _told(found), _told(scratch)
        assert_frame_equal(found, scratch)


def _usable(drawn: Sequence[Drawn], machine: str, signal: str) -> list[tuple[int, object]]:
    """Samples in order, each instant once, the last one wins; None: it says nothing."""
    found: dict[int, object] = {}
    for second, m, s, value, text, quality in drawn:
        if (m, s) == (machine, signal):
            found[second] = None if quality == 2 else (value if text is None else text)
    return sorted(found.items())


def _standing(drawn: Sequence[Drawn], machine: str, signal: str, second: int) -> object:
    stale = STALE[machine]
    before = [(t, v) for t, v in _usable(drawn, machine, signal) if t <= second]
    if not before or (stale is not None and second >= before[-1][0] + stale):
        return None
    return before[-1][1]


def _rules(pv: object, door: object, mode: object) -> str:
    """What RULES say, by trying every value that is not known: unknown unless all agree (or the logic cannot tell)."""
    number = pv if isinstance(pv, int | float) else None

    def compared(known: object, test: bool) -> bool | None:
        return None if known is None else test

    def both(*parts: bool | None) -> bool | None:
        return False if False in parts else None if None in parts else True

    def either(*parts: bool | None) -> bool | None:
        return True if True in parts else None if None in parts else False

    def no(part: bool | None) -> bool | None:
        return None if part is None else not part

    value = float(number) if number is not None else 0.0
    conditions = [
        (both(compared(door, door == 1), no(compared(mode, mode == "AUTO"))), ("setup", None)),
        (either(compared(number, value > 50), compared(number, value % 10 == 3)), ("running", None)),
        (both(compared(number, value >= 10), compared(number, value < 20)), ("down", "jam")),
        (both(compared(mode, mode in ("AUTO", "MDI")), compared(door, door != 1)), ("down", None)),
        (True, ("blocked", None)),
    ]
    doubtful: list[tuple[str, str | None]] = []
    for holds, means in conditions:
        if holds is None:
            doubtful.append(means)
        elif holds:
            return means[0] if all(other == means for other in doubtful) else "unknown"
    return "unknown"


@examples(50)
@given(day())
def test_conditions_hold_second_by_second(drawn: list[Drawn]) -> None:
    found = facts(frame(drawn), PLANT, at(SPAN + 1)).intervals
    for machine in "xy":
        spans = found.filter(pl.col("equipment") == machine).select("start", "end", "state").rows()
        for second in range(0, SPAN, 3):
            wanted = _rules(*(_standing(drawn, machine, s, second) for s in ("pv", "door", "mode")))
            said = next((state for start, end, state in spans if start <= at(second) < end), "unknown")
            assert said == wanted, second


gap = st.tuples(st.integers(1, 90), st.integers(1, 4))
"""Seconds to the next reading that shows parts, and how many."""


@examples(25)
@given(st.lists(gap, max_size=30), st.integers(1, 90))
def test_gaps_between_parts_are_read_as_the_rule_says(gaps: list[tuple[int, int]], then: int) -> None:
    second, made, rows = 0, 0, [(0, "t", "co", 0.0, None, 0)]
    for span, parts in gaps:
        second, made = second + span, made + parts
        rows.append((second, "t", "co", float(made), None, 0))
    counting = Plant(
        site=PLANT.site,
        equipment={
            "t": Equipment(id="t", name="t", level=EquipmentLevel.WORK_UNIT, material="slow", cycle_gaps=GAPS)
        },
        signals={("t", "co"): Signal(id="co", equipment="t", role=Role.TOTAL)},
        materials=PLANT.materials,
    )
    seen = facts(frame(rows), counting, at(second + then))
    states = states_from_cycles(seen.intervals, seen.increments, seen.runs, counting)
    wanted: list[str] = []
    for span, parts in [*gaps, (then, 1)]:
        ideal = 10 * parts
        kind = (
            Gap.RUNNING
            if span <= ideal
            else Gap.SLOW
            if span <= 1.7 * ideal
            else Gap.MICRO_STOP
            if span <= 6 * ideal
            else Gap.IDLE
        )
        wanted += [Gap.RUNNING.value] * min(span, ideal) + [kind.value] * max(span - ideal, 0)
    said = [
        raw
        for start, end, raw in states.select("start", "end", "raw").iter_rows()
        for _ in range(int((end - start).total_seconds()))
    ]
    assert said == wanted


def test_what_was_only_late_was_not_silent() -> None:
    store = Store()
    fold = Fold(PLANT, store.read, START)
    first = frame([(0, "x", "pv", 60, None, 0), (0, "x", "door", 0, None, 0)])
    then = frame([(30, "x", "pv", 60, None, 0), (35, "x", "door", 0, None, 0), (200, "x", "pv", 60, None, 0)])
    late = frame([(10, "x", "door", 1, None, 0)])
    for number, batch in enumerate((first, then, late)):
        store.add(batch)
        fold.accept(batch)
        for until in (39, 41, 100, 300):
            assert_frame_equal(
                fold.facts(at(until)).intervals, facts(store.samples, PLANT, at(until)).intervals
            )
        assert fold.facts(at(100)).intervals.filter(state="running").height == (1, 1, 2)[number]


def test_a_gap_that_grows_changes_what_was_said_of_it() -> None:
    store = Store()
    fold = Fold(PLANT, store.read, START)
    running = RunningLedger(PLANT, fold)
    said = []
    for now in (0, 10, 12, 25, 40, 65, 80):
        if now in (0, 10):
            fold.accept(frame([(now, "p", "cy", 0, None, 0), (now + 1, "p", "cy", 1, None, 0)]))
        rows = running.rows(
            Window(START, at(now + 2)), empty(ORDER_RUNS), empty(RECODES), [at(s) for s in range(0, now, 5)]
        )
        rest = rows.filter(pl.col("equipment") == "p", pl.col("start") >= at(21))
        said.append(rest["category"].unique().to_list())
    stop = [["micro_stop"], ["micro_stop"], ["unplanned_downtime"]]
    assert said == [[], [], [], ["running"], *stop]


def test_every_cycle_time_counts_live_too() -> None:
    store = Store()
    fold = Fold(PLANT, store.read, START)
    batch = frame([(second, "t", "cy", 8, None, 0) for second in (0, 10, 13, 20, 30)])
    fold.accept(batch)
    assert (
        fold.facts(at(40)).signalled.height == 3
    )  # the one at 13 s is read again, the one at 20 s hides behind it
    assert_frame_equal(fold.facts(at(40)).signalled, facts(batch, PLANT, at(40)).signalled)


def test_a_correction_that_leaves_no_edge_leaves_no_state() -> None:
    store = Store()
    fold = Fold(PLANT, store.read, START, checkpoint_every=timedelta(0))
    batches = [
        frame([(0, "y", "pv", 60, None, 0), (0, "y", "door", 0, None, 0), (0, "y", "mode", None, "AUTO", 0)]),
        frame([(10, "y", "pv", 15, None, 0)]),
        frame([(10, "y", "pv", 60, None, 0)], received=2000),
    ]
    states = []
    for batch in batches:
        store.add(batch)
        fold.accept(batch)
        states.append(fold.facts(at(20)).intervals["state"].to_list())
    assert states == [["running"], ["running", "down"], ["running"]]
