"""Outcomes of comparisons, of many series at once, against judging each sample alone."""

import math
import operator
from collections.abc import Callable

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.facts.outcomes import Outcomes, outcome
from analytics.facts.readings import SERIES
from plant.expressions import Calculated, Comparison, Operand, Value, parse
from tests.examples import examples

SAYS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
GIVES: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def judged(test: Comparison, value: float | None, text: str | None) -> bool | None:
    """What a comparison says of one sample."""
    sides = (test.left, test.right)
    words = [side for side in sides if isinstance(side, str)]
    if words:
        return (text == words[0]) == (test.operator == "==")
    try:
        number = float(text.strip()) if text is not None else value
        assert number is not None
        left, right = (worked_out(side, number) for side in sides)
    except (ValueError, ZeroDivisionError):
        return None
    return SAYS[test.operator](left, right) if math.isfinite(left + right) else None


def worked_out(side: Operand, value: float) -> float:
    if isinstance(side, Value):
        return value
    if isinstance(side, Calculated):
        return GIVES[side.operator](worked_out(side.left, value), worked_out(side.right, value))
    return float(side)


number = st.sampled_from(["0", "1", "2.5", "-3", "10"])
comparison = st.one_of(
    st.builds("{} < x / {}".format, number, number),
    st.builds("x > {}".format, number),  # often, so that series are compared alike with other numbers
    st.builds("x {} {}".format, st.sampled_from([*SAYS]), number),
    st.builds("x {} {} {} {}".format, st.sampled_from([*GIVES]), number, st.sampled_from([*SAYS]), number),
    st.builds('x {} "{}"'.format, st.sampled_from(["==", "!="]), st.sampled_from(["AUTO", "1"])),
)
value = st.sampled_from([None, 0.0, 1.0, 2.5, -3.0, 9.0, 10.0])
text = st.sampled_from([None, None, "AUTO", "1", " 2.5 ", ""])


@examples(200)
@given(
    st.lists(st.none() | st.lists(comparison, min_size=1, max_size=3), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), value, text, st.integers(0, 2)), max_size=12),
)
def test_each_sample_is_judged_by_the_comparisons_of_its_series(
    drawn: list[list[str] | None], samples: list[tuple[int, float | None, str | None, int]]
) -> None:
    lines = [None if tests is None else "\n".join(tests) for tests in drawn]
    known = pl.DataFrame(
        {"code": range(len(lines)), "tests": lines}, schema={k: SERIES[k] for k in ("code", "tests")}
    )
    samples = [
        (code % len(lines), None if words else v, words, quality) for code, v, words, quality in samples
    ]
    kinds = {"code": pl.UInt32, "value": pl.Float64, "text": pl.String, "quality": pl.UInt8}
    found = Outcomes(known).of(pl.DataFrame(samples, schema=kinds, orient="row"))
    for (code, v, words, quality), (label, said) in zip(
        samples, found.select("value", "text").iter_rows(), strict=True
    ):
        tests = lines[code]
        if tests is None:
            assert (label, said) == (v, words)
            continue
        assert said is None
        if quality == 2 or (v is None and words is None):
            assert label is None
            continue
        assert label is not None
        each = [
            judged(test, v, words) for test in map(parse, tests.split("\n")) if isinstance(test, Comparison)
        ]
        assert [outcome(int(label), place) for place in range(len(each))] == each


def test_series_compared_alike_have_numbers_of_their_own() -> None:
    tests = [None, "x > 10\nx < 12", "x > 20\nx < 22", "x > 14\nx < 16"]
    known = pl.DataFrame({"code": range(4), "tests": tests}, schema={k: SERIES[k] for k in ("code", "tests")})
    samples = pl.DataFrame(
        {"code": [3, 1, 0, 2], "value": [15.0] * 4, "text": None, "quality": 0},
        schema={"code": pl.UInt32, "value": pl.Float64, "text": pl.String, "quality": pl.UInt8},
    )
    labels = Outcomes(known).of(samples)["value"].to_list()
    assert labels[2] == 15
    assert [[outcome(int(labels[row]), place) for place in (0, 1)] for row in (0, 1, 3)] == [
        [True, True],
        [True, False],
        [False, True],
    ]
