"""Constants of control charts for normal values, computed from their definitions.

They are the tables of Montgomery (appendix VI), ASTM E2587 (table 1) and ISO 7870-2 (table 2), to more digits.
"""

import math
from functools import cache
from statistics import NormalDist

LARGEST_RANGE = 25
"""Ranges of larger subgroups say too little: the tables end there."""
_CDF = NormalDist().cdf
_STEP = 0.05
_GRID = [-8 + _STEP * i for i in range(321)]
_PHI = [_CDF(x) for x in _GRID] + [1.0] * 240
_DENSITY = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in _GRID]


@cache
def c4(n: int) -> float:
    """Mean of the standard deviation of n values, in sigmas."""
    _at_least_two(n)
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))


@cache
def d2(n: int) -> float:
    """Mean of the range of n values, in sigmas (Tippett 1925)."""
    _in_table(n)
    return _STEP * math.fsum(1 - (1 - p) ** n - p**n for p in _PHI[: len(_GRID)])


@cache
def d3(n: int) -> float:
    """Standard deviation of the range of n values, in sigmas."""
    _in_table(n)
    # E[W^2] = integral of 2 w P(W > w): Simpson over w, the trapezoid rule over the smallest value.
    square = 0.0
    for i in range(241):
        below = math.fsum(f * (_PHI[j + i] - _PHI[j]) ** (n - 1) for j, f in enumerate(_DENSITY))
        weight = 1 if i in (0, 240) else 4 if i % 2 else 2
        square += weight * 2 * i * _STEP * (1 - n * _STEP * below)
    return math.sqrt(square * _STEP / 3 - d2(n) ** 2)


def a2(n: int) -> float:
    """X-bar limits from the mean range."""
    return 3 / (d2(n) * math.sqrt(n))


def a3(n: int) -> float:
    """X-bar limits from the mean standard deviation."""
    return 3 / (c4(n) * math.sqrt(n))


def b3(n: int) -> float:
    """Lower limit of a standard deviation, in mean standard deviations."""
    return max(0.0, 1 - 3 * math.sqrt(1 - c4(n) ** 2) / c4(n))


def b4(n: int) -> float:
    """Upper limit of a standard deviation, in mean standard deviations."""
    return 1 + 3 * math.sqrt(1 - c4(n) ** 2) / c4(n)


def lower_range(n: int) -> float:
    """D3 of the tables: lower limit of a range, in mean ranges."""
    return max(0.0, 1 - 3 * d3(n) / d2(n))


def upper_range(n: int) -> float:
    """D4 of the tables: upper limit of a range, in mean ranges."""
    return 1 + 3 * d3(n) / d2(n)


def _at_least_two(n: int) -> None:
    if n < 2:
        raise ValueError(f"a subgroup of {n} has no spread")


def _in_table(n: int) -> None:
    _at_least_two(n)
    if n > LARGEST_RANGE:
        raise ValueError(
            f"ranges are for subgroups of {LARGEST_RANGE} at most, not {n}: use standard deviations"
        )
