"""Sums of a long window from cells of whole days are those of its ledger, row by row; over a real database."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.figures.buckets import edges
from analytics.figures.losses import six_big_losses
from analytics.figures.summary import summarise
from analytics.kpis import catalogue
from infra.ledger.cache import LedgerCache, WholeDays
from infra.ledger.stored import window_of
from infra.ledger.summed import Addends, addends
from infra.records.database import Database, upgrade
from infra.records.ledger import LedgerRows
from pipelines.derive import derive
from plant.frames import SAMPLES, Window, empty
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState
from tests.examples import examples

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 26, tzinfo=UTC)  # the clocks change on the 29th
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
LONG = 6 * 24 * 3600
UNTIL = START + LONG * SECOND
STATES = {"1": StateMapping(state=MachineState.RUNNING), "2": StateMapping(state=MachineState.DOWN)}
NOBODY_SAW = 9
"""A code without a mapping: what the machine does is not known."""
MACHINES = ("a", "b", "c")
MIDNIGHTS = edges(Window(START - 2 * timedelta(days=1), UNTIL + timedelta(days=1)), ZONE, "day")
EVERY = list(catalogue())


def plant() -> Plant:
    roles = (("s", Role.STATE), ("g", Role.GOOD), ("r", Role.REJECT))
    signals = [
        Signal(id=id_, equipment=m, role=role, states=STATES if role is Role.STATE else {})
        for m in MACHINES
        for id_, role in roles
    ]
    machines = [
        Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, micro_stop=timedelta(minutes=20))
        for m in MACHINES
    ]
    return Plant(
        site=Site(id="s", name="s", zone=ZONE),
        equipment={m.id: m for m in machines},
        signals={(s.equipment, s.id): s for s in signals},
    )


PLANT = plant()


@st.composite
def histories(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    for machine in MACHINES:
        for signal in ("s", "g", "r"):
            count = 0
            for second in sorted(draw(st.sets(st.integers(0, LONG), max_size=15))):
                count += draw(st.integers(0, 3))
                value = float(draw(st.sampled_from([1, 1, 2, 2, NOBODY_SAW])) if signal == "s" else count)
                at = START + second * SECOND
                rows.append((at, machine, signal, value, None, 0, at))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


@st.composite
def spans(draw: st.DrawFn) -> Window:
    """Often long, and often from midnight to midnight, UTC or local."""
    at = st.one_of(
        st.sampled_from(MIDNIGHTS[2:-2]),
        st.integers(0, 6).map(lambda day: START + timedelta(days=day)),
        st.integers(0, LONG).map(lambda second: START + second * SECOND),
    )
    one, other = sorted((draw(at), draw(at)))
    return Window(one, other)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path_factory.mktemp('records') / 'records.db'}")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cache(database: Database, tmp_path_factory: pytest.TempPathFactory) -> LedgerCache:
    return LedgerCache(database, tmp_path_factory.mktemp("ledger"), ZONE)


def store(database: Database, rows: pl.DataFrame) -> None:
    with database.begin() as connection:
        for machine in MACHINES:
            of = rows.filter(pl.col("equipment") == machine)
            LedgerRows(connection).replace(machine, Window(MIDNIGHTS[0], MIDNIGHTS[-1]), of)


@examples(8)
@given(histories(), spans(), st.data())
def test_cells_and_rows_add_up_to_the_ledger(
    database: Database, cache: LedgerCache, samples: pl.DataFrame, window: Window, data: st.DataObject
) -> None:
    def derived(span: Window, cuts: Sequence[datetime], machines: Sequence[str]) -> pl.DataFrame:
        rows = derive(samples, PLANT, span, until=UNTIL, edges=cuts)
        return rows.filter(pl.col("equipment").is_in(list(machines)))

    stored = [empty(derived(window, [], []).schema)]
    for machine in MACHINES:
        reached = MIDNIGHTS[0]
        of_machine = data.draw(st.one_of(st.just([Window(START, UNTIL)]), st.lists(spans(), max_size=3)))
        for span in sorted(of_machine, key=lambda one: one.start):
            if reached <= span.start < span.end:
                stored.append(
                    derived(span, [at for at in MIDNIGHTS if span.start < at < span.end], [machine])
                )
                reached = span.end
    rows = pl.concat(stored)
    store(database, rows)
    by = data.draw(
        st.sampled_from(
            (
                [],
                ["equipment"],
                ["day"],
                ["reason", "equipment"],
                ["equipment", "day"],
                ["category"],
                ["order", "shift"],
            )
        )
    )
    cuts = edges(window, ZONE, "day") if "day" in by else []
    overlapping = rows.filter(pl.col("end") > window.start, pl.col("start") < window.end)
    whole = window_of(overlapping, window, MACHINES, derived, cuts)

    def summed(found: Addends) -> list[pl.DataFrame]:
        figures = summarise(found.ledger, by, PLANT, kpis=EVERY, window=window, failing=found.failing)
        return [figures, six_big_losses(found.ledger, PLANT)]

    def taken(found: WholeDays) -> list[pl.DataFrame]:
        return summed(addends(found, window, PLANT, MACHINES, derived, cuts, by))

    wanted = [summarise(whole, by, PLANT, kpis=EVERY), six_big_losses(whole, PLANT)]
    for figures, plain in zip(cache.summed(window, taken), wanted, strict=True):
        assert_frame_equal(figures, plain, check_exact=False, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("states", "failures", "repaired"),
    (
        ({0: 1, 72: 2, 75: 1}, 1, 3),  # over the midnight that parts two files
        ({0: 1, 71: NOBODY_SAW, 72: 2, 75: 1}, 1, None),  # begins where one begins, after time nobody saw
        ({0: 1, 70: NOBODY_SAW, 71: 2, 75: 1}, 1, None),  # begins after such time, ends on the next day
        ({0: 1, 71: 2, 73: NOBODY_SAW, 75: 1}, 1, None),  # ends on the next day where such time begins
        ({0: 1, 71: 2, 72: NOBODY_SAW, 75: 1}, 1, None),
        ({0: 1, 70: 2, 71: 1, 71.5: 2, 73: 1, 73.5: 2, 75.5: 1}, 3, 1.5),  # one inside a day on either side
    ),
)
def test_failures_over_the_end_of_a_day_are_those_of_the_ledger(
    database: Database,
    cache: LedgerCache,
    states: dict[float, int],
    failures: int,
    repaired: float | None,
) -> None:
    """`repaired`: hours, the mean of those seen whole. Files part at 72 h."""
    rows = [(START + h * HOUR, "a", "s", float(code), None, 0, START) for h, code in states.items()]
    samples = pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")
    window = Window(MIDNIGHTS[1], MIDNIGHTS[-2])
    every = derive(samples, PLANT, Window(MIDNIGHTS[0], MIDNIGHTS[-1]), until=UNTIL, edges=MIDNIGHTS)
    store(database, every)

    def derived(span: Window, cuts: Sequence[datetime], machines: Sequence[str]) -> pl.DataFrame:
        raise AssertionError("nothing is missing")

    def taken(found: WholeDays) -> pl.DataFrame:
        summed = addends(found, window, PLANT, MACHINES, derived)
        assert summed.ledger.filter(equipment="a")["failures"].is_not_null().any(), "in cells"
        return summarise(
            summed.ledger, ["equipment"], PLANT, kpis=EVERY, window=window, failing=summed.failing
        )

    found = cache.summed(window, taken).row(by_predicate=pl.col("equipment") == "a", named=True)
    assert found["failures"] == failures
    assert found["mttr"] == (None if repaired is None else repaired * 60)  # minutes


def test_inner_days_are_read_in_cells_only(database: Database, cache: LedgerCache) -> None:
    """Rows of a machine without a hole are not read; of one with a hole they are."""
    every = derive(empty(SAMPLES), PLANT, Window(MIDNIGHTS[0], MIDNIGHTS[-1]), edges=MIDNIGHTS)
    hole = MIDNIGHTS[4]
    store(database, every.filter((pl.col("equipment") != "b") | (pl.col("start") != hole)))
    asked = []

    def derived(span: Window, cuts: Sequence[datetime], machines: Sequence[str]) -> pl.DataFrame:
        asked.append((span, list(machines)))
        return every.filter(pl.col("equipment").is_in(list(machines)), pl.col("start") == span.start)

    def taken(found: WholeDays) -> pl.DataFrame:
        counted = found.rows.filter(pl.col("equipment") != "b").select(pl.len()).collect().item()
        assert counted >= 8
        closed = WholeDays(
            found.inner,
            found.days,
            found.rows.filter(equipment="b"),
            found.others,
        )
        return summarise(
            addends(closed, window, PLANT, MACHINES, derived).ledger, ["equipment"], PLANT, window=window
        )

    window = Window(MIDNIGHTS[1], MIDNIGHTS[-2])
    found = cache.summed(window, taken)
    inside = every.filter(pl.col("start") >= window.start, pl.col("end") <= window.end)
    assert found.equals(summarise(inside, ["equipment"], PLANT))
    assert asked == [(Window(hole, MIDNIGHTS[5]), ["b"])]


def test_what_changes_while_it_is_summed_is_summed_again(database: Database, cache: LedgerCache) -> None:
    every = derive(empty(SAMPLES), PLANT, Window(MIDNIGHTS[0], MIDNIGHTS[-1]), edges=MIDNIGHTS)
    store(database, every)
    window = Window(MIDNIGHTS[1], MIDNIGHTS[-2])
    tries = []

    def taken(found: WholeDays) -> pl.DataFrame:
        tries.append(found)
        if len(tries) == 1:
            store(database, every)
            cache.collected(window)
        return found.rows.select(pl.col("duration").sum()).collect()

    assert cache.summed(window, taken).item() > 0
    assert len(tries) == 2
