"""What samples say to the comparisons the plant file makes with them: a value of many becomes one of few.

A temperature that is read ten times a second tells nothing to `temperature > 80` but when it passes 80. So of such
signals only the outcomes are kept, in one number with a digit for each comparison, and what repeats the outcomes
of the sample before can be dropped like any repeated value. The rule looks at one sample alone.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

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


class Outcomes:
    """The outcomes of the comparisons of a plant's series.

    Machines of a kind are compared alike with other numbers: what is alike is worked out at once for all of them.
    """

    def __init__(self, known: pl.DataFrame) -> None:
        """`known`: `analytics.facts.readings.SERIES`."""
        self._alike: list[tuple[Comparison, ...]] = []
        """Comparisons, with a place in `_constants` for each number."""
        self._kind, self._place = np.full(known.height, -1), np.full(known.height, -1)
        """By series: which of those it is compared by (-1: none), and its row of their constants."""
        constants: list[list[tuple[float, ...]]] = []
        places: dict[tuple[Comparison, ...], int] = {}
        tested = known.filter(pl.col("tests").is_not_null())
        for code, lines in tested.select("code", "tests").iter_rows():
            numbers: list[float] = []
            tests = tuple(_without_numbers(test, numbers) for test in tests_of(lines))
            kind = places.setdefault(tests, len(places))
            if kind == len(constants):
                self._alike.append(tests)
                constants.append([])
            self._kind[code], self._place[code] = kind, len(constants[kind])
            constants[kind].append(tuple(numbers))
        self._constants = [np.array(rows, dtype=float) for rows in constants]

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with columns code, value, text and quality: of series with tests the value is the number of their
        outcomes instead, and there is no text. Samples without a usable value stay without."""
        if not self._alike or rows.is_empty():
            return rows
        codes = rows["code"].to_numpy()
        kinds = self._kind[codes]
        place = np.flatnonzero(kinds >= 0)
        if not len(place):
            return rows
        place = place[np.argsort(kinds[place].astype(np.uint16), kind="stable")]
        some = rows.select("value", "text", "quality")[place]
        value, text = some["value"].to_numpy(), some["text"]
        worded = text.is_not_null().to_numpy()
        if worded.any():
            said = text.str.strip_chars().cast(pl.Float64, strict=False).to_numpy()
            value = np.where(worded, said, value)
        labels = np.empty(len(place))
        kinds = kinds[place]
        begins = np.flatnonzero(np.diff(kinds, prepend=-1))
        for first, end in zip(begins, [*begins[1:], len(kinds)], strict=True):
            kind = kinds[first]
            constants = self._constants[kind][self._place[codes[place[first:end]]]]
            labels[first:end] = _label(
                self._alike[kind], _Rows(value[first:end], text[first:end], worded[first:end], constants)
            )
        silent = (some["quality"].to_numpy() >= BAD) | (some["value"].is_null().to_numpy() & ~worded)
        new = pl.Series(np.where(silent, np.nan, labels), nan_to_null=True)
        found = rows.with_columns(rows["value"].scatter(place, new).alias("value"))
        if not worded.any():
            return found
        none = pl.repeat(None, len(labels), dtype=pl.String, eager=True)
        return found.with_columns(rows["text"].scatter(place, none).alias("text"))


class _Rows(NamedTuple):
    value: Numbers
    """Also that of texts that are numbers."""
    text: pl.Series
    worded: Numbers
    constants: Numbers
    """Of each row, by place."""


def _without_numbers(test: Comparison, numbers: list[float]) -> Comparison:
    """The comparison as those of other signals may be too: in the place of each number its place among `numbers`."""
    left, right = (_operand_without(side, numbers) for side in (test.left, test.right))
    return Comparison("", test.operator, left, right, text="")


def _operand_without(operand: Operand, numbers: list[float]) -> Operand:
    if isinstance(operand, Calculated):
        left, right = (_operand_without(side, numbers) for side in (operand.left, operand.right))
        return Calculated(operand.operator, left, right)
    if isinstance(operand, str | Value):
        return operand
    numbers.append(operand)
    return float(len(numbers) - 1)


def _label(tests: tuple[Comparison, ...], rows: _Rows) -> Numbers:
    label = np.zeros(len(rows.value))
    with np.errstate(all="ignore"):
        for place, test in enumerate(tests):
            label += _judged(test, rows) * float(DIGITS**place)
    return label


def _judged(test: Comparison, rows: _Rows) -> Numbers:
    words = [side for side in (test.left, test.right) if isinstance(side, str)]
    if words:
        equal = rows.worded & (rows.text == words[0]).fill_null(False).to_numpy()
        return np.where(equal == (test.operator == "=="), TRUE, FALSE)
    left, right = _number(test.left, rows), _number(test.right, rows)
    holds = _COMPARE[test.operator](left, right)
    return np.where(np.isfinite(left + right), np.where(holds, TRUE, FALSE), UNKNOWN)


def _number(operand: Operand, rows: _Rows) -> Numbers:
    if isinstance(operand, Value):
        return rows.value
    if isinstance(operand, Calculated):
        return _CALCULATE[operand.operator](_number(operand.left, rows), _number(operand.right, rows))
    assert not isinstance(operand, str)  # texts are compared, nothing is worked out of them
    return rows.constants[:, int(operand)]


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
