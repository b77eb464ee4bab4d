"""A window put together of stored rows and derived ones is the window as derived from samples."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from infra.ledger.stored import window_of
from pipelines.derive import derive
from plant.frames import SAMPLES, Window, empty
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState
from tests.examples import examples

START = datetime(2026, 3, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONG = 600
STATES = {"1": StateMapping(state=MachineState.RUNNING), "2": StateMapping(state=MachineState.DOWN)}
MACHINES = ("a", "b", "c")


def plant() -> Plant:
    signals = [
        Signal(id=id_, equipment=m, role=role, states=STATES if role is Role.STATE else {})
        for m in MACHINES
        for id_, role in (("s", Role.STATE), ("g", Role.GOOD), ("r", Role.REJECT))
    ]
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={
            m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, micro_stop=timedelta(seconds=20))
            for m in MACHINES
        },
        signals={(s.equipment, s.id): s for s in signals},
    )


PLANT = plant()


@st.composite
def histories(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    for machine in MACHINES:
        for signal in ("s", "g", "r"):
            count = 0
            for second in sorted(draw(st.sets(st.integers(0, LONG), max_size=12))):
                count += draw(st.integers(0, 3))
                value = float(draw(st.sampled_from([1, 1, 2])) if signal == "s" else count)
                at = START + second * SECOND
                rows.append((at, machine, signal, value, None, 0, at))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def moment(draw: st.DrawFn) -> datetime:
    return START + draw(st.integers(-20, LONG + 20)) * SECOND


@st.composite
def spans(draw: st.DrawFn) -> Window:
    one, other = sorted((moment(draw), moment(draw)))
    return Window(one, other)


@examples(25)
@given(histories(), spans(), st.data())
def test_stored_and_derived_rows_are_the_derived_ledger(
    samples: pl.DataFrame, window: Window, data: st.DataObject
) -> None:
    until = START + timedelta(hours=1)

    def derived(span: Window, cuts: Sequence[datetime], machines: Sequence[str]) -> pl.DataFrame:
        rows = derive(samples, PLANT, span, until=until, edges=cuts)
        return rows.filter(pl.col("equipment").is_in(list(machines)))

    kept = {m: data.draw(st.lists(spans(), max_size=2)) for m in MACHINES}
    stored, seams = [empty(derived(window, [], []).schema)], set()
    for machine, of_machine in kept.items():
        reached = START - timedelta(days=1)
        for span in sorted(of_machine, key=lambda one: one.start):
            if reached <= span.start < span.end:
                stored.append(derived(span, [], [machine]))
                seams |= {(machine, span.start), (machine, span.end)}
                reached = span.end
    rows = pl.concat(stored)
    overlapping = rows.filter(pl.col("end") > window.start, pl.col("start") < window.end)
    edges = [moment(data.draw) for _ in range(data.draw(st.integers(0, 3)))]
    found = window_of(overlapping, window, MACHINES, derived, edges)
    every = [*edges, *(at for _, at in seams)]
    whole = derived(window, [at for at in every if window.start < at < window.end], MACHINES)
    # Seams of stored time lie elsewhere on each machine: compare pieces.
    pieces = window_of(found, window, MACHINES, derived, every)
    assert_frame_equal(pieces, whole)
    assert found.filter(pl.col("duration") <= 0).is_empty()
    assert found["good"].sum() == whole["good"].sum()


def test_parts_no_sample_tells_apart_stay_with_the_last_piece() -> None:
    samples = pl.DataFrame(
        [
            (START, "a", "s", 1.0, None, 0, START),
            *((START + n * SECOND, "a", "g", float(n), None, 0, START) for n in range(0, 60, 10)),
        ],
        schema=dict(SAMPLES),
        orient="row",
    )
    window, cut = Window(START, START + 60 * SECOND), START + 25 * SECOND
    stored = derive(samples, PLANT, window).filter(pl.col("equipment") == "a")

    def forgotten(span: Window, cuts: Sequence[datetime], machines: Sequence[str]) -> pl.DataFrame:
        return derive(samples.clear(), PLANT, span, edges=cuts).filter(pl.col("equipment").is_in(machines))

    found = window_of(stored, window, ["a"], forgotten, [cut])
    assert found["good"].to_list() == [0, stored["good"].sum()]
    assert stored["good"].sum() == 50
