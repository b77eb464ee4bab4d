"""What a variable did while it was watched. Pure."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from collectors.onboarding.found import Kind, Series, Value, Variable

MOST_STATES = 24
"""A variable with more distinct values is no state."""
POINTS = 40
"""Points of a sparkline."""


class Pattern(StrEnum):
    """How it behaved."""

    NOTHING = "said nothing"
    CONSTANT = "did not change"
    COUNTS = "counts up"
    STATES = "few values"
    STEPPED = "rose once or twice"
    TOGGLES = "on and off"
    VARIES = "varies"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """A summary; numbers are None where there were none."""

    pattern: Pattern
    samples: int = 0
    changes: int = 0
    seconds: float = 0.0
    """From the first sample to the end of watching."""
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[Value, ...] = ()
    """Distinct values in the order they came, at most MOST_STATES."""
    rate: float = 0.0
    """COUNTS: increase per second. TOGGLES: rises per second."""
    step: float = 0.0
    """COUNTS: the usual increase."""
    resets: int = 0
    """COUNTS: how often it fell."""
    last: Value = None
    """The newest value."""
    line: tuple[float, ...] = ()
    """The values at equal distances in time, for a sparkline."""

    @property
    def words(self) -> str:
        """What it did, in a few words."""
        match self.pattern:
            case Pattern.COUNTS:
                fell = f", fell back {self.resets} times" if self.resets else ""
                return f"counted up {self.rate * 60:.3g} a minute{fell}"
            case Pattern.TOGGLES:
                return f"went on {self.rate * 60:.3g} times a minute"
            case Pattern.VARIES:
                return f"{self.minimum:.6g} to {self.maximum:.6g}, {self.changes} changes"
            case Pattern.STEPPED:
                return f"rose from {self.minimum:.6g} to {self.maximum:.6g}"
            case Pattern.STATES | Pattern.TEXT:
                return f"{self.changes} changes among {len(self.values)} values"
            case _:
                return str(self.pattern)


def observe(variable: Variable, series: Series, until: float) -> Behaviour:
    """The behaviour of a variable from what it said; watching ended at `until` (seconds)."""
    said = [(at, value) for at, value in series if value is not None]
    if not said:
        return Behaviour(pattern=Pattern.NOTHING)
    values = [value for _, value in said]
    distinct = tuple(dict.fromkeys(values))
    changes = sum(a != b for a, b in pairwise(values))
    common = {
        "samples": len(said),
        "changes": changes,
        "seconds": max(until - said[0][0], 0.0),
        "values": distinct[:MOST_STATES],
        "last": values[-1],
    }
    if variable.kind is Kind.TEXT or any(isinstance(v, str) for v in values):
        pattern = Pattern.TEXT if changes else Pattern.CONSTANT
        return Behaviour(pattern=pattern, **common)  # type: ignore[arg-type]
    numbers = [(at, float(value)) for at, value in said if not isinstance(value, str) and value is not None]
    numbers = [(at, value) for at, value in numbers if math.isfinite(value)]
    if not numbers:
        return Behaviour(pattern=Pattern.NOTHING)
    common |= {
        "minimum": min(v for _, v in numbers),
        "maximum": max(v for _, v in numbers),
        "line": _line(numbers, until),
    }
    return _judge(variable, numbers, len(distinct), common)


def _judge(
    variable: Variable, numbers: list[tuple[float, float]], distinct: int, common: dict[str, object]
) -> Behaviour:
    rises = [b - a for (_, a), (_, b) in pairwise(numbers) if b > a]
    falls = [(a, b) for (_, a), (_, b) in pairwise(numbers) if b < a]
    seconds = float(common["seconds"])  # type: ignore[arg-type]
    pattern, rate, step, resets = Pattern.VARIES, 0.0, 0.0, 0
    whole = all(v == int(v) for _, v in numbers)
    back_to_start = all(b <= 0.1 * a for a, b in falls)
    if not rises and not falls:
        pattern = Pattern.CONSTANT
    elif variable.kind is Kind.BOOLEAN:
        pattern, rate = Pattern.TOGGLES, len(rises) / seconds if seconds else 0.0
    elif whole and len(rises) >= 3 and len(falls) <= len(rises) // 4 and back_to_start:
        pattern, resets = Pattern.COUNTS, len(falls)
        step = sorted(rises)[len(rises) // 2]
        rate = sum(rises) / seconds if seconds else 0.0
    elif whole and not falls and len(rises) < 3:
        pattern = Pattern.STEPPED
    elif whole and distinct <= MOST_STATES:
        pattern = Pattern.STATES
    return Behaviour(pattern=pattern, rate=rate, step=step, resets=resets, **common)  # type: ignore[arg-type]


def _line(numbers: list[tuple[float, float]], until: float) -> tuple[float, ...]:
    """The value that held at POINTS instants from the first sample to the end."""
    times = [at for at, _ in numbers]
    length = max(until - times[0], 0.0)
    found = []
    for point in range(POINTS):
        at = times[0] + length * point / (POINTS - 1)
        found.append(numbers[max(bisect_right(times, at) - 1, 0)][1])
    return tuple(found)


def rises_during(state: Series, counter: Series, until: float) -> Mapping[Value, tuple[float, float]]:
    """For each value of a state: how much the counter rose while it held, and for how many seconds it held. What rose
    from one value to another says nothing: a poll sees both changes at once."""
    said = [(at, value) for at, value in state if value is not None]
    found: dict[Value, tuple[float, float]] = {}
    for index, (at, value) in enumerate(said):
        end = said[index + 1][0] if index + 1 < len(said) else until
        rise, seconds = found.get(value, (0.0, 0.0))
        found[value] = (rise, seconds + max(end - at, 0.0))
    times = [at for at, _ in said]
    counted = [(at, float(v)) for at, v in counter if isinstance(v, int | float)]
    for (before, a), (at, b) in pairwise(counted):
        first, index = bisect_right(times, before) - 1, bisect_right(times, at) - 1
        if b > a and first >= 0 and said[first][1] == said[index][1]:
            value = said[index][1]
            rise, seconds = found[value]
            found[value] = (rise + b - a, seconds)
    return found
