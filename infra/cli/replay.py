"""`lineside replay`: a recording handed to a running plant, at a chosen speed."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import Progress

from collectors.files import SampleFileError, read_samples
from collectors.spool import Spool, SpoolError, SpoolFullError
from infra.folder import DataFolder
from infra.plantfile import load
from plant.parse import PlantErrors

STEP = 0.5
"""Seconds between two batches."""


def run(path: Path, recording: list[Path], data: Path, speed: float, as_recorded: bool) -> int:
    """Put the samples into the spool of the data folder in recorded order. 0 on success."""
    console = Console(stderr=True, soft_wrap=True)
    if speed < 0:
        console.print(f"--speed {speed} is below zero: 1 is as recorded, 10 ten times as fast, 0 at once.")
        return 1
    try:
        plant = load(path)
        samples = read_samples(recording, plant, console.print).sort("time")
    except (PlantErrors, SampleFileError) as error:
        console.print(str(error), markup=False)
        return 1
    if samples.is_empty():
        console.print("The recording holds no sample of this plant: compare its signals with the plant file.")
        return 1
    folder = DataFolder(data)
    if not folder.spool.is_dir():
        console.print(f"Nothing runs on {data}: start the plant with `lineside up {path} --data {data}`.")
        return 1
    try:
        _feed(
            samples,
            Spool(folder.spool, "replay", plant.spool.max_bytes, plant.spool.max_age),
            speed,
            as_recorded,
            console,
        )
    except (SpoolFullError, SpoolError) as error:
        console.print(str(error), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; what was fed stays.")
    return 0


def _feed(samples: pl.DataFrame, spool: Spool, speed: float, as_recorded: bool, console: Console) -> None:
    first: datetime = samples["time"][0]
    begun, clock = datetime.now(UTC), time.monotonic()
    if speed == 0 and not as_recorded:
        begun -= samples["time"][-1] - first  # at once: it ends now
    fed = 0
    with Progress(console=console) as progress:
        task = progress.add_task("Replaying", total=samples.height)
        while fed < samples.height:
            reached = first + timedelta(seconds=(time.monotonic() - clock) * speed)
            upto = samples.height if speed == 0 else int(samples["time"].search_sorted(reached, side="right"))
            batch = samples[fed:upto]
            if not as_recorded:
                since = (pl.col("time") - first) / (speed or 1)
                batch = batch.with_columns(time=(begun + since).cast(samples.schema["time"]))
            if not batch.is_empty():
                spool.append(
                    batch.with_columns(received=pl.lit(datetime.now(UTC), samples.schema["received"]))
                )
            progress.advance(task, upto - fed)
            fed = upto
            if fed < samples.height:
                time.sleep(STEP)
