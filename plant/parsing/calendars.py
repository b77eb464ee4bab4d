"""[[calendar]]: shifts, breaks and exceptions, and that none of them overlap."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from plant.model import Break, CalendarException, Equipment, Shift, WorkCalendar, exceptions_of
from plant.parsing.problems import suggestion
from plant.parsing.reader import Table, shown
from plant.parsing.registry import Registry
from plant.parsing.values import WEEKDAYS

_DAY = 24 * 3600
_WEEK = WorkCalendar(id="week", shifts=())
_LONGEST_CYCLE = 400

Crews = tuple[tuple[str, tuple[int, ...]], ...]


def read_calendars(
    tables: list[Table], registry: Registry, equipment: Mapping[str, Equipment]
) -> dict[str, WorkCalendar]:
    """[[calendar]]; `equipment` as read, for the exceptions that hold for some of it only."""
    found: dict[str, WorkCalendar] = {}
    for table in tables:
        cycle, anchor = _read_cycle(table)
        shifts: dict[str, Shift] = {}
        for inner in table.tables("shift"):
            days, crews = _read_days(inner, cycle), _read_crews(inner, cycle)
            if crews and "days" in inner.data:
                inner.error("days", '"crews" says the days already', 'Remove "days"')
            worked = tuple(sorted(day for _, own in crews for day in own)) if crews else days
            shift = replace(_read_shift(inner, worked), crews=crews)
            if shift.id in shifts:
                inner.error(
                    "id", f'the shift "{shift.id}" already exists in this calendar', "Give it another id"
                )
            shifts[shift.id] = shift
        before = len(table.errors)
        usual = WorkCalendar(
            id=table.identifier(),
            shifts=tuple(shifts.values()),
            cycle=cycle or _WEEK.cycle,
            anchor=anchor or _WEEK.anchor,
        )
        calendar = replace(usual, exceptions=_read_exceptions(table, shifts, usual.cycle, registry))
        if registry.declare("calendar", table, calendar.id) and _sound(table, before):
            _check_exceptions(table, calendar, equipment)
            if _sound(table, before):
                _check_overlaps(table, calendar, equipment)
        found[calendar.id] = calendar
    return found


def _read_cycle(table: Table) -> tuple[int | None, date | None]:
    """Length and first day of the cycle; both None for weeks. A length that is wrong or missing reads as the longest."""
    cycle, anchor = table.integer("cycle"), table.date("anchor")
    if cycle is not None and not 1 <= cycle <= _LONGEST_CYCLE:
        table.error("cycle", f"{cycle} days are no cycle", f"Use 1 to {_LONGEST_CYCLE} days")
        cycle = _LONGEST_CYCLE
    if isinstance(anchor, datetime):
        table.error("anchor", f"{shown(anchor)} is not a date", "Write the date without a time of day")
    if "cycle" in table.data and "anchor" not in table.data:
        table.error("anchor", '"anchor" is missing', "Write the date of a first day of the cycle: 2026-01-05")
    if "anchor" in table.data and "cycle" not in table.data:
        table.error("cycle", '"cycle" is missing', "Write after how many days the shifts repeat, such as 28")
    if cycle is None and ("cycle" in table.data or "anchor" in table.data):
        cycle = _LONGEST_CYCLE
    return cycle, anchor


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
    for inner in table.tables("breaks", "calendar.shift.breaks"):
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


def _read_days(table: Table, cycle: int | None) -> tuple[int, ...]:
    """Days of the cycle a shift begins on, the first one 0; all when left out."""
    every = tuple(range(cycle or _WEEK.cycle))
    return _days(table, ("days",), table.data["days"], cycle) if "days" in table.data else every


def _days(table: Table, path: tuple[str | int, ...], value: object, cycle: int | None) -> tuple[int, ...]:
    """Weekdays by name; of a cycle that is given in days, numbers from 1."""
    if not isinstance(value, list):
        example = f"{path[-1]} = [1, 2]" if cycle else f'{path[-1]} = ["Mon", "Tue"]'
        table.error(path, f"{shown(value)} is not a list", f"Write {example}")
        return ()
    found: list[int] = []
    for index, item in enumerate(value):
        day = -1
        if cycle is None and isinstance(item, str) and item in WEEKDAYS:
            day = WEEKDAYS.index(item)
        elif cycle is None:
            fix = suggestion(item, WEEKDAYS, "") if isinstance(item, str) else ""
            usual = f"Use {', '.join(WEEKDAYS)}, or give the calendar a cycle and an anchor"
            table.error((*path, index), f"{shown(item)} is not a weekday", fix or usual)
        elif isinstance(item, int) and not isinstance(item, bool) and 1 <= item <= cycle:
            day = item - 1
        else:
            table.error((*path, index), f"{shown(item)} is not a day of the cycle", f"Use 1 to {cycle}")
        if day in found:
            table.error((*path, index), f"{shown(item)} is listed twice", "Remove one")
        elif day >= 0:
            found.append(day)
    return tuple(sorted(found))


def _read_crews(table: Table, cycle: int | None) -> Crews:
    """Who works a shift on which days: crews = { A = [1, 2], B = [3, 4] }."""
    value = table.data.get("crews", {})
    if not isinstance(value, Mapping):
        table.error("crews", f"{shown(value)} is not a table", "Write crews = { A = [...], B = [...] }")
        return ()
    found: dict[str, tuple[int, ...]] = {}
    for crew, days in value.items():
        found[crew] = _days(table, ("crews", crew), days, cycle)
        for other, theirs in found.items():
            if other != crew and (both := set(theirs) & set(found[crew])):
                day = min(both)
                name = f"day {day + 1}" if cycle else WEEKDAYS[day]
                table.error(
                    ("crews", crew), f'crew "{other}" works {name} already', "Give the day to one of them"
                )
    return tuple(found.items())


def _read_exceptions(
    calendar: Table, shifts: dict[str, Shift], cycle: int, registry: Registry
) -> tuple[CalendarException, ...]:
    found: list[CalendarException] = []
    for table in calendar.tables("exception"):
        day, until = _read_date(table, "date"), _read_date(table, "until")
        if day is None and "date" not in table.data:
            table.error("date", '"date" is missing', "Write date = 2026-12-25, without quotes")
        equipment = table.strings("equipment")
        for index, name in enumerate(equipment):
            registry.refer("equipment", table, ("equipment", index), name)
        closed = _read_closed(table)
        added = _exception_shifts(table, "add", shifts, cycle)
        kept = "shifts" not in table.data and ("add" in table.data or "closed" in table.data)
        exception = CalendarException(
            date=day or _WEEK.anchor,
            until=until,
            equipment=equipment,
            shifts=None if kept else _exception_shifts(table, "shifts", shifts, cycle),
            add=added,
            closed=closed,
            name=table.text("name", ""),
        )
        if day is None:
            continue
        if until is not None and not 0 <= (until - day).days < _LONGEST_CYCLE:
            table.error(
                "until",
                f"{day} to {until} is no span of dates",
                f"Write the last date, at most {_LONGEST_CYCLE} days on",
            )
            continue
        for other in found:
            last, others = until or day, other.until or other.date
            same = set(other.equipment) & set(equipment) or other.equipment == equipment
            if same and other.date <= last and day <= others:
                both = max(day, other.date)
                table.error("date", f"{both} already has an exception", "Write all its shifts in one")
                break
        found.append(exception)
    return tuple(found)


def _read_date(table: Table, key: str) -> date | None:
    day = table.date(key)
    if isinstance(day, datetime):
        table.error(key, f"{shown(day)} is not a date", "Write the date without a time of day")
        return None
    return day


def _read_closed(table: Table) -> tuple[tuple[time, time], ...]:
    parts = [(inner.clock("start"), inner.clock("end"), inner) for inner in table.tables("closed")]
    for start, end, inner in parts:
        if inner.ok and start == end != time(0):
            inner.error("end", f"{start:%H:%M} to {end:%H:%M} is no part of a day", "Move one of them")
    return tuple((start, end) for start, end, _ in parts)


def _exception_shifts(table: Table, key: str, shifts: dict[str, Shift], cycle: int) -> tuple[Shift, ...]:
    """Shifts of the day: ids of the calendar's own, or whole shifts; none (or left out) is a day off."""
    value = table.data.get(key, [])
    if not isinstance(value, list):
        table.error(key, f"{shown(value)} is not a list", f'Write {key} = [] or {key} = ["early"]')
        return ()
    every = tuple(range(cycle))
    found: list[Shift] = []
    for index, item in enumerate(value):
        if isinstance(item, Mapping):
            inner = table.child((key, index), "calendar.exception.shifts", item)
            crew = inner.optional("crew")
            found.append(replace(_read_shift(inner, every), crews=((crew, every),) if crew else ()))
        elif isinstance(item, str) and item in shifts:
            found.append(shifts[item])
        else:
            fix = suggestion(item, shifts, "") if isinstance(item, str) else ""
            table.error(
                (key, index),
                f"{shown(item)} is not a shift of this calendar",
                fix or f"Use {', '.join(shifts) or 'a table { id, name, start, end }'}",
            )
    return tuple(found)


