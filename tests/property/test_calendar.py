"""Calendars on the time axis: every instant is in one segment, whatever the zone and the shifts."""

from collections import deque
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.ledger.attributes import calendar_segments
from plant.calendar import SEGMENTS, segments, shift_instances, to_utc
from plant.frames import Window
from plant.model import (
    Break,
    CalendarException,
    Equipment,
    EquipmentLevel,
    Plant,
    Shift,
    Site,
    WorkCalendar,
)

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",  # half an hour of DST
    "Africa/Casablanca",  # DST pauses for Ramadan
    "America/Sao_Paulo",  # jumped at midnight
    "Pacific/Apia",  # skipped a whole day
    "Asia/Kathmandu",
    "UTC",
]
minutes = st.integers(0, 24 * 60 - 1).map(lambda m: time(m // 60, m % 60))
breaks = st.builds(Break, start=minutes, end=minutes)
shifts = st.builds(
    Shift,
    id=st.sampled_from("abc"),
    name=st.just(""),
    start=minutes,
    end=minutes,
    days=st.lists(st.integers(0, 9), unique=True).map(tuple),
    breaks=st.lists(breaks, max_size=2).map(tuple),
    crews=st.sampled_from([(), (("A", (0, 1, 2)), ("B", (3, 4)))]),
)
some = st.lists(shifts, max_size=2).map(tuple)


def _transitions(zone: ZoneInfo) -> list[datetime]:
    """The hours in 2000-2037 before which the zone's offset changes."""
    found, day = [], datetime(2000, 1, 1, tzinfo=UTC)
    while day.year < 2038:
        if day.astimezone(zone).utcoffset() != (day + timedelta(days=1)).astimezone(zone).utcoffset():
            found.append(day)
        day += timedelta(days=1)
    return found


TRANSITIONS = {name: _transitions(ZoneInfo(name)) for name in ZONES}


@st.composite
def cases(draw: st.DrawFn) -> tuple[WorkCalendar, ZoneInfo, Window]:
    """A calendar (it may even overlap itself), a zone, and a window near a clock change when there is one."""
    zone = draw(st.sampled_from(ZONES))
    near = draw(st.sampled_from(TRANSITIONS[zone] or [datetime(2024, 2, 28, tzinfo=UTC)]))
    start = near + timedelta(minutes=draw(st.integers(-4 * 1440, 2 * 1440)))
    window = Window(start, start + timedelta(seconds=draw(st.integers(0, 6 * 86400))))
    exception = st.builds(
        CalendarException,
        date=st.integers(-3, 4).map(lambda d: near.date() + timedelta(days=d)),
        until=st.none() | st.integers(4, 6).map(lambda d: near.date() + timedelta(days=d)),
        equipment=st.sampled_from([(), ("line",), ("filler",)]),
        shifts=st.none() | some,
        add=st.just(()) | some,
        closed=st.lists(st.tuples(minutes, minutes), max_size=2).map(tuple),
    )
    cycle = draw(st.sampled_from([7, 1, 4, 8, 28]))
    calendar = WorkCalendar(
        id="c",
        shifts=tuple(draw(st.lists(shifts, max_size=3))),
        exceptions=tuple(draw(st.lists(exception, max_size=2))),
        cycle=cycle,
        anchor=date(2001, 1, 1) if cycle == 7 else near.date() + timedelta(draw(st.integers(-30, 30))),
    )
    return calendar, ZoneInfo(zone), window


@given(cases())
def test_every_instant_of_a_window_is_in_exactly_one_segment(
    case: tuple[WorkCalendar, ZoneInfo, Window],
) -> None:
    calendar, zone, window = case
    rows = segments(calendar, zone, window)
    assert dict(rows.schema) == SEGMENTS
    edges = [window.start, *rows["end"].to_list()]
    assert rows["start"].to_list() == edges[:-1]
    assert edges[-1] == window.end
    assert (rows["start"] < rows["end"]).all()
    assert rows.filter(pl.col("kind") == "off")["shift"].null_count() == (rows["kind"] == "off").sum()
    inside = rows.filter(pl.col("kind") != "off")
    assert ((inside["shift_start"] <= inside["start"]) & (inside["end"] <= inside["shift_end"])).all()


@given(cases(), st.floats(0, 1))
def test_cutting_the_window_cuts_the_segments_and_changes_nothing_else(
    case: tuple[WorkCalendar, ZoneInfo, Window], share: float
) -> None:
    calendar, zone, window = case
    middle = window.start + (window.end - window.start) * share
    left, right = (
        segments(calendar, zone, w) for w in (Window(window.start, middle), Window(middle, window.end))
    )
    key = ["kind", "shift", "shift_start", "shift_end"]
    joined = pl.concat([left, right]).with_columns(run=pl.struct(key).rle_id())
    merged = joined.group_by("run", maintain_order=True).agg(
        pl.col("start").first(), pl.col("end").last(), *(pl.col(k).first() for k in key)
    )
    whole = segments(calendar, zone, window).with_columns(run=pl.struct(key).rle_id())
    expected = whole.group_by("run", maintain_order=True).agg(
        pl.col("start").first(), pl.col("end").last(), *(pl.col(k).first() for k in key)
    )
    assert merged.equals(expected)


@given(cases())
def test_shift_instances_are_whole_ordered_and_named_by_the_segments(
    case: tuple[WorkCalendar, ZoneInfo, Window],
) -> None:
    calendar, zone, window = case
    instances = shift_instances(calendar, zone, window)
    assert all(i.start < i.end and i.start < window.end and i.end > window.start for i in instances)
    assert all(a.end <= b.start for a, b in pairwise(instances))
    if window.start < window.end:
        named = segments(calendar, zone, window).filter(pl.col("kind") != "off")
        assert set(named["shift_start"]) == {i.start for i in instances}


@given(st.sampled_from(ZONES), st.data())
def test_wall_times_keep_their_order_in_utc(name: str, data: st.DataObject) -> None:
    near = data.draw(st.sampled_from(TRANSITIONS[name] or [datetime(2024, 2, 28, tzinfo=UTC)]))
    wall = st.integers(-86400, 2 * 86400).map(lambda s: near.replace(tzinfo=None) + timedelta(seconds=s))
    zone = ZoneInfo(name)
    first, second = sorted((data.draw(wall), data.draw(wall)))
    assert to_utc(first, zone) <= to_utc(second, zone)
    if (instant := to_utc(first, zone)).astimezone(zone).replace(tzinfo=None) != first:
        jump = instant - timedelta(microseconds=1)
        assert jump.astimezone(zone).utcoffset() != instant.astimezone(zone).utcoffset()


@given(
    st.integers(1, 30),
    st.dates(date(1990, 1, 1), date(2060, 1, 1)),
    st.lists(st.lists(st.integers(0, 29), unique=True), min_size=1, max_size=3),
    st.dates(date(1990, 1, 1), date(2060, 1, 1)),
)
def test_a_rotation_is_what_counting_the_days_one_by_one_gives(
    cycle: int, anchor: date, days: list[list[int]], day: date
) -> None:
    own = [[d for d in some if d < cycle] for some in days]
    shifts = tuple(
        Shift(id=str(n), name="", start=time(6), end=time(7), days=tuple(d), crews=((f"crew {n}", tuple(d)),))
        for n, d in enumerate(own)
    )
    calendar = WorkCalendar(id="c", shifts=shifts, cycle=cycle, anchor=anchor)
    # Turn a wheel of the cycle day by day from the anchor, forwards or backwards.
    wheel, step = deque(range(cycle)), 1 if day >= anchor else -1
    wheel.rotate(-step * (abs((day - anchor).days) % cycle))
    expected = [str(n) for n, d in enumerate(own) if wheel[0] in d]
    window = Window(datetime.combine(day, time(6), UTC), datetime.combine(day, time(6, 1), UTC))
    assert [s.id for s in calendar.shifts_on(day)] == expected
    crews = {i.crew for i in shift_instances(calendar, ZoneInfo("UTC"), window)}
    assert crews <= {f"crew {n}" for n in expected}
    assert bool(crews) == bool(expected)


@given(cases())
def test_every_machine_has_its_own_exceptions_and_each_instant_once(
    case: tuple[WorkCalendar, ZoneInfo, Window],
) -> None:
    calendar, zone, window = case
    plant = lines(calendar, zone)
    rows = calendar_segments(plant, ["filler", "other", "spare"], window)
    for machine in ("filler", "other", "spare"):
        mine = rows.filter(pl.col("equipment") == machine)
        assert mine["start"].to_list() == [window.start, *mine["end"].to_list()][:-1]
        assert mine["end"].to_list()[-1:] == ([window.end] if window.start < window.end else [])
    above = {"filler": ((), ("line",), ("filler",)), "other": ((), ("line",)), "spare": ((),)}
    for machine, held in above.items():
        widest_first = [e for level in held for e in calendar.exceptions if e.equipment == level]
        expected = segments(replace(calendar, exceptions=tuple(widest_first)), zone, window)
        assert rows.filter(pl.col("equipment") == machine).drop("equipment").equals(expected)


def lines(calendar: WorkCalendar, zone: ZoneInfo) -> Plant:
    """filler and other in a line, spare beside it."""

    def node(name: str, parent: str | None) -> Equipment:
        level = EquipmentLevel.WORK_UNIT
        return Equipment(id=name, name=name, level=level, parent=parent, calendar=calendar.id)

    tree = {"site": None, "line": "site", "filler": "line", "other": "line", "spare": "site"}
    return Plant(
        site=Site(id="s", name="s", zone=zone),
        equipment={name: node(name, parent) for name, parent in tree.items()},
        calendars={calendar.id: calendar},
    )


@given(cases())
def test_nothing_is_scheduled_in_what_is_closed(case: tuple[WorkCalendar, ZoneInfo, Window]) -> None:
    calendar, zone, window = case
    open_, day = segments(calendar, zone, window), window.start.astimezone(zone).date() - timedelta(days=1)
    usual = replace(calendar, exceptions=tuple(replace(e, closed=()) for e in calendar.exceptions))
    before = segments(usual, zone, window)
    closed = []
    while day <= window.end.astimezone(zone).date():
        for start, end in calendar.closed_on(day):
            last = day + timedelta(days=int(end <= start))
            closed.append(
                (to_utc(datetime.combine(day, start), zone), to_utc(datetime.combine(last, end), zone))
            )
        day += timedelta(days=1)
    instants = {*open_["start"], *before["start"], *(t for part in closed for t in part)}
    for at in (t for t in instants if window.start <= t < window.end):
        holds = (pl.col("start") <= at) & (pl.col("end") > at)
        is_off = any(start <= at < end for start, end in closed)
        expected = "off" if is_off else before.filter(holds)["kind"].item()
        assert open_.filter(holds)["kind"].item() == expected


def test_transitions_were_found() -> None:
    assert len(TRANSITIONS["Europe/Berlin"]) == 76
    assert not TRANSITIONS["Asia/Kathmandu"]
    assert date(2011, 12, 30) in {t.date() for t in TRANSITIONS["Pacific/Apia"]}
