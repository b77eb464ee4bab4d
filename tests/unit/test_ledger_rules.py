"""The rules of booking: every edge cuts, blips, changeovers told by the product, start-up rejects, stops over breaks."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.ledger.rows import ledger
from plant.frames import INCREMENTS, INTERVALS, ORDER_RUNS, RECODES, Window, empty
from plant.model import (
    Break,
    CalendarException,
    ChangeoverRule,
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

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
SHIFTS = (
    Shift(id="a", name="A", start=time(6), end=time(7), breaks=(Break(start=time(6, 20), end=time(6, 30)),)),
    Shift(id="b", name="B", start=time(7), end=time(8)),
)
HOLIDAY = CalendarException(
    date=date(2026, 3, 2), shifts=None, closed=((time(7, 30), time(7, 40)),), name="fire drill"
)
WINDOW = Window(START, START + timedelta(hours=2))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def plant(states: tuple[MachineState, ...] = (), **rules: Any) -> Plant:
    mapping = {s.value: StateMapping(state=s) for s in (MachineState.RUNNING, MachineState.DOWN, *states)}
    machine = Equipment(id="m", name="m", level=EquipmentLevel.WORK_UNIT, calendar="c", **rules)
    signals = [Signal(id="state", equipment="m", role=Role.STATE, states=mapping)]
    signals += [Signal(id=r.value, equipment="m", role=r) for r in (Role.GOOD, Role.REJECT)]
    cycle = IdealCycle(equipment="m", cycle=timedelta(seconds=1))
    later = replace(cycle, cycle=timedelta(seconds=2), valid_from=at(110))
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={"m": machine},
        signals={(s.equipment, s.id): s for s in signals},
        materials={
            "p": Material(id="p", name="p", ideal_cycles=(cycle, later)),
            "q": Material(id="q", name="q"),
        },
        calendars={"c": WorkCalendar(id="c", shifts=SHIFTS, exceptions=(HOLIDAY,))},
        reasons={r: Reason(id=r, name=r) for r in ("jam", "tool")},
    )


def rows(
    made: Plant,
    states: list[tuple[float, str]],
    parts: list[tuple[float, str]] = [],  # noqa: B006
    orders: list[tuple[float, float | None, str, str]] = [],  # noqa: B006
    said: list[tuple[float, float | None, str]] = [],  # noqa: B006
) -> pl.DataFrame:
    """The ledger of two hours of "m" from (minute, state), (minute, kind) of parts, orders and re-codings."""
    ends = [minute for minute, _ in states[1:]] + [120]
    intervals = [("m", at(a), at(b), s, s, None) for (a, s), b in zip(states, ends, strict=True)]
    return ledger(
        pl.DataFrame(intervals, schema=dict(INTERVALS), orient="row"),
        pl.DataFrame([("m", at(a), k, 1, None) for a, k in parts], schema=dict(INCREMENTS), orient="row"),
        pl.DataFrame(
            [("m", at(a), None if b is None else at(b), o, p) for a, b, o, p in orders],
            schema=dict(ORDER_RUNS),
            orient="row",
        ),
        pl.DataFrame(
            [("m", at(a), None if b is None else at(b), r, "ada", at(200), None, None) for a, b, r in said],
            schema=dict(RECODES),
            orient="row",
        ),
        made,
        WINDOW,
    )


def minutes(found: pl.DataFrame, category: str) -> float:
    return float(found.filter(pl.col("category") == category)["duration"].sum()) / 60e6


@pytest.mark.parametrize(
    "minute", [20, 30, 60, 90, 100], ids=["break", "its end", "shift", "exception", "its end too"]
)
def test_the_calendar_cuts(minute: float) -> None:
    found = rows(plant(), [(0, "running")])
    assert at(minute) in found["start"].to_list()
    assert (
        found["start"].to_list() == [at(m) for m in (0, 20, 30, 60, 90, 100, 110)]
        or at(110) not in found["start"]
    )


@pytest.mark.parametrize(
    ("changes", "edge"),
    [
        ({"states": [(0, "running"), (7, "down")]}, 7),
        ({"orders": [(7, 9, "A", "p")]}, 7),
        ({"orders": [(7, 9, "A", "p")]}, 9),
        ({"orders": [(3, 7, "A", "p"), (7, None, "A", "q")]}, 7),
        ({"states": [(0, "down")], "said": [(7, 9, "jam")]}, 7),
        ({"states": [(0, "down")], "said": [(7, 9, "jam")]}, 9),
        ({"orders": [(0, None, "A", "p")]}, 110),
    ],
    ids=["state", "order", "its end", "product", "reason", "its end too", "ideal cycle"],
)
def test_every_edge_cuts(changes: dict[str, Any], edge: float) -> None:
    found = rows(plant(), **({"states": [(0, "running")]} | changes))
    assert at(edge) in found["start"].to_list()
    assert found["duration"].sum() == 120 * 60_000_000


BLIP = [(0, "running"), (2, "down"), (3, "running"), (3.1, "down"), (5, "running")]


def test_running_shorter_than_the_minimum_belongs_to_the_stop() -> None:
    found = rows(plant(min_running=timedelta(seconds=10), micro_stop=timedelta(minutes=2)), BLIP)
    assert minutes(found, "unplanned_downtime") == 3
    assert set(found.filter(pl.col("state") == "down")["stop_start"]) == {at(2)}
    assert found.filter(pl.col("start") == at(3))["raw"].item() == "running"
    for limit in (timedelta(0), timedelta(seconds=6)):  # 6 s is not shorter than 6 s
        found = rows(plant(min_running=limit, micro_stop=timedelta(minutes=2)), BLIP)
        assert minutes(found, "micro_stop") == pytest.approx(2.9)


@pytest.mark.parametrize("minute", [3, 3.05, 3.1])
def test_a_blip_in_which_a_part_was_counted_stays_running(minute: float) -> None:
    found = rows(plant(min_running=timedelta(seconds=10)), BLIP, parts=[(minute, "good")])
    assert found.filter(pl.col("start") == at(3))["state"].item() == "running"


def test_a_blip_beside_unknown_time_stays_running() -> None:
    found = rows(plant(min_running=timedelta(seconds=10)), [(0, "unknown"), (3, "running"), (3.1, "down")])
    assert found.filter(pl.col("start") == at(3))["state"].item() == "running"


ORDERS = [(0, 5, "A", "p"), (5, None, "B", "q")]
STOP = [(0, "running"), (4, "down"), (15, "running")]
DETECT = {"changeover": ChangeoverRule.DETECT}


def test_a_stop_in_which_the_product_changes_is_a_changeover() -> None:
    assert minutes(rows(plant(**DETECT), STOP, orders=ORDERS), "changeover") == 11
    assert minutes(rows(plant(), STOP, orders=ORDERS), "changeover") == 0
    assert minutes(rows(plant(**DETECT), STOP), "changeover") == 0
    same = [(0, 5, "A", "p"), (5, None, "B", "p")]
    assert minutes(rows(plant(**DETECT), STOP, orders=same), "changeover") == 0
    at_the_end = [(0, 4, "A", "p"), (15, None, "B", "q")]
    assert minutes(rows(plant(**DETECT), STOP, orders=at_the_end), "changeover") == 11
    as_it_stops = [(0, 4, "A", "p"), (4, None, "B", "q")]
    assert minutes(rows(plant(**DETECT), STOP, orders=as_it_stops), "changeover") == 11
    after = [(0, 15.1, "A", "p"), (15.1, None, "B", "q")]
    assert minutes(rows(plant(**DETECT), STOP, orders=after), "changeover") == 0


def test_a_changeover_ends_with_the_first_good_part_of_the_new_product() -> None:
    parts = [(4.1, "good"), (6, "reject"), (10, "good"), (12, "good")]
    found = rows(plant(**DETECT), STOP, parts=parts, orders=ORDERS)
    assert minutes(found, "changeover") == 6
    assert minutes(found, "unplanned_downtime") == 5


def test_people_and_a_setup_state_of_its_own_overrule_the_product() -> None:
    found = rows(plant(**DETECT), STOP, orders=ORDERS, said=[(4, 15, "tool")])
    assert minutes(found, "changeover") == 0
    found = rows(plant((MachineState.SETUP,), **DETECT), STOP, orders=ORDERS)
    assert minutes(found, "changeover") == 0


def test_without_changeovers_setup_is_a_down_time() -> None:
    states = [(0, "running"), (4, "setup"), (5, "running"), (40, "setup"), (50, "running")]
    made = plant((MachineState.SETUP,), micro_stop=timedelta(minutes=2))
    assert minutes(rows(made, states), "changeover") == 11
    made = plant((MachineState.SETUP,), micro_stop=timedelta(minutes=2), changeover=ChangeoverRule.OFF)
    found = rows(made, states, parts=[(45, "reject")])
    assert (minutes(found, "micro_stop"), minutes(found, "unplanned_downtime")) == (1, 10)
    assert found["startup"].sum() == 0


def test_rejects_of_a_changeover_and_soon_after_are_those_of_starting_up() -> None:
    states = [(0, "running"), (4, "setup"), (8, "running")]
    parts = [(3, "reject"), (5, "reject"), (9, "reject"), (9.5, "good"), (10.9, "reject"), (11, "reject")]
    found = rows(plant((MachineState.SETUP,), startup=timedelta(minutes=3)), states, parts)
    assert (found["startup"].sum(), found["reject"].sum()) == (3, 5)
    assert at(11) in found["start"].to_list()  # cut where it ends
    assert rows(plant((MachineState.SETUP,)), states, parts)["startup"].sum() == 1


def test_a_stop_over_a_break_is_one_stop_and_the_break_is_not_charged() -> None:
    found = rows(plant(micro_stop=timedelta(minutes=5)), [(0, "running"), (19, "down"), (31, "running")])
    assert minutes(found, "unplanned_downtime") == 2
    assert minutes(found, "planned_downtime") == 10
    assert set(found.filter(pl.col("state") == "down")["stop_start"]) == {at(19)}


def test_frames_without_rows_do() -> None:
    found = ledger(
        empty(INTERVALS),
        empty(INCREMENTS),
        empty(ORDER_RUNS),
        empty(RECODES),
        plant(**DETECT, min_running=timedelta(1)),
        WINDOW,
    )
    assert set(found["state"]) == {"unknown"}
