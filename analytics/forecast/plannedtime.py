"""Planned time of machines: shift time less breaks, kept by week, as every order asks for it at every look."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

import polars as pl

from plant.calendar import SHIFT, segments
from plant.frames import Window
from plant.model import Plant, WorkCalendar

HORIZON = timedelta(days=60)
"""Nothing is forecast beyond it."""
_WEEK = timedelta(days=7)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""Where week 0 begins."""
_HELD = 1000
"""Weeks of calendars that are held."""


@dataclass(frozen=True, slots=True)
class _Week:
    starts: list[datetime]
    ends: list[datetime]
    """Of its spans of planned time, in order."""
    sums: list[timedelta]
    """Planned time of the week up to the end of each."""

    @property
    def total(self) -> timedelta:
        return self.sums[-1] if self.sums else timedelta()

    def until(self, at: datetime) -> timedelta:
        """Planned time of the week before that instant."""
        begun = bisect_right(self.starts, at)
        if not begun:
            return timedelta()
        return self.sums[begun - 1] - max(self.ends[begun - 1] - at, timedelta())

    def after(self, needed: timedelta) -> datetime:
        """When that much planned time of the week, of all of it at most, has passed."""
        place = bisect_left(self.sums, needed)
        return self.ends[place] - (self.sums[place] - needed)


def planned_between(plant: Plant, equipment: str, start: datetime, end: datetime) -> timedelta:
    """Shift time less breaks of a machine's calendar between two instants."""
    if end <= start:
        return timedelta()
    calendar, zone = plant.calendar_of(equipment), plant.site.zone
    first, last = ((at - _FIRST) // _WEEK for at in (start, end))
    whole = sum((_week(calendar, zone, week).total for week in range(first, last)), timedelta())
    return whole - _week(calendar, zone, first).until(start) + _week(calendar, zone, last).until(end)


def after_planned(plant: Plant, equipment: str, start: datetime, needed: timedelta) -> datetime | None:
    """When that much planned time will have passed since `start`; None beyond `HORIZON`."""
    if needed <= timedelta():
        return start
    calendar, zone, number = plant.calendar_of(equipment), plant.site.zone, (start - _FIRST) // _WEEK
    week = _week(calendar, zone, number)
    needed += week.until(start)
    while needed > week.total:
        needed -= week.total
        number += 1
        if _FIRST + number * _WEEK > start + HORIZON:
            return None
        week = _week(calendar, zone, number)
    found = week.after(needed)
    return found if found <= start + HORIZON else None


@lru_cache(maxsize=_HELD)
def _week(calendar: WorkCalendar | None, zone: ZoneInfo, number: int) -> _Week:
    start = _FIRST + number * _WEEK
    spans = segments(calendar, zone, Window(start, start + _WEEK)).filter(pl.col("kind") == SHIFT)
    lengths = spans.select(pl.col("end") - pl.col("start")).to_series().to_list()
    return _Week(spans["start"].to_list(), spans["end"].to_list(), list(accumulate(lengths)))
