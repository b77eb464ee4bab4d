"""What the spool costs on top of the disk.

`python tests/benchmarks/bench_spool.py` prints medians and ratios measured in one run. Raw is writing and fsyncing
the same bytes, one file a batch. Batches of both kinds are written in turns, so that a busy disk slows both.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from collectors.spool import Entry, Spool
from plant.frames import SAMPLES, TIME

ROWS = 10_000
BATCHES = 100
BACKLOG = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)


def batch(number: int) -> pl.DataFrame:
    """100 rows of each of 100 signals, as a collector of a line would hand them over."""
    chance = np.random.default_rng(number)
    row = pl.int_range(ROWS, eager=True).to_frame("row")
    at = pl.lit(START + timedelta(seconds=10 * number)).cast(TIME) + pl.duration(
        milliseconds=pl.col("row") // 100 * 100
    )
    return row.select(
        at.alias("time"),
        pl.format("machine-{}", pl.col("row") % 20).alias("equipment"),
        pl.format("signal-{}", pl.col("row") // 20 % 5).alias("signal"),
        pl.Series("value", chance.normal(100, 5, ROWS)),
        pl.lit(None, pl.String).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        (at + pl.duration(microseconds=1500)).alias("received"),
    ).select(SAMPLES.keys())


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def raw_write(path: Path, data: bytes) -> None:
    with path.open("xb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())


def bench_append_and_drain(folder: Path) -> None:
    spool = Spool(folder / "spool", "bench")
    frames = [batch(n) for n in range(BATCHES)]
    ours, raw = [], []
    for number, frame in enumerate(frames):
        ours.append(timed(lambda: spool.append(frame)))  # noqa: B023 called at once
        data = spool.pending()[-1].path.read_bytes()
        raw.append(timed(lambda: raw_write(folder / f"raw-{number}", data)))  # noqa: B023 called at once
    append, write = statistics.median(ours), statistics.median(raw)
    print(
        f"append {ROWS:,} rows: {ROWS / append / 1e6:.1f} M rows/s durable ({append * 1e3:.1f} ms),", end=" "
    )
    print(
        f"{append / write:.1f} x writing the same {len(data) / 1e3:.0f} kB with fsync ({write * 1e3:.2f} ms)"
    )
    reader, heights = Spool(folder / "spool"), []

    def drain(entry: Entry) -> None:
        heights.append(reader.read(entry).height)
        reader.remove(entry)

    taken = statistics.median(timed(lambda: drain(entry)) for entry in reader.pending())  # noqa: B023 called at once
    assert sum(heights) == BATCHES * ROWS
    print(f"drain: {ROWS / taken / 1e6:.1f} M rows/s, {taken / write:.1f} x the raw writing")


def bench_backlog(folder: Path) -> None:
    own = folder / "backlog" / "bench"
    own.mkdir(parents=True)
    for number in range(BACKLOG):
        at = 1_767_225_600_000_000 + number * 1_000_000
        (own / f"{number:016d}_{at}_{at + 999_999}_{ROWS}_00000000.arrow").touch()
    spool = Spool(folder / "backlog")
    assert len(spool.pending()) == spool.waiting().batches == BACKLOG

    def median(action: Callable[[], object]) -> str:
        return f"{statistics.median(timed(action) for _ in range(9)) * 1e3:.0f} ms"

    listed = median(lambda: os.listdir(own))  # noqa: PTH208 the yardstick
    print(f"{BACKLOG:,} batches wait: listing the folder takes {listed},", end=" ")
    print(f"pending() {median(spool.pending)}, the new ones only", end=" ")
    print(f"{median(lambda: spool.pending({'bench': BACKLOG - 10}))}, waiting() {median(spool.waiting)}")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".", prefix="var-bench-") as folder:
        bench_append_and_drain(Path(folder))
        bench_backlog(Path(folder))


if __name__ == "__main__":
    main()
