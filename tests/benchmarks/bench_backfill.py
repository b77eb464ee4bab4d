"""A backfill with one process, a pool of two, and Dask with two local workers: wall time and how busy the workers are.

    python tests/benchmarks/bench_backfill.py [--rows 400000] [--rounds 2]

64 partitions, 8 machines on 8 days (and the time around them), each with a state, two counters and a process value; the
process value is 70 % of the rows, as in plants. Every engine reads the same files into a data folder of its own, the
stored ledgers must be equal, and the engines take turns. Busy: the seconds workers spent in tasks, of all seconds they
were there while samples were read. Four partitions are a task; a backfill hands out as many as make about a second.
Target: Dask's busy share is 0.9 of the pool's or more.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.backfill import partitions
from infra.backfill.engines import Engine, engine
from infra.backfill.run import Backfill
from infra.folder import DataFolder
from infra.plantfile import load
from infra.records.database import upgrade
from infra.records.ledger import LedgerRows
from infra.stores import open_database, open_historian
from plant.frames import SAMPLES, Window

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, MACHINES = 8, 8
DAY = 86_400_000_000
HEAD = """
schema = 1
[site]
id = "bench"
name = "Bench"
zone = "UTC"
[[source]]
id = "plc"
protocol = "opcua"
url = "opc.tcp://127.0.0.1:4840/"
"""
MACHINE = """
[[equipment]]
id = "{m}"
name = "{m}"
level = "WorkUnit"
stale_after = "5min"
"""
SIGNAL = """
[[signal]]
equipment = "{m}"
id = "{s}"
source = "plc"
address = "ns=2;s={m}.{s}"
role = "{role}"
"""
ROLES = {"state": "state", "good": "good", "reject": "reject", "heat": "process_value"}


def plant_file(folder: Path) -> Path:
    text = HEAD
    for number in range(MACHINES):
        text += MACHINE.format(m=f"m{number}")
        for signal, role in ROLES.items():
            text += SIGNAL.format(m=f"m{number}", s=signal, role=role)
            if role == "state":
                text += '[signal.states]\n1 = "running"\n2 = "down"\n'
    path = folder / "plant.toml"
    path.write_text(text)
    return path


def day_of(rng: np.random.Generator, number: int, rows: int) -> Iterator[pl.DataFrame]:
    """One machine's day: a state that changes now and then, counters that follow it, a noisy value."""
    begin = int(START.timestamp()) * 10**6
    each = {"state": rows // 10, "good": rows // 10, "reject": rows // 10, "heat": rows * 7 // 10}
    for signal, count in each.items():
        for day in range(DAYS):
            at = begin + day * DAY + np.sort(rng.choice(DAY // 1000, count, replace=False)) * 1000
            if signal == "heat":
                value = rng.normal(80, 2, count)
            elif signal == "state":
                value = (rng.random(count) < 0.004).cumsum() % 2 + 1.0
            else:
                value = ((rng.random(count) < 0.05).cumsum() + day * 10**6).astype(float)
            yield pl.DataFrame({"time": at, "value": value}).select(
                pl.col("time").cast(SAMPLES["time"]),
                equipment=pl.lit(f"m{number}"),
                signal=pl.lit(signal),
                value=pl.col("value"),
                text=pl.lit(None, pl.String),
                quality=pl.lit(0, pl.UInt8),
                received=pl.col("time").cast(SAMPLES["time"]),
            )


class Watch:
    """Notes when each stage began."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def begin(self, what: str, total: int, done: int = 0) -> None:
        self.at[what] = time.perf_counter()

    def advance(self, steps: int, rows: int) -> None: ...


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit="2GB",
        local_directory=str(folder),
        env={"POLARS_MAX_THREADS": "1"},
    ) as found:
        yield str(found.scheduler_address)


def warm(by: Engine) -> None:
    """Workers import what they need before the clock starts."""
    for future in [by.executor.submit(time.sleep, 0.5) for _ in range(2 * by.workers)]:
        future.result()
    for future in [
        by.executor.submit(partitions.days, ["a"], Window(START, START)) for _ in range(2 * by.workers)
    ]:
        future.result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=400_000, help="of a machine and day")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    partitions.MOST_MACHINES = 1
    partitions.TASK_ROWS = 4 * given.rows
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant = load(plant_file(root))
        rng = np.random.default_rng(1)
        with closing(open_historian(plant, DataFolder(root / "history").beside())) as historian:
            for number in range(MACHINES):
                historian.write(pl.concat(day_of(rng, number, given.rows)))
            historian.compact()
        window = Window(START, START + timedelta(days=DAYS))
        with cluster(root / "dask") as address:
            engines = {"one process": (1, None), "pool of 2": (2, None), "dask, 2 workers": (1, address)}
            took: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
            ledgers = []
            for turn in range(given.rounds):
                for name, (workers, at) in engines.items():
                    data = DataFolder(root / f"{name}-{turn}").beside()
                    shutil.rmtree(data.historian)
                    data.historian.symlink_to(root / "history" / "historian")
                    with (
                        engine(workers, at) as by,
                        closing(open_historian(plant, data)) as historian,
                        closing(open_database(plant, data)) as database,
                    ):
                        upgrade(database)
                        warm(by)
                        watch = Watch()
                        done = Backfill(plant, data, historian, database).run(
                            window, [], by, "bench", window.end + timedelta(hours=1), watch
                        )
                        wall = watch.at["Deriving"] - watch.at["Reading samples"]
                        took[name].append((wall, done.busy / (wall * by.workers)))
                        with database.read() as connection:
                            ledgers.append(LedgerRows(connection).touching(window))
        assert all(one.equals(ledgers[0]) for one in ledgers), "the engines differ"
        print(
            f"{done.samples:,} samples read of {done.partitions} partitions, {ledgers[0].height:,} equal ledger rows"
        )
        share = {}
        for name, runs in took.items():
            wall, share[name] = (statistics.median(side) for side in zip(*runs, strict=True))
            print(f"{name:16s} {wall:7.2f} s reading, workers busy {share[name]:.2f}")
        print(f"dask busy / pool busy: {share['dask, 2 workers'] / share['pool of 2']:.2f} (target 0.90)")


if __name__ == "__main__":
    main()
