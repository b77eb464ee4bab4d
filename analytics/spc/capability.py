"""Capability (Cp, Cpk: what the process can do, from the spread within subgroups) and performance (Pp, Ppk: what it did,
from the spread of all values). ISO 22514-2; Montgomery, chapter 8. Both take values that are about normal.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from analytics.spc.charts import Estimate
from analytics.spc.distributions import chi_square

LEAST = 20
"""Values below which an index says nothing."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One index with its confidence interval."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    """Why there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specified:
    """Specification limits; None: that side is free."""

    lower: float | None
    upper: float | None


def capability(found: Estimate, limits: Specified) -> tuple[Index, ...]:
    """Cp, Cpk, Pp and Ppk. One-sided limits give no Cp and Pp."""
    return (
        *_pair("Cp", found, limits, found.sigma, found.freedom),
        *_pair("Pp", found, limits, found.overall, found.values - 1),
    )


def _pair(name: str, found: Estimate, limits: Specified, sigma: float, freedom: float) -> tuple[Index, Index]:
    reason = _missing(found, limits, sigma)
    if reason:
        return Index(name=name, value=None, reason=reason), Index(name=f"{name}k", value=None, reason=reason)
    return _potential(name, limits, sigma, freedom), _nearest(name, found, limits, sigma, freedom)


def _missing(found: Estimate, limits: Specified, sigma: float) -> str:
    if limits.lower is None and limits.upper is None:
        return "there are no specification limits: give the signal lower, upper or both in the plant file"
    if found.values < LEAST:
        return f"{found.values} values are too few; it takes {LEAST}"
    return "" if sigma > 0 else "all values are equal"


def _potential(name: str, limits: Specified, sigma: float, freedom: float) -> Index:
    """(upper - lower) / 6 sigma, with the interval of a standard deviation (Montgomery 8.19)."""
    if limits.lower is None or limits.upper is None:
        return Index(name=name, value=None, reason="one specification limit gives no width to compare with")
    value = (limits.upper - limits.lower) / (6 * sigma)
    tail = (1 - CONFIDENCE) / 2
    low, high = (value * math.sqrt(chi_square(share, freedom) / freedom) for share in (tail, 1 - tail))
    return Index(name=name, value=value, low=low, high=high)


def _nearest(name: str, found: Estimate, limits: Specified, sigma: float, freedom: float) -> Index:
    """Distance of the mean to the nearer limit / 3 sigma, with the interval of Bissell 1990 (Montgomery 8.21)."""
    sides = [(limits.upper, 1), (limits.lower, -1)]
    value = min(side * (limit - found.center) / (3 * sigma) for limit, side in sides if limit is not None)
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(
        1 / (9 * found.values) + value**2 / (2 * freedom)
    )
    return Index(name=f"{name}k", value=value, low=value - half, high=value + half)
