"""Hours and days in plant-local time: the instants to cut a ledger at, and the bucket of a row."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from plant.calendar import to_utc
from plant.frames import TIME, Window

EVERY = ("hour", "day")

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def edges(window: Window, zone: ZoneInfo, *buckets: str) -> list[datetime]:
    """Starts of the local hours and days ("hour", "day") inside the window, UTC.

    A day has 23 to 25 hours; it begins at midnight, or where the clocks skip that, at the instant they do.
    """
    found = {start for name in buckets for start in _starts(window, zone, name)}
    return sorted(t for t in found if window.start < t < window.end)


def bucket(times: pl.Series, zone: ZoneInfo, name: str) -> pl.Series:
    """Start of the local hour or day each time lies in, UTC."""
    if times.is_empty():
        return pl.Series(times.name, [], dtype=TIME)
    first, last = times.to_frame("t").select(pl.col("t").min(), last=pl.col("t").max()).row(0)
    starts = pl.Series(times.name, list(_starts(Window(first, last), zone, name)), dtype=TIME)
    return starts.gather(starts.search_sorted(times, side="right") - 1)


def _starts(window: Window, zone: ZoneInfo, name: str) -> Iterator[datetime]:
    """Starts of the buckets that touch the window, ascending; the first is at or before its start."""
    date = window.start.astimezone(zone).date() - _DAY
    while (start := to_utc(datetime.combine(date, time()), zone)) <= window.end:
        date += _DAY
        following = to_utc(datetime.combine(date, time()), zone)
        step = _HOUR if name == "hour" else following - start
        while start < following:
            yield start.astimezone(UTC)
            start += step
