"""Every run rule against its definition, point by point."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.spc.rules import RULES, Rule, marked
from plant.model import RuleSet

Z = Sequence[float]


def some_of(beyond: float, of: int, needed: int) -> Callable[[Z], bool]:
    """The last point and so many of the last `of` are beyond, on one side."""

    def ends(z: Z) -> bool:
        last = z[-of:]
        return any(
            side * z[-1] > beyond and sum(1 for v in last if side * v > beyond) >= needed for side in (1, -1)
        )

    return ends


def trend(z: Z) -> bool:
    last = z[-6:]
    steps = [b - a for a, b in pairwise(last)]
    return len(last) == 6 and (all(s > 0 for s in steps) or all(s < 0 for s in steps))


def alternating(z: Z) -> bool:
    last = z[-14:]
    steps = [b - a for a, b in pairwise(last)]
    return len(last) == 14 and all(a * b < 0 for a, b in pairwise(steps))


def hugging(z: Z) -> bool:
    return len(z) >= 15 and all(-1 < v < 1 for v in z[-15:])


def mixture(z: Z) -> bool:
    last = z[-8:]
    return len(last) == 8 and all(abs(v) > 1 for v in last) and min(last) < 0 < max(last)


NAIVE: dict[str, Callable[[Z], bool]] = {
    "WE1": some_of(3, 1, 1),
    "WE2": some_of(2, 3, 2),
    "WE3": some_of(1, 5, 4),
    "WE4": some_of(0, 8, 8),
    "N1": some_of(3, 1, 1),
    "N2": some_of(0, 9, 9),
    "N3": trend,
    "N4": alternating,
    "N5": some_of(2, 3, 2),
    "N6": some_of(1, 5, 4),
    "N7": hugging,
    "N8": mixture,
}
EVERY = [rule for rules in RULES.values() for rule in rules]
LEVELS = st.sampled_from([-3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
UP = [-0.2 + 0.1 * i for i in range(7)]


@st.composite
def sequences(draw: st.DrawFn) -> list[float]:
    """Chance alone makes few long runs: pieces that are runs, trends, zigzags and anything else."""
    made: list[float] = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.integers(0, 3))
        length, level = draw(st.integers(1, 16)), draw(LEVELS)
        if shape == 0:
            made += draw(st.lists(LEVELS, max_size=12))
        elif shape == 1:
            made += [level] * length
        elif shape == 2:
            made += [level + 0.1 * i * draw(st.sampled_from([-1, 1])) for i in range(length)]
        else:
            made += [level if i % 2 else -level for i in range(length)]
    return made


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.id)
@given(z=sequences())
@example(z=[0.5] * 9)
@example(z=[1.5, -1.5] * 7)
@example(z=UP)
def test_marks_are_those_of_the_definition(rule: Rule, z: list[float]) -> None:
    found = marked(pl.Series(z, dtype=pl.Float64), (rule,))[rule.id].to_list()
    assert found == [NAIVE[rule.id](z[: i + 1]) for i in range(len(z))]


def test_all_rules_are_there() -> None:
    assert [r.number for r in RULES[RuleSet.WESTERN_ELECTRIC]] == [1, 2, 3, 4]
    assert [r.number for r in RULES[RuleSet.NELSON]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {r.id for r in EVERY} == set(NAIVE)


HAND = {
    "WE1": ([0, 3.1, -3.1, 3.0], [1, 2]),
    "WE2": ([2.1, 0, 2.1, 0, 0, -2.1, 2.1], [2]),
    "WE3": ([1.1, 1.1, 0, 1.1, 1.1, 1.1], [4, 5]),
    "WE4": ([0.1] * 8 + [0.0, 0.1], [7]),
    "N2": ([-0.1] * 10, [8, 9]),
    "N3": ([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5], [5]),
    "N4": ([0.5, -0.5] * 7 + [0.5], [13, 14]),
    "N7": ([0.5, -0.9] * 8, [14, 15]),
    "N8": ([1.1] * 8 + [-1.1, 0.0], [8]),
}


@pytest.mark.parametrize("rule", HAND)
def test_by_hand(rule: str) -> None:
    z, expected = HAND[rule]
    one = next(r for r in EVERY if r.id == rule)
    found = marked(pl.Series(z, dtype=pl.Float64), (one,))[rule].to_list()
    assert [i for i, hit in enumerate(found) if hit] == expected
