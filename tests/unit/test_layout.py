"""Merged files: what is written is read, and a row group holds one series or a few short ones."""

import io
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from infra.historians.layout import LARGEST, SMALLEST, SampleFile
from plant.frames import SAMPLES
from tests.examples import examples

START = datetime(2026, 3, 1, tzinfo=UTC)


def samples(*series: tuple[str, str, int]) -> pl.DataFrame:
    frames = [
        pl.select(
            time=(pl.lit(START) + pl.duration(seconds=pl.int_range(length))).cast(SAMPLES["time"]),
            equipment=pl.lit(machine),
            signal=pl.lit(signal),
            value=pl.when(pl.int_range(length) % 3 > 0).then(pl.int_range(length).cast(pl.Float64)),
            text=pl.when(pl.int_range(length) % 3 == 0).then(pl.lit("a")),
            quality=pl.lit(1, pl.UInt8),
            received=pl.lit(START + timedelta(days=1)).cast(SAMPLES["time"]),
        )
        for machine, signal, length in series
    ]
    return pl.concat([pl.DataFrame(schema=dict(SAMPLES)), *frames])


def written(*frames: pl.DataFrame) -> io.BytesIO:
    buffer = io.BytesIO()
    with SampleFile(buffer) as file:
        for frame in frames:
            file.append(frame)
    buffer.seek(0)
    return buffer


@examples(8)
@given(st.lists(st.sampled_from([1, 700, SMALLEST, SMALLEST + 1, 2 * LARGEST, 2 * LARGEST + 7]), max_size=6))
def test_what_is_written_is_read(lengths: list[int]) -> None:
    rows = samples(*((f"m{n // 2}", f"s{n % 2}", length) for n, length in enumerate(lengths)))
    buffer = written(rows)
    assert_frame_equal(pl.read_parquet(buffer), rows)
    held = pq.ParquetFile(buffer).metadata
    sizes = [held.row_group(n).num_rows for n in range(held.num_row_groups)]
    assert all(0 < size <= LARGEST for size in sizes)
    assert sum(sizes) == rows.height


def test_a_group_holds_one_long_series_or_several_short_ones() -> None:
    buffer = written(
        samples(("a", "p", 250_000), ("a", "q", 5000), ("a", "r", 5000), ("b", "p", 30_000)),
        samples(("c", "p", 10)),
    )
    held = pq.ParquetFile(buffer).metadata
    groups = []
    for number in range(held.num_row_groups):
        group = held.row_group(number)
        machine, signal = (group.column(column).statistics for column in (1, 2))
        groups.append((machine.min, machine.max, signal.min, signal.max, group.num_rows))
    assert groups == [
        ("a", "a", "p", "p", 100_000),
        ("a", "a", "p", "p", 100_000),
        ("a", "a", "p", "p", 50_000),
        ("a", "a", "q", "r", 10_000),
        ("b", "b", "p", "p", 30_000),
        ("c", "c", "p", "p", 10),
    ]
