"""When work is scheduled: shifts, breaks, exceptions (ISA-95 work calendar), in wall time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A planned pause inside a shift, in wall time."""

    start: time
    end: time
    name: str = "break"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A shift in wall time; one that ends at or before its start runs over midnight and belongs to the day it
    began."""

    id: str
    name: str
    start: time
    end: time
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """Days of the calendar's cycle the shift begins on, the first one 0: of a week, Monday."""
    breaks: tuple[Break, ...] = ()
    crews: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Who works it on which of those days: (crew, days). A day is in one of them at most."""

    def crew(self, day: int) -> str | None:
        """The crew that works it when it begins on that day of the cycle; None: nobody said."""
        return next((crew for crew, days in self.crews if day in days), None)


_Date = date
"""The type, where a field has its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarException:
    """Dates that differ: a holiday or shutdown (`shifts == ()`), other shifts, an extra one, part of a day off."""

    date: date
    until: _Date | None = None
    """The last of the dates; None: it is that one date."""
    equipment: tuple[str, ...] = ()
    """It holds for these and everything below them; empty: for all that work by the calendar."""
    shifts: tuple[Shift, ...] | None = ()
    """What begins on these dates instead of the usual shifts; None: the usual ones stay."""
    add: tuple[Shift, ...] = ()
    """What begins besides."""
    closed: tuple[tuple[time, time], ...] = ()
    """Wall times (start, end) of each of the dates that are not scheduled, whatever the shifts say; over midnight when
    the end is not after the start."""
    name: str = ""

    def holds_on(self, day: _Date) -> bool:
        """Whether the date is one of them."""
        return self.date <= day <= (self.until or self.date)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkCalendar:
    """Shifts of a week, or of a longer cycle (rotating shifts), with exceptions, in the site's zone."""

    id: str
    shifts: tuple[Shift, ...]
    exceptions: tuple[CalendarException, ...] = ()
    """In the order they are laid over the shifts, one over the other."""
    cycle: int = 7
    """Days after which the shifts repeat."""
    anchor: date = date(2001, 1, 1)
    """A first day of the cycle; of a week, a Monday."""

    def day_of_cycle(self, day: date) -> int:
        """Which day of the cycle a date is, the first one 0."""
        return (day - self.anchor).days % self.cycle

    def shifts_on(self, day: date) -> tuple[Shift, ...]:
        """The shifts that begin on a date."""
        place = self.day_of_cycle(day)
        found = tuple(s for s in self.shifts if place in s.days)
        for exception in self.exceptions:
            if exception.holds_on(day):
                found = (found if exception.shifts is None else exception.shifts) + exception.add
        return found

    def closed_on(self, day: date) -> tuple[tuple[time, time], ...]:
        """The parts of a date that exceptions take out."""
        return tuple(part for e in self.exceptions if e.holds_on(day) for part in e.closed)


def exceptions_of(calendar: WorkCalendar, path: Sequence[str]) -> list[int]:
    """Places of the exceptions that hold at the end of a path from the root, the widest first."""
    depth = {name: number for number, name in enumerate(path)}
    held = [
        (max((depth.get(name, -2) for name in e.equipment), default=-1), number)
        for number, e in enumerate(calendar.exceptions)
    ]
    return [number for level, number in sorted(held) if level > -2]
