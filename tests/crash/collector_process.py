"""A collector for test_influx_kill.py: numbers every sample, spools it, and says so, until it is killed.

Arguments: the spool, the collector's name, the first number, the samples a batch, the seconds between batches.
Prints the number of the batch's last sample once the batch is on disk.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from collectors.spool import Spool
from plant.frames import GOOD, SAMPLES, TIME

START = datetime(2026, 3, 1, tzinfo=UTC)
SIGNALS = 5


def batch(first: int, rows: int) -> pl.DataFrame:
    """Samples `first` to `first + rows`: one instant for every SIGNALS of them, a millisecond apart."""
    number = pl.int_range(first, first + rows, eager=True)
    time_of = pl.lit(START).cast(TIME) + pl.duration(milliseconds=pl.col("number") // SIGNALS)
    return (
        number.alias("number")
        .to_frame()
        .select(
            time_of.alias("time"),
            pl.lit("mixer").alias("equipment"),
            pl.format("v{}", pl.col("number") % SIGNALS).alias("signal"),
            pl.col("number").cast(pl.Float64).alias("value"),
            pl.lit(None, pl.String).alias("text"),
            pl.lit(GOOD, pl.UInt8).alias("quality"),
            (time_of + timedelta(seconds=1)).alias("received"),
        )
        .select(SAMPLES.keys())
    )


if __name__ == "__main__":
    folder, name, first, rows, pause = sys.argv[1:]
    spool, number, size = Spool(Path(folder), name), int(first), int(rows)
    while True:
        spool.append(batch(number, size))
        number += size
        print(number - 1, flush=True)
        time.sleep(float(pause))
