"""Trends counted a batch at a time."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infra.historians import trends
from infra.historians.trends import thinned
from plant.frames import SAMPLES, TREND

AT = datetime(2026, 1, 1, tzinfo=UTC)


def samples(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (AT + timedelta(seconds=i % 97), f"m{i % 3}", "good", float(i), None, i % 3, AT)
            for i in range(rows)
        ],
        schema=dict(SAMPLES),
        orient="row",
    )


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
@pytest.mark.parametrize("pending", [0, 50, 1_000_000])
def test_batches_make_the_trend_of_the_whole(
    size: int, pending: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = samples(1000).sample(fraction=1.0, shuffle=True, seed=1)
    every = timedelta(seconds=10)
    good = pl.col("value").filter(pl.col("quality") < 2)
    expected = (
        frame.filter(pl.col("quality") < 2)
        .group_by(pl.col("time").dt.truncate("10s"), "equipment", "signal")
        .agg(mean=good.mean(), min=good.min(), max=good.max(), count=pl.len().cast(pl.Int64))
        .sort("equipment", "signal", "time")
    )
    monkeypatch.setattr(trends, "_PENDING_ROWS", pending)
    found = thinned((frame[i : i + size] for i in range(0, 1000, size)), every)
    assert found.schema == dict(TREND)
    assert_frame_equal(found, expected)


def test_nothing_makes_an_empty_trend() -> None:
    assert thinned([], timedelta(seconds=1)).schema == dict(TREND)
    assert thinned([samples(0)], timedelta(seconds=1)).is_empty()
