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
_LONGEST = timedelta(days=366)

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def duration(text: str) -> timedelta:
    """A length of time with its unit: "250ms", "0.9s", "2min", "1h 30min", "1d".

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
    if total > _LONGEST / timedelta(microseconds=1):
        raise ValueError(f'"{text}" is longer than a year')
    return timedelta(microseconds=int(total.to_integral_value()))


def clock(text: str) -> time:
    """A wall time "HH:MM" or "HH:MM:SS". Raises ValueError."""
    if re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", text, re.ASCII):
        try:
            return time.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError(f'"{text}" is not a time of day')
