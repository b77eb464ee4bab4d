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
