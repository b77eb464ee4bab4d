"""Durations and clock times as people write them."""

from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.parsing.values import CENTURY, clock, duration, size


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("250ms", 250_000),
        ("0.9s", 900_000),
        ("2min", 120_000_000),
        ("1h 30min", 5_400_000_000),
        ("0s", 0),
        ("7us", 7),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, microseconds: int) -> None:
    assert duration(text) == timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 m", "-5s", "5s foo", "1e3s", "٣s", "400d", "9" * 40 + "s", "1.s"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'^"'):
        duration(text)


@given(st.text(max_size=30))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (duration, clock, size):
        try:
            read(text)
        except ValueError as error:
            assert str(error)


def test_a_clock_time_has_two_digits_each() -> None:
    assert (clock("06:00"), clock("23:59:59")) == (time(6), time(23, 59, 59))
    for text in ("6:00", "24:00", "06.00", "06:00Z", "0600"):
        with pytest.raises(ValueError, match="not a time of day"):
            clock(text)


def test_a_duration_may_be_longer_where_that_makes_sense() -> None:
    assert duration("36500d", CENTURY) == timedelta(days=36_500)
    with pytest.raises(ValueError, match="longer than 100 years"):
        duration("36526d", CENTURY)
    with pytest.raises(ValueError, match="longer than a year"):
        duration("367d")


@pytest.mark.parametrize(
    ("text", "expected"), [("10MB", 10_000_000), ("1.5 TB", 1_500_000_000_000), ("1kB", 1000), ("0GB", 0)]
)
def test_a_size_is_a_number_and_a_unit(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "4", "GB", "4GiB", "-4GB", "4gb", "4GB 1MB", "٤GB"])
def test_any_other_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size(text)
