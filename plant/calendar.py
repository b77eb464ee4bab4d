"""Work calendars on the time axis: wall-clock shifts become UTC segments that cover a window exactly.

Shifts and breaks are written in wall time and only then put into UTC, so a night shift lasts 7, 8 or
9 hours as the clocks go forward or back. Two wall times need a rule, the same for every edge, so
that shifts that touch on the wall also touch in UTC:

* a wall time that occurs twice (clocks go back) is its first occurrence;
* a wall time that does not occur (clocks go forward over it) is the instant of the jump.

Both keep the order of wall times, so no shift ever ends before it begins; one that lies wholly
inside the jumped hour has no length that day and is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from plant.frames import TIME, Window
from plant.model import Break, Shift, WorkCalendar

SHIFT, BREAK, OFF = "shift", "break", "off"

SEGMENTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "start": TIME,
    "end": TIME,
    "kind": pl.String,  # shift (work), break (inside a shift), off (no shift)
    "shift": pl.String,  # shift id; null when off, and where there is no calendar
    "shift_start": TIME,  # of the whole shift instance, not cut by the window
    "shift_end": TIME,
}
"""Columns of `segments`: contiguous, sorted, none empty."""

_DAY = timedelta(days=1)
_Row = tuple[datetime, datetime, str, str | None, datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class ShiftInstance:
    """One shift on one date, in UTC, half-open."""

    shift: Shift
    start: datetime
    end: datetime
    crew: str | None = None
    """Who works it, as the calendar says."""


def to_utc(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a wall time (naive), by the two rules above. Never decreasing in `wall`."""
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    # In a gap fold=1 lies before the jump and fold=0 after it (PEP 495): close in on the jump itself.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    new_offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == new_offset:
            after = middle
        else:
            before = middle
    return after


def shift_instances(calendar: WorkCalendar, zone: ZoneInfo, window: Window) -> list[ShiftInstance]:
    """The shift instances that overlap the window, whole (not cut by it), in order and without overlap.

    `plant.parse` refuses calendars whose shifts overlap; should one come here all the same, the
    shift begun last takes over.
    """
    return [i for i, _ in _instances(calendar, zone, window)]


def segments(calendar: WorkCalendar | None, zone: ZoneInfo, window: Window) -> pl.DataFrame:
    """The window cut at every shift and break edge: `SEGMENTS`, covering [start, end) once.

    Without a calendar the whole window is one `shift` segment with no shift id: scheduled around
    the clock. An empty window has no segments.
    """
    rows: list[_Row] = []
    if calendar is None:
        rows.append((window.start, window.end, SHIFT, None, None, None))
    else:
        closed = _closed(calendar, zone, window)
        reached = window.start
        for instance, date_of_shift in _instances(calendar, zone, window):
            rows.append((reached, instance.start, OFF, None, None, None))
            for start, end, kind in _inside(instance, date_of_shift, zone):
                named = kind, instance.shift.id, instance.start, instance.end
                for begin, finish, off in _split(start, end, closed):
                    rows.append((begin, finish, *((OFF, None, None, None) if off else named)))
            reached = instance.end
        rows.append((reached, window.end, OFF, None, None, None))
    cut = [(max(row[0], window.start), min(row[1], window.end), *row[2:]) for row in rows]
    return pl.DataFrame([row for row in cut if row[0] < row[1]], schema=dict(SEGMENTS), orient="row")


def _instances(
    calendar: WorkCalendar, zone: ZoneInfo, window: Window
) -> Iterator[tuple[ShiftInstance, date]]:
    """Shift instances in the window, each with the date it belongs to."""
    closed = _closed(calendar, zone, window)
    found: list[tuple[ShiftInstance, date]] = []
    for day in _days(zone, window):
        place = calendar.day_of_cycle(day)
        for shift in sorted(calendar.shifts_on(day), key=lambda s: s.start):
            start, end = (to_utc(wall, zone) for wall in _wall(shift.start, shift.end, day))
            if start < end:
                found.append((ShiftInstance(shift, start, end, shift.crew(place)), day))
    for index, (instance, day) in enumerate(found):
        following = found[index + 1][0].start if index + 1 < len(found) else instance.end
        open_parts = [
            (start, end)
            for start, end, off in _split(instance.start, min(instance.end, following), closed)
            if not off
        ]
        if open_parts and open_parts[0][0] < window.end and open_parts[-1][1] > window.start:
            yield replace(instance, start=open_parts[0][0], end=open_parts[-1][1]), day


def _days(zone: ZoneInfo, window: Window) -> list[date]:
    """Dates whose shifts may touch the window: one may have begun the day before, and a zone may skip a whole day (Apia,
    30 December 2011)."""
    first = window.start.astimezone(zone).date() - 3 * _DAY
    last = window.end.astimezone(zone).date() + 2 * _DAY
    return [first + n * _DAY for n in range((last - first).days + 1)]


def _closed(calendar: WorkCalendar, zone: ZoneInfo, window: Window) -> list[tuple[datetime, datetime]]:
    """What exceptions take out of the shifts around the window, in order and without overlap."""
    spans = sorted(
        (to_utc(start, zone), to_utc(end, zone))
        for day in _days(zone, window)
        for part in calendar.closed_on(day)
        for start, end in (_wall(*part, day),)
    )
    merged: list[tuple[datetime, datetime]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _split(
    start: datetime, end: datetime, closed: list[tuple[datetime, datetime]]
) -> Iterator[tuple[datetime, datetime, bool]]:
    """A span in pieces (start, end, whether it is closed), none empty."""
    for begin, finish in closed:
        begin, finish = max(begin, start), min(finish, end)
        if begin < finish:
            if start < begin:
                yield start, begin, False
            yield begin, finish, True
            start = finish
    if start < end:
        yield start, end, False


def _inside(instance: ShiftInstance, day: date, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime, str]]:
    """Work and breaks of one shift instance, in order."""
    reached = instance.start
    for pause in sorted(instance.shift.breaks, key=lambda b: _break_date(b, instance.shift, day)):
        first = _break_date(pause, instance.shift, day)
        start, end = (to_utc(wall, zone) for wall in _wall(pause.start, pause.end, first.date()))
        start, end = max(start, reached), min(end, instance.end)
        if start < end:
            yield reached, start, SHIFT
            yield start, end, BREAK
            reached = end
    yield reached, instance.end, SHIFT


def _break_date(pause: Break, shift: Shift, day: date) -> datetime:
    """The wall time a break begins at: on the next day when its clock time is before the shift's."""
    return datetime.combine(day + (_DAY if pause.start < shift.start else 0 * _DAY), pause.start)


def _wall(start: time, end: time, day: date) -> tuple[datetime, datetime]:
    """Wall times of a span that begins on that date, over midnight when it ends at or before its start."""
    return datetime.combine(day, start), datetime.combine(day + (_DAY if end <= start else 0 * _DAY), end)
