"""The calendar's worked cases, with the figures written out."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from plant.calendar import segments, shift_instances, to_utc
from plant.frames import Window
from plant.model import Break, CalendarException, Shift, WorkCalendar

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Shift(
    id="night", name="Night", start=time(22), end=time(6), breaks=(Break(start=time(1, 45), end=time(2, 15)),)
)
EARLY = Shift(id="early", name="Early", start=time(6), end=time(14), days=(0, 1, 2, 3, 4))
CALENDAR = WorkCalendar(id="c", shifts=(EARLY, NIGHT))


def at(*wall: int) -> datetime:
    return datetime(*wall, tzinfo=BERLIN).astimezone(UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("evening", "hours", "pause"),
    [
        ((2024, 3, 12), 8, 30),
        ((2024, 3, 30), 7, 15),  # 02:00 to 03:00 does not occur: the break's second half neither
        ((2024, 10, 26), 9, 30),  # 02:15 occurs twice: the break ends at the first
    ],
)
def test_a_night_shift_lasts_as_long_as_the_clocks_let_it(
    evening: tuple[int, int, int], hours: int, pause: int
) -> None:
    start = at(*evening, 22)
    (night,) = shift_instances(CALENDAR, BERLIN, Window(start, start + timedelta(hours=1)))
    assert (night.start, night.end - night.start) == (start, timedelta(hours=hours))
    rows = segments(CALENDAR, BERLIN, Window(night.start, night.end)).to_dicts()
    assert [r["kind"] for r in rows] == ["shift", "break", "shift"]
    assert rows[1]["end"] - rows[1]["start"] == timedelta(minutes=pause)
    assert {(r["shift"], r["shift_start"], r["shift_end"]) for r in rows} == {
        ("night", night.start, night.end)
    }


def test_a_day_is_cut_into_shifts_breaks_and_time_off() -> None:
    rows = segments(CALENDAR, BERLIN, Window(at(2024, 3, 15), at(2024, 3, 16))).rows()  # a Friday
    assert [(a.astimezone(BERLIN).time(), kind, shift) for a, _, kind, shift, *_ in rows] == [
        (time(0), "shift", "night"),
        (time(1, 45), "break", "night"),
        (time(2, 15), "shift", "night"),
        (time(6), "shift", "early"),
        (time(14), "off", None),
        (time(22), "shift", "night"),
    ]


def test_an_exception_replaces_the_shifts_that_begin_on_its_date() -> None:
    overtime = Shift(id="extra", name="Overtime", start=time(8), end=time(12))
    days = (
        CalendarException(date=date(2024, 12, 25)),
        CalendarException(date=date(2024, 12, 28), shifts=(overtime,)),
    )
    calendar = WorkCalendar(id="c", shifts=(EARLY, NIGHT), exceptions=days)
    found = shift_instances(calendar, BERLIN, Window(at(2024, 12, 25), at(2024, 12, 29)))
    assert [(i.shift.id, i.start.astimezone(BERLIN).strftime("%d %H")) for i in found] == [
        ("night", "24 22"),  # begun before the holiday, so it is worked to its end
        ("early", "26 06"),
        ("night", "26 22"),
        ("early", "27 06"),
        ("night", "27 22"),
        ("extra", "28 08"),
    ]


def test_without_a_calendar_everything_is_scheduled() -> None:
    window = Window(at(2024, 3, 30), at(2024, 3, 31))
    assert segments(None, BERLIN, window).rows() == [(window.start, window.end, "shift", None, None, None)]


def test_a_shift_that_ends_when_it_starts_lasts_the_whole_day() -> None:
    calendar = WorkCalendar(id="c", shifts=(Shift(id="day", name="Day", start=time(6), end=time(6)),))
    rows = segments(calendar, BERLIN, Window(at(2024, 3, 30, 6), at(2024, 4, 1, 6)))
    assert [r[1] - r[0] for r in rows.rows()] == [timedelta(hours=23), timedelta(hours=24)]


def test_wall_times_the_clocks_skip_or_repeat_follow_the_stated_rule() -> None:
    assert to_utc(datetime(2024, 3, 31, 2, 30), BERLIN) == datetime(2024, 3, 31, 1, tzinfo=UTC)  # noqa: DTZ001
    assert to_utc(datetime(2024, 10, 27, 2, 30), BERLIN) == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)  # noqa: DTZ001


def test_a_continental_rota_names_shift_and_crew_of_every_day() -> None:
    first, second = (0, 1, 4, 5, 6, 9, 10), (2, 3, 7, 8, 11, 12, 13)
    every = tuple(range(14))
    day = Shift(
        id="day", name="Day", start=time(6), end=time(18), days=every, crews=(("A", first), ("B", second))
    )
    night = Shift(
        id="night", name="Night", start=time(18), end=time(6), days=every, crews=(("C", first), ("D", second))
    )
    calendar = WorkCalendar(id="c", shifts=(day, night), cycle=14, anchor=date(2026, 1, 5))
    # Over the autumn change of the clocks, years after the anchor, and before it.
    for monday, days in ((datetime(2028, 10, 23), 14), (datetime(2025, 12, 22), 14)):  # noqa: DTZ001
        window = Window(at(*monday.timetuple()[:3], 6), at(*(monday + timedelta(days)).timetuple()[:3], 6))
        found = shift_instances(calendar, BERLIN, window)
        assert "".join(i.crew or "-" for i in found if i.shift.id == "day") == "AABBAAABBAABBB"
        assert "".join(i.crew or "-" for i in found if i.shift.id == "night") == "CCDDCCCDDCCDDD"
        assert sum((i.end - i.start for i in found), timedelta()) == window.end - window.start


def test_a_part_of_a_day_off_cuts_shifts_and_an_extra_shift_is_added() -> None:
    extra = Shift(id="extra", name="Extra", start=time(14), end=time(18))
    days = (
        CalendarException(date=date(2026, 12, 24), shifts=None, closed=((time(12), time(6)),)),
        CalendarException(date=date(2026, 12, 25), until=date(2026, 12, 27)),
        CalendarException(date=date(2026, 12, 28), shifts=None, add=(extra,)),
        CalendarException(date=date(2026, 12, 29), shifts=None, closed=((time(8), time(10)),)),
    )
    calendar = WorkCalendar(id="c", shifts=(EARLY, NIGHT), exceptions=days)
    window = Window(at(2026, 12, 24, 6), at(2026, 12, 29, 22))
    found = [
        (r["shift"], *(f"{r[k].astimezone(BERLIN):%d %H:%M}" for k in ("start", "end")))
        for r in segments(calendar, BERLIN, window).to_dicts()
        if r["kind"] == "shift" and r["shift"] != "night"
    ]
    assert found == [
        ("early", "24 06:00", "24 12:00"),
        ("early", "28 06:00", "28 14:00"),
        ("extra", "28 14:00", "28 18:00"),
        ("early", "29 06:00", "29 08:00"),
        ("early", "29 10:00", "29 14:00"),
    ]
    nights = [i for i in shift_instances(calendar, BERLIN, window) if i.shift.id == "night"]
    assert [i.start for i in nights] == [at(2026, 12, 28, 22)]  # that of the 24th is wholly closed
    early = [i for i in shift_instances(calendar, BERLIN, window) if i.shift.id == "early"]
    assert (early[0].end, early[-1].end) == (at(2026, 12, 24, 12), at(2026, 12, 29, 14))
