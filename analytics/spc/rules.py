"""Run rules: patterns of points that chance makes rarely.

Every rule looks at z, the distance of each point from its centre line in standard errors, in order of time. It marks the
point that completes the pattern, from the first point on at which there is no doubt. A value exactly on a line is on
neither side of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from plant.model import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a set."""

    set: RuleSet
    number: int
    name: str
    text: str
    points: int
    """How many points the pattern is of."""
    marks: Callable[[pl.Expr], pl.Expr]
    """From z to whether a pattern ends at the point."""

    @property
    def id(self) -> str:
        """Short and unique: WE1, N2."""
        return f"{'WE' if self.set is RuleSet.WESTERN_ELECTRIC else 'N'}{self.number}"


def _enough(hit: pl.Expr, of: int, needed: int) -> pl.Expr:
    """The point is a hit, and so many of the last ones are."""
    found = hit.cast(pl.Int32).rolling_sum(of, min_samples=needed).fill_null(0)
    return hit & (found >= needed)


def _either_side(beyond: float, of: int, needed: int) -> Callable[[pl.Expr], pl.Expr]:
    return lambda z: _enough(z > beyond, of, needed) | _enough(z < -beyond, of, needed)


def _trend(z: pl.Expr) -> pl.Expr:
    step = z.diff()
    return _enough((step > 0).fill_null(False), 5, 5) | _enough((step < 0).fill_null(False), 5, 5)


def _alternating(z: pl.Expr) -> pl.Expr:
    turned = (z.diff() * z.diff().shift(1) < 0).fill_null(False)
    return _enough(turned, 12, 12)


def _mixture(z: pl.Expr) -> pl.Expr:
    sides = [(side > 1).cast(pl.Int32).rolling_sum(8, min_samples=1) > 0 for side in (z, -z)]
    return _enough(z.abs() > 1, 8, 8) & sides[0] & sides[1]


def _western_electric(number: int, name: str, text: str, beyond: float, of: int, needed: int) -> Rule:
    return Rule(
        set=RuleSet.WESTERN_ELECTRIC,
        number=number,
        name=name,
        text=text,
        points=of,
        marks=_either_side(beyond, of, needed),
    )


def _nelson(number: int, name: str, text: str, points: int, marks: Callable[[pl.Expr], pl.Expr]) -> Rule:
    return Rule(set=RuleSet.NELSON, number=number, name=name, text=text, points=points, marks=marks)


RULES: Mapping[RuleSet, tuple[Rule, ...]] = {
    RuleSet.WESTERN_ELECTRIC: (
        _western_electric(
            1, "Beyond a limit", "One point is more than three sigma from the centre line", 3, 1, 1
        ),
        _western_electric(
            2, "Two of three", "Two of three points in a row are beyond two sigma on the same side", 2, 3, 2
        ),
        _western_electric(
            3, "Four of five", "Four of five points in a row are beyond one sigma on the same side", 1, 5, 4
        ),
        _western_electric(
            4, "Run of eight", "Eight points in a row are on the same side of the centre line", 0, 8, 8
        ),
    ),
    RuleSet.NELSON: (
        _nelson(
            1,
            "Beyond a limit",
            "One point is more than three sigma from the centre line",
            1,
            _either_side(3, 1, 1),
        ),
        _nelson(
            2,
            "Run of nine",
            "Nine points in a row are on the same side of the centre line",
            9,
            _either_side(0, 9, 9),
        ),
        _nelson(3, "Trend", "Six points in a row steadily rise, or steadily fall", 6, _trend),
        _nelson(4, "Alternating", "Fourteen points in a row alternate up and down", 14, _alternating),
        _nelson(
            5,
            "Two of three",
            "Two of three points in a row are beyond two sigma on the same side",
            3,
            _either_side(2, 3, 2),
        ),
        _nelson(
            6,
            "Four of five",
            "Four of five points in a row are beyond one sigma on the same side",
            5,
            _either_side(1, 5, 4),
        ),
        _nelson(
            7,
            "Hugging the centre",
            "Fifteen points in a row are within one sigma of the centre line",
            15,
            lambda z: _enough(z.abs() < 1, 15, 15),
        ),
        _nelson(
            8,
            "Mixture",
            "Eight points in a row are beyond one sigma, on both sides of the centre line",
            8,
            _mixture,
        ),
    ),
}
"""Western Electric, *Statistical Quality Control Handbook* (1956); Nelson, *The Shewhart Control Chart - Tests for Special
Causes*, J. Quality Technology 16(4), 1984. Nelson's tests 1, 2, 3, 5 and 6 are among those of ISO 7870-2."""

LIMITS = Rule(
    set=RuleSet.NELSON,
    number=1,
    name="Beyond a limit",
    text="One point is beyond a control limit",
    points=1,
    marks=lambda z: z.abs() > 1,
)
"""Where sigmas mean nothing (ranges, standard deviations, EWMA, CUSUM): the limits of the chart alone."""


def marked(z: pl.Series, rules: tuple[Rule, ...]) -> pl.DataFrame:
    """One column per rule id: whether a pattern ends at the point."""
    return pl.DataFrame({"z": z}).select(
        rule.marks(pl.col("z")).fill_null(False).alias(rule.id) for rule in rules
    )