def _check_exceptions(table: Table, calendar: WorkCalendar, equipment: Mapping[str, Equipment]) -> None:
    """That equipment an exception names works by this calendar, or something below it does."""
    workers: set[str] = set()
    for name in equipment:
        path = _path(name, equipment)
        named = next((c for n in reversed(path) if (c := equipment[n].calendar)), None)
        if named == calendar.id:
            workers.update(path)
    for index, exception in enumerate(calendar.exceptions):
        for place, name in enumerate(exception.equipment):
            if name not in workers:
                table.error(
                    ("exception", index, "equipment", place),
                    f'"{name}" does not work by the calendar "{calendar.id}"',
                    "Write the exception in its own calendar",
                )


def _check_overlaps(table: Table, calendar: WorkCalendar, equipment: Mapping[str, Equipment]) -> None:
    """A cycle and its first day again, then the day before, of and after each exception, wherever it holds."""
    usual = replace(calendar, exceptions=())
    if clash := _clash(usual, [usual.anchor + timedelta(days=i) for i in range(usual.cycle + 1)]):
        table.error(
            "shift",
            f'the shifts "{clash[0].id}" and "{clash[1].id}" overlap',
            "Move one of them, or put them on different days",
        )
        return
    everywhere = [()] + [
        _path(name, equipment) for name in dict.fromkeys(n for e in calendar.exceptions for n in e.equipment)
    ]
    wrong: set[int] = set()
    for path in everywhere:
        held = exceptions_of(calendar, path)
        here = replace(calendar, exceptions=tuple(calendar.exceptions[n] for n in held))
        for index in held:
            exception = calendar.exceptions[index]
            length = ((exception.until or exception.date) - exception.date).days
            days = [exception.date + timedelta(days=i) for i in range(-1, length + 2)]
            if index not in wrong and (clash := _clash(here, days)):
                wrong.add(index)
                table.error(
                    ("exception", index, "shifts" if exception.shifts is not None else "add"),
                    f'around {exception.date} the shifts "{clash[0].id}" and "{clash[1].id}" overlap',
                    "Move one of them; a night shift of the day before still runs into this day",
                )


def _clash(calendar: WorkCalendar, days: list[date]) -> tuple[Shift, Shift] | None:
    spans: list[tuple[int, int, Shift]] = []
    for number, day in enumerate(days):
        for shift in calendar.shifts_on(day):
            begin = number * _DAY + _seconds(shift.start)
            spans.append((begin, begin + _length(shift.start, shift.end), shift))
    spans.sort(key=lambda span: span[0])
    return next(((a[2], b[2]) for a, b in pairwise(spans) if b[0] < a[1]), None)


def _path(name: str, equipment: Mapping[str, Equipment]) -> tuple[str, ...]:
    """From the root to that equipment; what goes round in a circle is said elsewhere."""
    path: list[str] = []
    node: str | None = name
    while node is not None and node in equipment and node not in path:
        path.append(node)
        node = equipment[node].parent
    return tuple(reversed(path))


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _length(start: time, end: time) -> int:
    """Seconds on the wall from start to end; equal means a whole day."""
    return (_seconds(end) - _seconds(start)) % _DAY or _DAY
