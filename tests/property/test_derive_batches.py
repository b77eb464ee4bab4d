"""Live equals offline: the same samples in any batches, any order, with duplicates, give the same ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from unittest.mock import patch
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import pipelines.derive
from analytics.ledger.rows import ledger
from pipelines.derive import booked, corrected, derive, facts
from pipelines.fold import Fold
from plant.frames import CORRECTIONS, RECODES, SAMPLES, Window, empty
from plant.model import (
    Break,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Reason,
    Role,
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
    "3": StateMapping(state=MachineState.RUNNING),
    "5": StateMapping(state=MachineState.DOWN, reason="jam"),
    "6": StateMapping(state=MachineState.DOWN),
    "7": StateMapping(state=MachineState.PLANNED_STOP, reason="clean"),
    "hold": StateMapping(state=MachineState.BLOCKED),
}
MACHINES = {"a": timedelta(seconds=40), "b": None}
ORDERS = pl.DataFrame({"order": ["A", "B"], "material": ["p", "q"]})


def _signals() -> dict[tuple[str, str], Signal]:
    found = [
        signal
        for m in MACHINES
        for signal in (
            Signal(id="st", equipment=m, role=Role.STATE, states=STATES),
            Signal(id="or", equipment=m, role=Role.ORDER),
            Signal(id="re", equipment=m, role=Role.REJECT),
            Signal(id="pv", equipment=m, role=Role.PROCESS_VALUE),
        )
    ]
    second = timedelta(seconds=1)
    found.append(Signal(id="co", equipment="a", role=Role.GOOD, modulus=64, min_cycle=second))
    found.append(Signal(id="co", equipment="b", role=Role.TOTAL, min_cycle=second))
    return {(s.equipment, s.id): s for s in found}


NIGHT = Shift(
    id="n", name="Night", start=time(22), end=time(6), breaks=(Break(start=time(23, 5), end=time(23, 10)),)
)
PLANT = Plant(
    site=Site(id="s", name="s", zone=ZoneInfo("Europe/Berlin")),
    equipment={
        m: Equipment(
            id=m,
            name=m,
            level=EquipmentLevel.WORK_UNIT,
            stale_after=stale,
            calendar="c" if m == "a" else None,
            micro_stop=timedelta(seconds=30),
        )
        for m, stale in MACHINES.items()
    },
    signals=_signals(),
    materials={
        "p": Material(
            id="p",
            name="p",
            ideal_cycles=(
                IdealCycle(equipment="a", cycle=timedelta(seconds=2)),
                IdealCycle(
                    equipment="a", cycle=timedelta(seconds=3), valid_from=START + timedelta(seconds=333)
                ),
            ),
        )
    },
    calendars={"c": WorkCalendar(id="c", shifts=(NIGHT,))},
    reasons={
        "jam": Reason(id="jam", name="Jam"),
        "clean": Reason(id="clean", name="Cleaning", planned=True),
    },
)
SPAN = timedelta(seconds=900)
WINDOW = Window(START + timedelta(seconds=60), START + SPAN)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@st.composite
def sample(draw: st.DrawFn) -> tuple[int, str, str, float | None, str | None, int]:
    signal = draw(st.sampled_from(["st", "st", "co", "co", "re", "or", "pv"]))
    value: float | None = None
    text: str | None = None
    if signal == "st":
        raw = draw(st.sampled_from([3, 3, 5, 6, 7, 99, "hold", None]))
        value, text = (None, raw) if isinstance(raw, str) else (raw, None)
    elif signal == "or":
        text = draw(st.sampled_from(["A", "B", " A ", "", None]))
    else:
        value = draw(st.one_of(st.integers(0, 70), st.sampled_from([None, 1.5, -1])))
    second = draw(st.integers(0, 900))
    quality = draw(st.sampled_from([0, 0, 0, 0, 1, 2]))
    return (second, draw(st.sampled_from("ab")), signal, value, text, quality)


def frame(drawn: Sequence[tuple[int, str, str, float | None, str | None, int]]) -> pl.DataFrame:
    rows = [
        (at(second), machine, signal, value, text, quality, at(1000) + timedelta(seconds=order))
        for order, (second, machine, signal, value, text, quality) in enumerate(drawn)
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


RECODED = pl.DataFrame(
    [
        ("a", at(100), at(300), "clean", "ada", at(500), None, None),
        ("a", at(200), at(400), "jam", "bob", at(501), None, None),
        ("b", at(50), None, "clean", "bob", at(502), None, None),
    ],
    schema=dict(RECODES),
    orient="row",
)


CORRECTED = pl.DataFrame(
    [
        ("a", at(120), "good", 3, "ada", at(700), ""),
        ("b", at(130), "reject", 2, "ada", at(701), ""),
        ("b", at(640), "good", -1, "bob", at(702), ""),
    ],
    schema=dict(CORRECTIONS),
    orient="row",
)


@examples(30)
@given(st.lists(sample(), max_size=60), st.data())
def test_any_batches_in_any_order_give_the_ledger_of_one_shot(drawn: list, data: st.DataObject) -> None:
    samples = frame(drawn)
    expected = derive(samples, PLANT, WINDOW, ORDERS, RECODED)
    order = data.draw(st.permutations(range(len(drawn))))
    repeats = data.draw(st.lists(st.sampled_from(order), max_size=8)) if drawn else []
    order = order + repeats
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=8)))
    store = Store()
    every = timedelta(seconds=data.draw(st.sampled_from([0, 60, 5000])))
    fold = Fold(PLANT, store.read, START, checkpoint_every=every)
    for first, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        batch = samples[order[first:end]]
        store.add(batch)
        fold.accept(batch)
        if data.draw(st.booleans()):
            fold.facts(at(900))
    assert_frame_equal(fold.ledger(WINDOW, ORDERS, RECODED), expected)
    seen, live = facts(samples, PLANT, at(700), ORDERS), fold.facts(at(700), ORDERS)
    assert_frame_equal(live.intervals, seen.intervals)
    assert_frame_equal(live.increments, seen.increments)
    assert_frame_equal(live.runs, seen.runs)


@examples(30)
@given(st.lists(sample(), max_size=60), st.integers(0, 40), st.booleans())
def test_machines_derived_apart_have_the_ledger_of_all(drawn: list, most: int, told: bool) -> None:
    samples = frame(drawn)
    seen = facts(samples, PLANT, at(901), ORDERS)
    runs = seen.runs.with_columns(order=pl.lit("booked")) if told else None
    corrections = CORRECTED if told else empty(CORRECTIONS)
    counted = corrected(seen.increments, corrections)
    edges = [at(77), at(500)]
    expected = ledger(seen.intervals, counted, booked(seen.runs, runs), RECODED, PLANT, WINDOW, edges)
    with patch.object(pipelines.derive, "GROUP_ROWS", most):
        found = derive(
            samples.lazy(), PLANT, WINDOW, ORDERS, RECODED, runs, at(901), iter(edges), corrections
        )
    assert_frame_equal(found, expected)


@examples(30)
@given(st.lists(sample(), max_size=60), st.lists(st.integers(1, 839), max_size=3, unique=True))
def test_sums_of_sub_windows_are_the_sums_of_the_window(drawn: list, cuts: list[int]) -> None:
    seen = facts(frame(drawn), PLANT, at(900), ORDERS)
    parts = (seen.intervals, seen.increments, booked(seen.runs, None), RECODED, PLANT)
    edges = [WINDOW.start, *(WINDOW.start + timedelta(seconds=c) for c in sorted(cuts)), WINDOW.end]
    pieces = [ledger(*parts, Window(a, b)) for a, b in pairwise(edges)]
    amounts = ["duration", "good", "reject", "rework", "ideal", "ideal_good", "unrated", "flagged"]
    keys = ["equipment", "shift", "order", "category", "reason", "raw"]

    def sums(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.group_by(keys).agg(pl.col(amounts).sum()).sort(keys)

    whole = ledger(*parts, WINDOW)
    assert_frame_equal(sums(pl.concat(pieces)), sums(whole))
    assert_frame_equal(
        ledger(*parts, WINDOW, edges=edges[1:-1]), pl.concat(pieces).sort("equipment", "start")
    )


@examples(30)
@given(st.lists(sample(), max_size=60), st.integers(0, 800))
def test_forgetting_the_past_changes_nothing_after_it(drawn: list, past: int) -> None:
    samples = frame(drawn).sort("time", "received")
    store = Store()
    store.add(samples)
    window = Window(at(past), at(900))
    kept = Fold(PLANT, store.read, START, checkpoint_every=timedelta(seconds=30))
    for cut in (samples.filter(pl.col("time") < at(past)), samples.filter(pl.col("time") >= at(past))):
        kept.accept(cut)
        kept.forget(at(past))
    assert_frame_equal(kept.ledger(window, ORDERS), derive(samples, PLANT, window, ORDERS))


@examples(30)
@given(st.lists(sample(), max_size=60), st.integers(0, 800), st.data())
def test_what_held_before_the_memory_begins_holds_in_it(drawn: list, past: int, data: st.DataObject) -> None:
    """A fold that begins with the newest samples before `since`, as after a restart, whatever comes late or again."""
    # One that says nothing hides what was said before it, which only a whole history shows.
    drawn = [
        d
        for d in drawn
        if d[0] >= past or (d[5] < 2 and (d[3], d[4]) != (None, None) and d[3] not in (1.5, -1))
    ]
    samples = frame(drawn)
    window, store = Window(at(past), at(900)), Store()
    order = data.draw(st.permutations(range(len(drawn))))
    cut = data.draw(st.integers(0, len(order)))
    store.add(samples[order[:cut]])
    every = timedelta(seconds=data.draw(st.sampled_from([0, 60, 5000])))
    fold = Fold(PLANT, store.read, at(past), checkpoint_every=every)
    before, after = (
        store.samples.filter(older) for older in (pl.col("time") < at(past), pl.col("time") >= at(past))
    )
    fold.accept(before.group_by("equipment", "signal", maintain_order=True).last().select(list(SAMPLES)))
    fold.accept(after)
    for place in order[cut:]:
        store.add(samples[[place]])
        fold.accept(samples[[place]])
        if data.draw(st.booleans()):
            fold.facts(at(900))
    # Since when a stop went on that had begun before, and so whether it is a short one, is not known.
    live, seen = fold.ledger(window, ORDERS), derive(samples, PLANT, window, ORDERS)
    assert_frame_equal(live.drop("stop_start", "category"), seen.drop("stop_start", "category"))
