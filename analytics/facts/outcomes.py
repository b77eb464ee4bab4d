"""What samples say to the comparisons the plant file makes with them: a value of many becomes one of few.

A temperature that is read ten times a second tells nothing to `temperature > 80` but when it passes 80. So of such
signals only the outcomes are kept, in one number with a digit for each comparison, and what repeats the outcomes
of the sample before can be dropped like any repeated value. The rule looks at one sample alone.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from plant.expressions import Calculated, Comparison, Operand, Value, parse
from plant.frames import BAD

Numbers = NDArray[Any]

FALSE, TRUE, UNKNOWN = 0, 1, 2
DIGITS = 3


@lru_cache(maxsize=10_000)
def tests_of(lines: str) -> tuple[Comparison, ...]:
    """The comparisons of a series (`tests` of `analytics.facts.readings.SERIES`)."""
    found = tuple(parse(line) for line in lines.split("\n"))
    return tuple(test for test in found if isinstance(test, Comparison))


def outcome(label: int, place: int) -> bool | None:
    """What the number says of the comparison at that place; None: it could not be judged, as of text where a
    number is compared."""
    digit = label // DIGITS**place % DIGITS
    return None if digit == UNKNOWN else digit == TRUE


def outcomes(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows with columns code, value, text and quality: of series with `tests` the value is the number of their
    outcomes instead, and there is no text. Samples without a usable value stay without."""
    tested = known.filter(pl.col("tests").is_not_null())
    if tested.is_empty() or rows.is_empty():
        return rows
    codes = rows["code"].to_numpy()
    place = np.flatnonzero(np.isin(codes, tested["code"].to_numpy()))
    if not len(place):
        return rows
    own = codes[place]
    order = np.argsort(own, kind="stable")
    place, own = place[order], own[order]
    some = rows.select("value", "text", "quality")[place]
    value = some["value"].to_numpy()
    labels = np.empty(len(place))
    begins = np.searchsorted(own, tested["code"].to_numpy(), "left")
    ends = np.searchsorted(own, tested["code"].to_numpy(), "right")
    for lines, first, end in zip(tested["tests"].to_list(), begins, ends, strict=True):
        if end > first:
            labels[first:end] = _label(tests_of(lines), value[first:end], some["text"][first:end])
    said = (some["quality"] < BAD) & (some["value"].is_not_null() | some["text"].is_not_null())
    new = pl.Series("value", labels, dtype=pl.Float64).zip_with(
        said, pl.repeat(None, len(labels), dtype=pl.Float64, eager=True)
    )
    none = pl.repeat(None, len(labels), dtype=pl.String, eager=True)
    return rows.with_columns(
        rows["value"].scatter(place, new).alias("value"), rows["text"].scatter(place, none).alias("text")
    )


def _label(tests: tuple[Comparison, ...], value: Numbers, text: pl.Series) -> Numbers:
    worded = text.is_not_null().to_numpy()
    label = np.zeros(len(value))
    with np.errstate(all="ignore"):
        for place, test in enumerate(tests):
            label += _judged(test, value, text, worded) * float(DIGITS**place)
    return label


def _judged(test: Comparison, value: Numbers, text: pl.Series, worded: Numbers) -> Numbers:
    words = [side for side in (test.left, test.right) if isinstance(side, str)]
    if words:
        equal = worded & (text == words[0]).fill_null(False).to_numpy()
        return np.where(equal == (test.operator == "=="), TRUE, FALSE)
    number = value
    if worded.any():
        said = text.str.strip_chars().cast(pl.Float64, strict=False).to_numpy()
        number = np.where(worded, said, value)
    left, right = _number(test.left, number), _number(test.right, number)
    holds = _COMPARE[test.operator](left, right)
    return np.where(np.isfinite(left + right), np.where(holds, TRUE, FALSE), UNKNOWN)


def _number(operand: Operand, value: Numbers) -> Numbers:
    if isinstance(operand, Value):
        return value
    if isinstance(operand, Calculated):
        return _CALCULATE[operand.operator](_number(operand.left, value), _number(operand.right, value))
    return np.full(len(value), operand)


def _and(one: Numbers, two: Numbers) -> Numbers:
    """Bits of whole numbers; of others nothing is known."""
    whole = (one == np.floor(one)) & (two == np.floor(two)) & (np.abs(one) < 2**53) & (np.abs(two) < 2**53)
    bits = np.where(whole, one, 0).astype(np.int64) & np.where(whole, two, 0).astype(np.int64)
    return np.where(whole, bits.astype(float), np.nan)


_COMPARE: Mapping[str, Callable[[Numbers, Numbers], Numbers]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_CALCULATE: Mapping[str, Callable[[Numbers, Numbers], Numbers]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "&": _and,
}
