"""Durations, clock times and weekdays as people write them."""

import re
from datetime import time, timedelta
from decimal import Decimal

_UNITS = {
    "us": Decimal(1),
    "ms": Decimal(1_000),
    "s": Decimal(1_000_000),
    "min": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
    "d": Decimal(86_400_000_000),
}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(us|ms|s|min|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(kB|MB|GB|TB)", re.ASCII)
_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

YEAR = timedelta(days=366)
CENTURY = timedelta(days=36_525)

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def duration(text: str, longest: timedelta = YEAR) -> timedelta:
    """A length of time with its unit: "250ms", "0.9s", "2min", "1h 30min", "1d"; a year at most, or `longest`.

    Raises ValueError saying what is wrong with the text.
    """
    text = text.strip()
    if text.startswith("-"):
        raise ValueError(f'"{text}" is negative')
    total, at = Decimal(0), 0
    while at < len(text):
        match = _DURATION.match(text, at)
        if match is None:
            break
        total += Decimal(match[1]) * _UNITS[match[2]]
        at = match.end()
        while at < len(text) and text[at] == " ":
            at += 1
    if not text or at < len(text):
        raise ValueError(f'"{text}" is not a duration')
    if total > longest / timedelta(microseconds=1):
        limit = "a year" if longest == YEAR else f"{longest.days // 365} years"
        raise ValueError(f'"{text}" is longer than {limit}')
    return timedelta(microseconds=int(total.to_integral_value()))


def size(text: str) -> int:
    """A number of bytes with its unit, decimal as disks are sold: "500MB", "4GB", "1.5TB". Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not a size')
    return int(Decimal(match[1]) * _BYTES[match[2]])


def clock(text: str) -> time:
    """A wall time "HH:MM" or "HH:MM:SS". Raises ValueError."""
    if re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", text, re.ASCII):
        try:
            return time.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError(f'"{text}" is not a time of day')
