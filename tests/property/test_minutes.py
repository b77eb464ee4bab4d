"""Buckets of process variables are those of the plainest way to find them, however samples come."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import pipelines.minutes
from pipelines.minutes import SUMS, bucketed, merged
from plant.frames import BAD, SAMPLES
from tests.examples import examples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY = ["equipment", "signal", "time"]
row = st.tuples(
    st.integers(-500, 500),
    st.sampled_from("abx"),
    st.sampled_from("pq"),
    st.sampled_from([None, 0.5, -3.0, 7.25, 2.0**40]),
    st.sampled_from([0, 0, 1, BAD]),
)


def frame(rows: list[tuple[int, str, str, float | None, int]]) -> pl.DataFrame:
    at = [EPOCH + timedelta(seconds=second) for second, *_ in rows]
    full = [(t, m, s, v, None, q, t) for t, (_, m, s, v, q) in zip(at, rows, strict=True)]
    return pl.DataFrame(full, schema=dict(SAMPLES), orient="row").unique(KEY, maintain_order=True)


def plainly(samples: pl.DataFrame, seconds: int) -> pl.DataFrame:
    found: dict[tuple[str, str, datetime], list[float]] = {}
    for time, machine, signal, value, _, quality, _ in samples.iter_rows():
        if value is not None and quality < BAD:
            start = EPOCH + (time - EPOCH) // timedelta(seconds=seconds) * timedelta(seconds=seconds)
            found.setdefault((machine, signal, start), []).append(value)
    rows = [(m, s, t, len(v), sum(v), min(v), max(v)) for (m, s, t), v in found.items()]
    return pl.DataFrame(rows, schema=dict(SUMS), orient="row").sort(KEY)


@examples(40)
@given(
    st.lists(row, max_size=60),
    st.sampled_from([1, 60, 300]),
    st.sampled_from(["streaming", "in-memory"]),
    st.integers(1, 4),
)
def test_buckets(rows: list, seconds: int, engine: str, piece: int) -> None:
    samples = frame(rows)
    expected = plainly(samples, seconds)
    every = timedelta(seconds=seconds)
    in_order = bucketed(samples.sort(KEY).lazy(), every).collect(engine=engine)  # type: ignore[call-overload]
    assert_frame_equal(merged(in_order), expected)
    twice = pl.concat([in_order, in_order]).sort(KEY, maintain_order=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipelines.minutes, "_PIECE", piece)  # as a long table is cut
        assert_frame_equal(merged(twice), expected.with_columns(pl.col("count", "sum") * 2))
    assert_frame_equal(merged(bucketed(samples.lazy(), every).collect()), expected)
