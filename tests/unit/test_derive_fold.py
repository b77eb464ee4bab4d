"""The live fold: what it reports of late samples, and that a failing historian changes nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.derive import derive
from pipelines.fold import Fold
from plant.frames import SAMPLES, Window, empty
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
STATES = {
    "1": StateMapping(state=MachineState.RUNNING),
    "2": StateMapping(state=MachineState.DOWN),
}
PLANT = Plant(
    site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
    equipment={m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT) for m in "ab"},
    signals={
        (m, s): Signal(id=s, equipment=m, role=role, states=STATES)
        for m in "ab"
        for s, role in (("state", Role.STATE), ("good", Role.GOOD))
    },
)
WINDOW = Window(START, START + timedelta(hours=2))


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def batch(*points: tuple[float, str, str, float]) -> pl.DataFrame:
    rows = [(at(t), m, s, float(v), None, 0, at(t)) for t, m, s, v in points]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


class Store:
    def __init__(self) -> None:
        self.samples = empty(SAMPLES)
        self.asked: list[tuple[list[str], Window]] = []
        self.broken = False

    def read(self, equipment: Sequence[str], window: Window) -> pl.DataFrame:
        if self.broken:
            raise OSError("the historian is away")
        self.asked.append((list(equipment), window))
        return self.samples.filter(
            pl.col("equipment").is_in(list(equipment)),
            pl.col("time").is_between(window.start, window.end, closed="left"),
        ).sort("equipment", "signal", "time")


def fold(store: Store, *batches: pl.DataFrame) -> Fold:
    found = Fold(PLANT, store.read, START)
    for samples in batches:
        store.samples = pl.concat([store.samples, samples])
        found.accept(samples)
    return found


STEADY = [
    batch((t, "a", "state", 1), (t, "a", "good", t), (t, "b", "state", 1), (t, "b", "good", t))
    for t in range(0, 60, 5)
]


def test_in_order_the_historian_is_not_asked() -> None:
    store = Store()
    live = fold(store, *STEADY)
    assert store.asked == []
    assert live.newest == at(55)
    assert_frame_equal(live.ledger(WINDOW), derive(store.samples, PLANT, WINDOW))


def test_a_batch_sent_again_is_no_news() -> None:
    store = Store()
    live = fold(store, *STEADY)
    taken = live.accept(STEADY[-1])
    assert (taken.rows, taken.restated.height, store.asked) == (0, 0, [])


def test_late_samples_are_reported_and_only_their_machine_is_read_from_a_checkpoint_on() -> None:
    store = Store()
    live = fold(store, *STEADY)
    late = batch((32, "a", "state", 2), (33, "a", "state", 1), (57, "b", "state", 2))
    store.samples = pl.concat([store.samples, late])
    taken = live.accept(late)
    assert taken.restated.rows() == [("a", at(32), at(33))]
    assert taken.forgotten.is_empty()
    ((equipment, window),) = store.asked
    assert equipment == ["a"]
    assert at(15) <= window.start <= at(30) and window.end > at(55)
    assert_frame_equal(live.ledger(WINDOW), derive(store.samples, PLANT, WINDOW))


def test_a_historian_that_fails_leaves_everything_as_it_was() -> None:
    store = Store()
    live = fold(store, *STEADY)
    before = live.ledger(WINDOW)
    late = batch((32, "a", "state", 2), (70, "a", "state", 2))
    store.samples, store.broken = pl.concat([store.samples, late]), True
    with pytest.raises(OSError, match="away"):
        live.accept(late)
    assert_frame_equal(live.ledger(WINDOW), before)
    store.broken = False
    live.accept(late)
    assert_frame_equal(live.ledger(WINDOW), derive(store.samples, PLANT, WINDOW))


def test_what_is_older_than_the_memory_is_named_and_changes_nothing() -> None:
    store = Store()
    live = fold(store, *STEADY)
    live.forget(at(40))
    window = Window(at(40), at(120))
    before = live.ledger(window)
    late = batch((12, "a", "state", 2), (13, "a", "good", 50))
    store.samples = pl.concat([store.samples, late])
    taken = live.accept(late)
    assert taken.forgotten.rows() == [("a", at(12), at(13))]
    assert (taken.rows, taken.restated.height) == (0, 0)
    assert_frame_equal(live.ledger(window), before)


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    store = Store()
    live = fold(store)
    for t in range(0, 600, 5):
        live.accept(batch((t, "a", "state", 1 + t // 5 % 2), (t, "a", "good", t)))
        live.forget(at(t - 60))
    found = live.facts(at(600))
    assert found.intervals.height <= 15
    assert found.increments.height <= 15
    assert len(live._checkpoints) <= 10


def test_samples_that_repeat_do_not_pile_up_while_nobody_asks() -> None:
    store = Store()
    live = fold(store)
    for second in range(800):
        live.accept(batch((second / 60, "a", "state", 1), (second / 60, "a", "good", second // 200)))
    assert live._work.height < 20
    assert live.facts(at(60)).increments["quantity"].sum() == 3
