"""A short run of tests/benchmarks/bench_forecast.py: the forecast beats the naive ones, and its interval holds."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from bench_forecast import ledgers, orders, queued, shifts


@pytest.mark.slow
def test_the_interval_holds_and_the_error_is_less_than_naive() -> None:
    found = list(ledgers(1.5, 1))
    finish, waiting, output = orders(found), queued(found), shifts(found)
    assert len(finish["forecast"].errors) > 150
    assert 0.65 <= finish["forecast"].coverage <= 0.95
    assert finish["forecast"].median < min(
        finish[name].median for name in ("own rate so far", "last half hour", "ideal rate")
    )
    assert 0.65 <= waiting["forecast"].coverage <= 0.97
    assert waiting["forecast"].median < 0.7 * waiting["ideal rate"].median
    assert 0.55 <= output["forecast"].coverage <= 0.98
    assert output["forecast"].median < output["last half hour"].median
