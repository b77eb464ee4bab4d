"""[[calendar]]: shifts, breaks and exceptions, and that none of them overlap."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from plant.model import Break, CalendarException, Shift, WorkCalendar
from plant.parsing.problems import suggestion
from plant.parsing.reader import Table, shown
from plant.parsing.registry import Registry
from plant.parsing.values import WEEKDAYS

_DAY = 24 * 3600
_MONDAY = date(2001, 1, 1)
_ALL_DAYS = tuple(range(7))


def read_calendars(tables: list[Table], registry: Registry) -> dict[str, WorkCalendar]:
    """[[calendar]]"""
    found: dict[str, WorkCalendar] = {}
    for table in tables:
        shifts: dict[str, Shift] = {}
        for inner in table.tables("shift"):
            shift = _read_shift(inner, _read_days(inner))
            if shift.id in shifts:
                inner.error(
                    "id", f'the shift "{shift.id}" already exists in this calendar', "Give it another id"
                )
            shifts[shift.id] = shift
        before = len(table.errors)
        exceptions = _read_exceptions(table, shifts)
        calendar = WorkCalendar(id=table.identifier(), shifts=tuple(shifts.values()), exceptions=exceptions)
        if registry.declare("calendar", table, calendar.id) and _sound(table, before):
            _check_overlaps(table, calendar)
        found[calendar.id] = calendar
    return found


def _sound(table: Table, before: int) -> bool:
    """Whether nothing inside the calendar was wrong, so that its hours can be compared."""
    return len(table.errors) == before and not any(
        e.file == table.file and e.path.startswith(f"{table.path}.") for e in table.errors
    )


def _read_shift(table: Table, days: tuple[int, ...]) -> Shift:
    shift = Shift(
        id=table.identifier(),
        name=table.text("name"),
        start=table.clock("start"),
        end=table.clock("end"),
        days=days,
    )
    breaks: list[Break] = []
    spans: list[tuple[int, int]] = []
    length = _length(shift.start, shift.end)
    for inner in table.tables("breaks"):
        pause = Break(start=inner.clock("start"), end=inner.clock("end"), name=inner.text("name", "break"))
        if not (inner.ok and table.ok):
            continue
        begin = (_seconds(pause.start) - _seconds(shift.start)) % _DAY
        finish = begin + _length(pause.start, pause.end)
        if finish > length:
            inner.error(
                "start",
                f"the break {pause.start:%H:%M}-{pause.end:%H:%M} is not inside the shift "
                f"{shift.start:%H:%M}-{shift.end:%H:%M}",
                "Move the break or the shift",
            )
        elif any(begin < b and a < finish for a, b in spans):
            inner.error("start", f"the break at {pause.start:%H:%M} overlaps another", "Move one of them")
        spans.append((begin, finish))
        breaks.append(pause)
    return Shift(
        id=shift.id, name=shift.name, start=shift.start, end=shift.end, days=days, breaks=tuple(breaks)
    )


def _read_days(table: Table) -> tuple[int, ...]:
    if "days" not in table.data:
        return _ALL_DAYS
    found: list[int] = []
    for index, name in enumerate(table.strings("days")):
        if name in WEEKDAYS:
            found.append(WEEKDAYS.index(name))
        else:
            fix = suggestion(name, WEEKDAYS, f"Use {', '.join(WEEKDAYS)}")
            table.error(("days", index), f"{shown(name)} is not a weekday", fix)
    return tuple(sorted(found))


def _read_exceptions(calendar: Table, shifts: dict[str, Shift]) -> tuple[CalendarException, ...]:
    found: dict[date, CalendarException] = {}
    for table in calendar.tables("exception"):
        day = table.date("date")
        if isinstance(day, datetime):
            table.error("date", f"{shown(day)} is not a date", "Write the date without a time of day")
        elif day is None and "date" not in table.data:
            table.error("date", '"date" is missing', "Write date = 2026-12-25, without quotes")
        if day is None or isinstance(day, datetime):
            continue
        if day in found:
            table.error("date", f"{day} already has an exception", "Write all its shifts in one")
        found[day] = CalendarException(
            date=day, shifts=_exception_shifts(table, shifts), name=table.text("name", "")
        )
    return tuple(found.values())


def _exception_shifts(table: Table, shifts: dict[str, Shift]) -> tuple[Shift, ...]:
    """Shifts of the day: ids of the calendar's own, or whole shifts; none (or left out) is a day off."""
    value = table.data.get("shifts", [])
    if not isinstance(value, list):
        table.error("shifts", f"{shown(value)} is not a list", 'Write shifts = [] or shifts = ["early"]')
        return ()
    found: list[Shift] = []
    for index, item in enumerate(value):
        if isinstance(item, Mapping):
            found.append(
                _read_shift(table.child(("shifts", index), "calendar.exception.shifts", item), _ALL_DAYS)
            )
        elif isinstance(item, str) and item in shifts:
            found.append(shifts[item])
        else:
            fix = suggestion(item, shifts, "") if isinstance(item, str) else ""
            table.error(
                ("shifts", index),
                f"{shown(item)} is not a shift of this calendar",
                fix or f"Use {', '.join(shifts) or 'a table { id, name, start, end }'}",
            )
    return tuple(found)


def _check_overlaps(table: Table, calendar: WorkCalendar) -> None:
    """An ordinary week, then the day before, of and after each exception."""
    week = [_MONDAY + timedelta(days=i) for i in range(8)]
    if clash := _clash(calendar.shifts, {}, week):
        table.error(
            "shift",
            f'the shifts "{clash[0].id}" and "{clash[1].id}" overlap',
            "Move one of them, or put them on different days",
        )
        return
    special = {e.date: e.shifts for e in calendar.exceptions}
    for index, exception in enumerate(calendar.exceptions):
        days = [exception.date + timedelta(days=i) for i in (-1, 0, 1)]
        if clash := _clash(calendar.shifts, special, days):
            table.error(
                ("exception", index, "shifts"),
                f'around {exception.date} the shifts "{clash[0].id}" and "{clash[1].id}" overlap',
                "Move one of them; a night shift of the day before still runs into this day",
            )


def _clash(
    shifts: tuple[Shift, ...], special: dict[date, tuple[Shift, ...]], days: list[date]
) -> tuple[Shift, Shift] | None:
    spans: list[tuple[int, int, Shift]] = []
    for number, day in enumerate(days):
        for shift in special.get(day, tuple(s for s in shifts if day.weekday() in s.days)):
            begin = number * _DAY + _seconds(shift.start)
            spans.append((begin, begin + _length(shift.start, shift.end), shift))
    spans.sort(key=lambda span: span[0])
    return next(((a[2], b[2]) for a, b in pairwise(spans) if b[0] < a[1]), None)


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _length(start: time, end: time) -> int:
    """Seconds on the wall from start to end; equal means a whole day."""
    return (_seconds(end) - _seconds(start)) % _DAY or _DAY
