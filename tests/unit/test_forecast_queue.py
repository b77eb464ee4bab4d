"""Orders that wait are told from what goes first on their machine; planned time is found quickly, however far."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecast.finish import Ahead, Cause, OrderForecast, forecast_order
from analytics.forecast.pace import Pace
from analytics.forecast.plannedtime import after_planned, planned_between
from analytics.forecast.queue import Waiting, forecast_queue
from execution.orders import JobOrder, OrderState
from infra.orderbook import OrderBook
from plant.calendar import SHIFT, segments
from plant.frames import LEDGER, Window
from plant.model import (
    Break,
    CalendarException,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Role,
    Shift,
    Signal,
    Site,
    StateMapping,
    WorkCalendar,
)
from plant.states import MachineState, TimeCategory

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
STEADY = Pace(parts=0.1, parts_variance=0.0, earned=1.0, earned_variance=0.0, rated=4 * 3600.0, blocks=16)
"""A part in 10 s, or as fast as ideal."""


def plant(calendar: WorkCalendar | None = None) -> Plant:
    """press: p in 10 s, q in 20 s, r has no ideal cycle."""
    line = Equipment(id="line", name="Line", level=EquipmentLevel.PRODUCTION_LINE)
    press = Equipment(
        id="press",
        name="Press",
        level=EquipmentLevel.WORK_UNIT,
        parent="line",
        calendar=calendar.id if calendar else None,
    )
    states = {"run": StateMapping(state=MachineState.RUNNING)}
    signals = [
        Signal(id="state", equipment="press", role=Role.STATE, states=states),
        Signal(id="good", equipment="press", role=Role.GOOD),
    ]
    cycles = {"p": 10, "q": 20}
    return Plant(
        site=Site(id="s", name="s", zone=ZONE),
        equipment={e.id: e for e in (line, press)},
        signals={(s.equipment, s.id): s for s in signals},
        materials={
            m: Material(
                id=m,
                name=m.upper(),
                ideal_cycles=(IdealCycle(equipment="press", cycle=timedelta(seconds=cycles[m])),)
                if m in cycles
                else (),
            )
            for m in "pqr"
        },
        calendars={calendar.id: calendar} if calendar else {},
    )


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def asked(
    pace: Pace | None = STEADY, material: str = "p", quantity: int = 60, **more: object
) -> OrderForecast:
    """Of an order of 10 min that waits."""
    return forecast_order(
        pace, plant(), NOW, equipment="press", material=material, quantity=quantity, good=0, **more
    )  # type: ignore[arg-type]


def test_what_is_made_before_it_takes_its_time() -> None:
    before = Ahead().then(30, timedelta(seconds=10)).then(15, timedelta(seconds=20))
    assert asked().finish_present == after(10)
    found = asked(ahead=before)
    assert (found.finish_present, found.finish_ideal) == (after(20), after(20))
    # What has no ideal cycle counts by its parts, at the rate of the last hours, and nothing is told at best.
    found = asked(ahead=before.then(30, None))
    assert (found.finish_present, found.finish_ideal) == (after((30 + 15 + 30 + 60) / 6), None)
    assert asked(material="r", ahead=before).finish_present == after((30 + 15 + 60) / 6)


def test_the_order_that_waits_is_at_risk_for_what_goes_first() -> None:
    before = Ahead().then(60, timedelta(seconds=10))
    assert (asked(due=after(15)).risk, asked(due=after(15)).cause) == (0.0, None)
    found = asked(due=after(15), ahead=before)
    assert (found.risk, found.cause, found.slack) == (1.0, Cause.QUEUE, timedelta(minutes=-5))
    assert asked(due=after(25), ahead=before).cause is None
    assert asked(due=after(9), ahead=before).cause is Cause.TIME
    slow = Pace(0.05, 1e-6, 0.5, 1e-3, 4 * 3600.0, 16)
    assert asked(slow, due=after(30), ahead=before).cause is Cause.QUEUE
    assert asked(slow, due=after(15)).cause is Cause.RATE


def test_what_begins_later_is_free_of_the_stop_of_now() -> None:
    later = Ahead(since=after(60)).then(60, timedelta(seconds=10))
    assert asked(ahead=later).finish_present == after(80)
    # Due before it may even begin: no rate helps.
    found = asked(ahead=Ahead(since=after(60)), due=after(50))
    assert (found.risk, found.cause, found.slack) == (1.0, Cause.TIME, timedelta(minutes=-20))
    standing = Pace(0.1, 0.0, 1.0, 0.0, 4 * 3600.0, 16, wait=1200.0)
    assert asked(standing).finish_present == after(30)
    assert asked(standing, ahead=Ahead(since=after(600))).finish_present == after(610)


def finishes(
    waiting: list[Waiting], running: int = 60, pace: Pace | None = STEADY
) -> dict[str, float | None]:
    """Minutes from now, in the order they are made."""
    found = forecast_queue(pace, plant(), NOW, "press", [("p", running)], waiting)
    times = {name: one.finish_present for name, one in found.items()}
    return {name: None if at is None else (at - NOW) / timedelta(minutes=1) for name, at in times.items()}


def test_of_those_that_may_begin_the_first_does() -> None:
    """Each takes 10 min, what runs 10 more."""

    def waits(name: str, earliest: float | None = None) -> Waiting:
        return Waiting(name, "p", 60, None, None if earliest is None else after(earliest))

    assert finishes([waits("A"), waits("B")]) == {"A": 20, "B": 30}
    assert finishes([waits("A", 15), waits("B"), waits("C")]) == {"B": 20, "A": 30, "C": 40}
    assert finishes([waits("A", 100), waits("B", 60), waits("C")]) == {"C": 20, "B": 70, "A": 110}
    assert finishes([waits("A", 100), waits("B", 100)]) == {"A": 110, "B": 120}
    assert finishes([waits("A", 5), waits("B")], running=0) == {"B": 10, "A": 20}
    assert finishes([waits("A", 100), waits("B")], pace=None) == {"A": None, "B": None}


def test_nothing_made_lately_tells_only_the_best() -> None:
    found = asked(None, ahead=Ahead().then(60, timedelta(seconds=10)), due=after(25))
    assert (found.finish_present, found.finish_ideal, found.risk) == (None, after(20), None)


def test_a_due_time_that_means_never_costs_nothing_and_says_nothing() -> None:
    never = datetime(9999, 12, 31, tzinfo=UTC)
    shift = Shift(id="early", name="Early", start=time(6), end=time(14))
    model = plant(WorkCalendar(id="c", shifts=(shift,)))
    found = forecast_order(
        STEADY,
        model,
        NOW,
        equipment="press",
        material="p",
        quantity=60,
        good=0,
        start=after(-60),
        due=never,
    )
    assert (found.risk, found.cause, found.expected) == (None, None, None)
    assert found.slack is not None and found.slack > timedelta(days=365)


EARLY = Shift(
    id="e", name="E", start=time(6), end=time(14), breaks=(Break(start=time(10), end=time(10, 30)),)
)
NIGHT = Shift(id="n", name="N", start=time(22), end=time(6), days=(0, 1, 2, 3, 4, 6))
HOLIDAY = CalendarException(date=date(2026, 3, 27))
CALENDARS = [
    None,
    WorkCalendar(id="c", shifts=(EARLY,)),
    WorkCalendar(id="c", shifts=(EARLY, NIGHT), exceptions=(HOLIDAY,)),
]
MARCH = datetime(2026, 3, 20, tzinfo=UTC)


@given(
    calendar=st.sampled_from(CALENDARS),
    start=st.integers(0, 14 * 24 * 60),
    length=st.integers(0, 21 * 24 * 60),
    needed=st.integers(0, 7 * 24 * 60),
)
def test_planned_time_is_what_the_calendar_says_of_the_whole_span(
    calendar: WorkCalendar | None, start: int, length: int, needed: int
) -> None:
    """Over the spring change of the clocks, weekends, nights and a holiday."""
    model, begin = plant(calendar), MARCH + timedelta(minutes=start)
    end = begin + timedelta(minutes=length)
    spans = segments(calendar, ZONE, Window(begin, end)).filter(pl.col("kind") == SHIFT)
    whole = spans.select((pl.col("end") - pl.col("start")).sum()).item() or timedelta()
    assert planned_between(model, "press", begin, end) == whole
    wanted = timedelta(minutes=needed)
    finish = after_planned(model, "press", begin, wanted)
    assert finish is not None and planned_between(model, "press", begin, finish) == wanted
    if wanted:
        tick = timedelta(microseconds=1)
        assert planned_between(model, "press", begin, finish - tick) == wanted - tick


def test_numbers_of_parts_nobody_can_make_are_told_nothing_of() -> None:
    most = [Waiting(str(n), "q", 10**12, after(60)) for n in range(50)]
    found = forecast_queue(STEADY, plant(), NOW, "press", [], most)
    assert len(found) == 50 and {one.finish_present for one in found.values()} == {None}
    assert {one.risk for one in found.values()} == {1.0}


def rows() -> pl.DataFrame:
    """An hour in which order A ran, 360 parts of p in 10 s each."""
    start, count = after(-60), 4
    step = timedelta(hours=1) / count
    known = {
        "equipment": "press",
        "line": "line",
        "state": MachineState.RUNNING.value,
        "category": TimeCategory.RUNNING.value,
        "order": "A",
        "material": "p",
        "stop_start": start,
        "duration": step // timedelta(microseconds=1),
        "good": 90,
        "ideal": 900_000_000,
        "ideal_good": 900_000_000,
    }
    made = [known | {"start": start + n * step, "end": start + (n + 1) * step} for n in range(count)]
    frame = pl.DataFrame([{name: row.get(name) for name in LEDGER} for row in made], schema=dict(LEDGER))
    return frame.with_columns(pl.col(pl.Int64).fill_null(0))


def test_orders_of_a_machine_follow_one_another_in_the_order_of_dispatch() -> None:
    jobs = [
        JobOrder(id="C", material="p", equipment="press", quantity=60, due=after(25)),
        JobOrder(id="B", material="q", equipment="line", quantity=30, due=after(90), priority=1),
        JobOrder(id="A", material="p", equipment="press", quantity=420, state=OrderState.RUNNING),
        JobOrder(id="H", material="p", equipment="press", quantity=999, state=OrderState.HELD),
        JobOrder(id="X", material="p", equipment="gone", quantity=5),
    ]
    views = {view["id"]: view for view in OrderBook(plant(), jobs, rows(), NOW).views}
    finish = {name: view["finish_present"] for name, view in views.items()}
    assert finish == {
        "A": after(10).isoformat(),
        "B": after(20).isoformat(),
        "C": after(30).isoformat(),
        "H": None,
        "X": None,
    }
    assert views["C"]["why"] == "What is to be made before it takes too long"
    assert (views["B"]["state"], views["B"]["why"], views["C"]["slack"]) == ("waiting", None, -300.0)


@pytest.mark.parametrize("count", [2000])
def test_a_long_queue_is_told_at_once(count: int) -> None:
    jobs = [
        JobOrder(id=f"{n:04}", material="p", equipment="press", quantity=60, due=after(10 * n + 5))
        for n in range(count)
    ]
    views = OrderBook(plant(CALENDARS[2]), jobs, rows(), NOW).views
    finishes = [view["finish_present"] for view in views if view["finish_present"]]
    assert len(finishes) > 100 and finishes == sorted(finishes)
