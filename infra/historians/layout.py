"""How samples lie in a file that is read often: sorted, a row group of one series, so that a read skips the others.

Names and quality are dictionaries, which are next to nothing where they do not change; times are differences, which
are small and quick to read. Any reader of Parquet reads it.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from plant.frames import SAMPLES

LARGEST, SMALLEST = 100_000, 20_000
"""Rows of a group: a long series is cut so that a read of an hour skips the rest of it; short ones share a group."""


@cache
def _schema() -> pa.Schema:
    # Not when this module is loaded: it starts threads, which a process that forks must not have.
    return pl.DataFrame(schema=dict(SAMPLES)).to_arrow(compat_level=pl.CompatLevel.oldest()).schema


class SampleFile:
    """A Parquet file being written; a context manager that finishes it."""

    def __init__(self, sink: Path | BinaryIO) -> None:
        self._writer = pq.ParquetWriter(
            sink,
            _schema(),
            compression="zstd",
            compression_level=1,
            use_dictionary=["equipment", "signal", "text", "quality"],
            column_encoding={"time": "DELTA_BINARY_PACKED", "received": "DELTA_BINARY_PACKED"},
        )

    def append(self, rows: pl.DataFrame) -> None:
        """Rows (`plant.frames.SAMPLES`) sorted by (equipment, signal, time), after those already there."""
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_schema())
        for first, length in _groups(rows):
            self._writer.write_table(table.slice(first, length), row_group_size=length)

    def __enter__(self) -> "SampleFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _groups(rows: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """First row and length of each row group."""
    runs = rows.select(pl.struct("equipment", "signal").rle().struct.field("len")).to_series()
    first = held = 0
    for length in runs.to_list():
        if held and held + length > SMALLEST:
            yield first, held
            first, held = first + held, 0
        held += length
        while held > LARGEST:
            yield first, LARGEST
            first, held = first + LARGEST, held - LARGEST
    if held:
        yield first, held
