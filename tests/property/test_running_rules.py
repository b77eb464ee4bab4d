"""The running ledger where rows change long after their time: stops that outgrow a micro-stop, blips that turn out to be
part of a stop, changeovers told by the product, start-ups, and re-coding that comes late."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.ledger.rows import ledger
from pipelines.derive import booked, corrected
from pipelines.fold import Fold
from pipelines.running import RunningLedger
from plant.frames import CORRECTIONS, ORDER_RUNS, RECODES, Window, empty
from plant.model import ChangeoverRule, Role, Signal, StateMapping
from plant.states import MachineState
from tests.examples import examples
from tests.property.test_running_ledger import ORDERS, PLANT, START, Store, at, frame

RULES = {
    "a": {
        "micro_stop": timedelta(seconds=60),
        "min_running": timedelta(seconds=20),
        "changeover": ChangeoverRule.DETECT,
        "startup": timedelta(seconds=45),
        "stale_after": None,
    },
    "b": {"micro_stop": timedelta(seconds=150), "min_running": timedelta(seconds=8), "startup": timedelta(0)},
    "quiet": {"changeover": ChangeoverRule.DETECT},
}
WITH_SETUP = {"5": StateMapping(state=MachineState.SETUP)}
RULED = replace(
    PLANT,
    equipment={name: replace(node, **RULES[name]) for name, node in PLANT.equipment.items()},
    signals={
        **PLANT.signals,
        ("b", "st"): replace(
            PLANT.signals["b", "st"], states={**PLANT.signals["b", "st"].states, **WITH_SETUP}
        ),
        ("a", "re"): Signal(id="re", equipment="a", role=Role.REJECT, min_cycle=timedelta(seconds=1)),
    },
)
LASTS = {
    1: (2, 7, 9, 19, 20, 21, 70),
    2: (3, 58, 59, 60, 61, 149, 151, 400),
    3: (3, 59, 61, 151),
    4: (30,),
    5: (30,),
}
"""Seconds a state goes on, around the limits of the rules."""


@st.composite
def life(draw: st.DrawFn, machine: str) -> list[tuple[float, str, str, float | None, str | None, int]]:
    """What the signals of a machine say over some minutes, in the order of time."""
    rows: list[tuple[float, str, str, float | None, str | None, int]] = []
    now, good, reject = draw(st.integers(0, 20)), 0, 0
    for number in range(draw(st.integers(4, 14))):
        code = draw(st.sampled_from([1, 1, 2, 3] if number % 2 else [1, 2, 3, 3, 4, 5]))
        lasts = draw(st.sampled_from(LASTS[code]))
        rows.append((now, machine, "st", code, None, 0))
        for _ in range(draw(st.integers(0, 2))):
            moment = now + draw(st.integers(0, lasts))
            kind = draw(st.sampled_from(["co", "co", "re", "or"]))
            if kind == "or":
                rows.append((moment, machine, "or", None, draw(st.sampled_from("AB")), 0))
            else:
                good, reject = good + (kind == "co"), reject + (kind == "re")
                rows.append((moment, machine, kind, good if kind == "co" else reject, None, 0))
        now += lasts
    return sorted(rows, key=lambda row: row[0])


@pytest.mark.slow
@examples(40)
@given(st.data())
def test_the_rows_are_those_made_from_scratch(data: st.DataObject) -> None:
    store = Store()
    fold = Fold(RULED, store.read, START, checkpoint_every=timedelta(seconds=60))
    running = RunningLedger(RULED, fold)
    coming = sorted(data.draw(life("a"), "a") + data.draw(life("b"), "b"), key=lambda row: row[0])
    held: list[tuple[float, str, str, float | None, str | None, int]] = []
    recodes, corrections, runs = empty(RECODES), empty(CORRECTIONS), empty(ORDER_RUNS)
    grid = [at(s) for s in range(0, 6000, 40)]
    now = begin = 0
    for number in range(data.draw(st.integers(3, 9), "ticks")):
        now += data.draw(st.sampled_from([1, 5, 20, 40, 60, 90]), "passes")
        new = held + [row for row in coming if row[0] < now]
        coming = [row for row in coming if row[0] >= now]
        late = data.draw(st.integers(0, 3), "late") if data.draw(st.booleans(), "some are late") else 0
        new, held = new[: len(new) - late], new[len(new) - late :]
        batch = frame(new, number)
        store.add(batch)
        fold.accept(batch)
        event = data.draw(st.sampled_from(["", "", "", "recode", "order", "later"]), "event")
        machine = data.draw(st.sampled_from("ab"))
        first = max(now - data.draw(st.sampled_from([1, 30, 90, 200, 500]), "back"), begin)
        if event == "recode":
            end = data.draw(st.sampled_from([None, at(first + 25)]))
            said = data.draw(st.sampled_from(["clean", "stop", None]))
            doing = data.draw(st.sampled_from([None, None, None, "down", "setup"]))
            entry = [(machine, at(first), end, said, "ada", at(7000 + number), doing, None)]
            recodes = pl.concat([recodes, pl.DataFrame(entry, schema=dict(RECODES), orient="row")])
        elif event == "order":
            runs = runs.with_columns(
                end=pl.min_horizontal(pl.col("end").fill_null(at(first)), pl.lit(at(first)))
            )
            runs = runs.filter(pl.col("start") < pl.col("end"))
            order = data.draw(st.sampled_from("AB"))
            run = [(m, at(first), None, order, "pq"["AB".index(order)]) for m in "ab"]
            runs = pl.concat([runs, pl.DataFrame(run, schema=dict(ORDER_RUNS), orient="row")])
        elif event == "later":
            begin = max(begin, first // 40 * 40)
        edges = [edge for edge in grid if edge < at(now)]
        window = Window(at(begin), at(now))
        of_orders = booked(fold.runs(at(now), ORDERS), runs)
        found = running.rows(window, of_orders, recodes, edges, corrections)
        facts = fold.facts(at(now))
        counted = corrected(facts.increments, corrections)
        scratch = ledger(facts.intervals, counted, of_orders, recodes, RULED, window, edges)
        assert_frame_equal(found, scratch)


def test_a_long_stop_becomes_a_changeover_when_the_next_product_is_started_in_it() -> None:
    fold = Fold(RULED, Store().read, START)
    running = RunningLedger(RULED, fold)
    fold.accept(frame([(0, "a", "st", 1, None, 0), (10, "a", "st", 3, None, 0)], 0))
    rows = empty(RECODES)
    for now in (100, 150, 200):
        spans = [("a", START, at(160), "A", "p"), ("a", at(160), None, "B", "q")]
        spans = spans if now > 160 else [("a", START, None, "A", "p")]
        runs = pl.DataFrame(spans, schema=dict(ORDER_RUNS), orient="row")
        edges = [at(s) for s in range(0, now, 40)]
        rows = running.rows(Window(START, at(now)), runs, empty(RECODES), edges)
    stopped = rows.filter(pl.col("equipment") == "a", pl.col("state") == "down")
    assert set(stopped["category"]) == {"changeover"}


def test_a_stop_that_goes_on_becomes_a_changeover_when_an_order_begins_after_one_that_is_over() -> None:
    """The runs before stay as they are: what is new begins deep in the stop."""
    fold = Fold(RULED, Store().read, START)
    running = RunningLedger(RULED, fold)
    fold.accept(frame([(0, "a", "st", 1, None, 0), (10, "a", "st", 3, None, 0)], 0))
    over, next_one = ("a", START, at(50), "A", "p"), ("a", at(160), None, "B", "q")
    rows = empty(RECODES)
    for now in (100, 150, 200):
        runs = pl.DataFrame([over, next_one][: 1 + (now > 160)], schema=dict(ORDER_RUNS), orient="row")
        edges = [at(s) for s in range(0, now, 40)]
        rows = running.rows(Window(START, at(now)), runs, empty(RECODES), edges)
    stopped = rows.filter(pl.col("equipment") == "a", pl.col("state") == "down")
    assert set(stopped["category"]) == {"changeover"}
