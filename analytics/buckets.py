"""Hours and days in plant-local time: the instants to cut a ledger at, and the bucket of a row."""

from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from plant.frames import Window

EVERY = {"hour": "1h", "day": "1d"}


def edges(window: Window, zone: ZoneInfo, *buckets: str) -> list[datetime]:
    """Starts of the local hours and days ("hour", "day") inside the window, UTC. A day has 23 to 25 hours."""
    found: set[datetime] = set()
    for bucket in buckets:
        first = pl.Series([window.start]).dt.convert_time_zone(zone.key).dt.truncate(EVERY[bucket])[0]
        last = window.end.astimezone(zone)
        span = pl.datetime_range(first, last, EVERY[bucket], time_unit="us", time_zone=zone.key, eager=True)
        found.update(span.dt.convert_time_zone("UTC").to_list())
    return sorted(t for t in found if window.start < t < window.end)


def bucket(column: str, zone: ZoneInfo, name: str) -> pl.Expr:
    """Start of the local hour or day a time lies in, UTC."""
    local = pl.col(column).dt.convert_time_zone(zone.key).dt.truncate(EVERY[name])
    return local.dt.convert_time_zone("UTC")
