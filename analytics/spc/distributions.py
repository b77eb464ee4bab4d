"""Quantiles of the chi-square distribution, for intervals of a standard deviation."""

import math


def chi_square(share: float, freedom: float) -> float:
    """The value below which that share of a chi-square distribution lies."""
    low, high = 0.0, freedom + 10.0
    while _below(high, freedom) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _below(x: float, freedom: float) -> float:
    """The regularised lower incomplete gamma function: by its series, or by its continued fraction (Lentz) far out."""
    a, x = freedom / 2, x / 2
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= x / n
            total += term
        return front * total
    b, c = x + 1 - a, math.inf
    d = 1 / b
    h = d
    for i in range(1, 100_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return 1 - front * h
