"""Hours and days in plant-local time: the instants to cut a ledger at, and the bucket of a row."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from math import gcd
from zoneinfo import ZoneInfo

import polars as pl

from plant.calendar import to_utc
from plant.frames import TIME, Window

EVERY = ("hour", "day")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def bucket_of(column: str, window: Window, zone: ZoneInfo, name: str) -> pl.Expr:
    """As `bucket`, of a column of times within the window, whatever its length: one look into a table for each row.

    The table has a place for every stretch of time that all buckets are multiples of: an hour, in some zones 15 minutes.
    """
    begin = [_microseconds(t) for t in _starts(window, zone, name)]
    unit = gcd(*(b - a for a, b in pairwise(begin))) or 1
    ends = [*begin[1:], _microseconds(window.end) + 1]
    table = [a for a, b in zip(begin, ends, strict=True) for _ in range(-(-(b - a) // unit))]
    place = (pl.col(column).dt.epoch("us") - begin[0]) // unit
    return pl.lit(pl.Series(table, dtype=pl.Int64).cast(TIME)).gather(place.cast(pl.UInt32))


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


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
