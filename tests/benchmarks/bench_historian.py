"""How fast samples become durable in the Parquet historian and come back.

`python tests/benchmarks/bench_historian.py` prints medians and ratios measured in one run; the raw figure
writes and fsyncs the same bytes, one file a batch. `LINESIDE_BENCH_DAYS` sets how many machine-days are read
one out of (6000 = 200 machine-months).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from infra.historians.parquet import ParquetHistorian
from plant.frames import SAMPLES, TIME, Window

ROWS = 10_000
BATCHES = 100
MACHINES = 20
SIGNALS = 5
MACHINE_DAYS = int(os.environ.get("LINESIDE_BENCH_DAYS", "6000"))
PER_MACHINE_DAY = 2_880
START = datetime(2026, 1, 1, tzinfo=UTC)

READER = """
import sys, threading
from datetime import datetime, timedelta
from pathlib import Path
from infra.historians.parquet import ParquetHistorian
from plant.frames import Window

start = datetime.fromisoformat(sys.argv[2])
window = Window(start, start + timedelta(days=1))
historian = ParquetHistorian(Path(sys.argv[1]))
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
print("ready", flush=True)
reads = errors = seen = 0
while not stop.is_set():
    reads += 1
    try:
        rows = historian.read(window, ["machine-7"], ["signal-0"]).height
        errors += rows < seen
        seen = rows
    except Exception:
        errors += 1
print(reads, errors, seen)
"""


def batch(number: int) -> pl.DataFrame:
    """100 rows of each of 100 signals, as a collector of a line would hand them over."""
    chance = np.random.default_rng(number)
    row = pl.int_range(ROWS, eager=True)
    begin = START + timedelta(seconds=10 * number)
    time_of = pl.lit(begin).cast(TIME) + pl.duration(
        milliseconds=100 * (pl.col("row") // (MACHINES * SIGNALS))
    )
    return row.to_frame("row").select(
        time_of.alias("time"),
        pl.format("machine-{}", pl.col("row") % MACHINES).alias("equipment"),
        pl.format("signal-{}", pl.col("row") // MACHINES % SIGNALS).alias("signal"),
        pl.Series("value", chance.normal(100, 5, ROWS)),
        pl.lit(None, pl.String).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        (time_of + pl.duration(microseconds=1500)).alias("received"),
    )


def machine_days(day: int, machines: int) -> pl.DataFrame:
    """One day of the machines, a sample every 30 s."""
    step = 86_400_000 // PER_MACHINE_DAY
    rows = pl.int_range(machines * PER_MACHINE_DAY, eager=True).to_frame("row")
    at = pl.lit(START + timedelta(days=day)).cast(TIME) + pl.duration(
        milliseconds=step * (pl.col("row") // machines)
    )
    return rows.select(
        at.alias("time"),
        pl.format("machine-{}", pl.col("row") % machines).alias("equipment"),
        pl.lit("good").alias("signal"),
        (pl.col("row") // machines).cast(pl.Float64).alias("value"),
        pl.lit(None, pl.String).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        at.alias("received"),
    ).select(SAMPLES.keys())


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def raw_write(path: Path, data: bytes) -> None:
    with path.open("xb", buffering=0) as handle:
        handle.write(data)
        os.fsync(handle.fileno())


def bench_append(folder: Path) -> None:
    historian = ParquetHistorian(folder / "append")
    frames = [batch(n) for n in range(BATCHES)]
    ours = [timed(lambda f=f: historian.write(f)) for f in frames]  # type: ignore[misc]
    written = [p.read_bytes() for p in sorted((folder / "append").glob("2*/*.parquet"))]
    raw = [timed(lambda n=n, d=d: raw_write(folder / f"raw-{n}", d)) for n, d in enumerate(written)]  # type: ignore[misc]
    ours_ms, raw_ms = statistics.median(ours) * 1e3, statistics.median(raw) * 1e3
    size = sum(map(len, written)) / (BATCHES * ROWS)
    rate = ROWS / ours_ms * 1e3
    print(
        f"append {ROWS} rows: {rate:,.0f} rows/s durable ({ours_ms:.1f} ms, longest {max(ours) * 1e3:.0f} ms)"
    )
    print(
        f"  {ours_ms / raw_ms:.1f} x writing the same bytes with fsync ({raw_ms:.1f} ms); {size:.1f} bytes/row"
    )
    everything = Window(START, START + timedelta(days=1))
    before = timed(lambda: historian.read(everything))
    merging = timed(historian.compact)
    after = timed(lambda: historian.read(everything))
    total = BATCHES * ROWS
    print(f"read all {total:,} rows: {total / before / 1e6:.1f} M rows/s from {BATCHES} files,", end=" ")
    print(f"{total / after / 1e6:.1f} M rows/s merged; merging {total / merging / 1e6:.1f} M rows/s")


def bench_read_while_written(folder: Path) -> None:
    """Another process reads one series again and again; one that got shorter counts as an error."""
    historian = ParquetHistorian(folder / "shared")
    frames = [batch(n) for n in range(BATCHES)]
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", READER, str(folder / "shared"), START.isoformat()]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        ours = statistics.median(timed(lambda f=f: historian.write(f)) for f in frames)  # type: ignore[misc]
        reads, errors, seen = reader.communicate()[0].split()
    print(f"append while another process reads: {ROWS / ours:,.0f} rows/s durable;", end=" ")
    print(f"{reads} reads up to {seen} rows, errors {errors}")


def bench_machine_day(folder: Path) -> None:
    machines = 200
    days = max(1, MACHINE_DAYS // machines)
    historian = ParquetHistorian(folder / "days")
    for day in range(days):
        frame = machine_days(day, machines)
        half = frame.height // 2
        historian.write(frame[:half])
        historian.write(frame[half:])
    historian.compact()
    middle = START + timedelta(days=days // 2)
    window = Window(middle, middle + timedelta(days=1))
    assert historian.read(window, ["machine-77"]).height == PER_MACHINE_DAY
    one = statistics.median(timed(lambda: historian.read(window, ["machine-77"])) for _ in range(15))
    last = statistics.median(timed(lambda: historian.last(window.end)) for _ in range(5))
    print(f"one machine-day of {days * machines:,}: {one * 1e3:.0f} ms for {PER_MACHINE_DAY} rows")
    print(f"last of {machines} series, half way back: {last * 1e3:.0f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".", prefix="var-bench-") as folder:
        bench_append(Path(folder))
        bench_read_while_written(Path(folder))
        bench_machine_day(Path(folder))


if __name__ == "__main__":
    main()
