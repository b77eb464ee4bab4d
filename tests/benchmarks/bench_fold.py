"""What live derivation costs: taking a batch, and the ledger of the running shift after it.

    python tests/benchmarks/bench_fold.py [--machines 200] [--hours 4] [--batches 200]

A warm fold holds the shift so far: a state, two counters and an order per machine, read every 2 s. Then come
batches of 10,000 and of 50,000 samples in the order of time, three tenths of them of these signals (10 Hz), the rest
process values. Printed beside it, from the same run: merely scanning the columns of a batch, and deriving the whole
shift anew. Read the ratios: seconds depend on what else the machine does.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.derive import derive
from pipelines.fold import Fold
from pipelines.running import RunningLedger
from plant.frames import RECODES, SAMPLES, Window, empty
from plant.model import (
    Break,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Role,
    Shift,
    Signal,
    Site,
    StateMapping,
    WorkCalendar,
)
from plant.states import MachineState

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
STATES = {"6": ("running", None), "9": ("down", None), "901": ("down", "jam"), "51": ("starved", None)}
DISCRETE = {"state": Role.STATE, "good": Role.GOOD, "reject": Role.REJECT}
VALUES = [f"pv{number}" for number in range(7)]
SECOND = 1_000_000
READ_EVERY = 2 * SECOND
"""Between two readings of a series in the shift so far."""
STREAM_EVERY = SECOND // 10
"""Between two readings of a series in the batches."""


def build_plant(names: Sequence[str]) -> Plant:
    states = {k: StateMapping(state=MachineState(s), reason=r) for k, (s, r) in STATES.items()}
    roles = {**DISCRETE, "order": Role.ORDER, **dict.fromkeys(VALUES, Role.PROCESS_VALUE)}
    shifts = (
        Shift(
            id="a", name="A", start=clock(6), end=clock(14), breaks=(Break(start=clock(8), end=clock(8, 15)),)
        ),
    )
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("Europe/Berlin")),
        equipment={
            m: Equipment(
                id=m,
                name=m,
                level=EquipmentLevel.WORK_UNIT,
                calendar="c",
                stale_after=timedelta(seconds=15),
                micro_stop=timedelta(minutes=2),
            )
            for m in names
        },
        signals={
            (m, s): Signal(
                id=s,
                equipment=m,
                role=role,
                states=states if role is Role.STATE else {},
                modulus=10_000 if role in (Role.GOOD, Role.REJECT) else None,
                min_cycle=timedelta(seconds=0.2),
            )
            for m in names
            for s, role in roles.items()
        },
        materials={
            "p": Material(
                id="p",
                name="p",
                ideal_cycles=tuple(IdealCycle(equipment=m, cycle=timedelta(seconds=2)) for m in names),
            )
        },
        calendars={"c": WorkCalendar(id="c", shifts=shifts)},
    )


def build_samples(names: Sequence[str], hours: float, streamed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The shift so far, and `streamed` samples after it; both in the order of time."""
    random = np.random.default_rng(1)
    per_instant = len(names) * (len(DISCRETE) + len(VALUES))
    old = np.arange(0, int(hours * 3600) * SECOND, READ_EVERY)
    new = old[-1] + READ_EVERY + np.arange(-(-streamed // per_instant)) * STREAM_EVERY
    instants = np.concatenate([old, new])
    step = np.diff(instants, append=instants[-1] + STREAM_EVERY) / SECOND
    pieces: list[pl.DataFrame] = []
    for number, name in enumerate(names):
        running = random.random(len(instants)) < step / 90  # a change every minute and a half
        codes = random.choice([6, 9, 901, 51], size=len(instants), p=[0.7, 0.1, 0.1, 0.1])
        held = np.maximum.accumulate(np.where(running, np.arange(len(instants)), 0))
        state = codes[held]
        made = (state == 6) & (random.random(len(instants)) < np.minimum(step / 2.5, 1))
        scrap = made & (random.random(len(instants)) < 0.02)
        values = {
            "state": state,
            "good": (np.cumsum(made & ~scrap) + 9_000) % 10_000,
            "reject": np.cumsum(scrap),
        }
        values |= {v: random.normal(50, 1, len(instants)) for v in VALUES}
        offset = number * 37 % SECOND
        for signal, value in values.items():
            first = 0 if signal in DISCRETE else len(old)  # the past of process values is not asked for
            times = instants[first:] + offset
            pieces.append(_frame(times, name, signal, value[first:].astype(float), None))
        orders = old[:: len(old) // 4]
        for index, at in enumerate(orders):
            pieces.append(
                _frame(np.array([at + offset]), name, "order", np.array([np.nan]), f"{name}-{index}")
            )
    rows = pl.concat(pieces).sort("time", maintain_order=True)
    cut = START + timedelta(microseconds=int(new[0]))
    return rows.filter(pl.col("time") < cut), rows.filter(pl.col("time") >= cut).head(streamed)


def _frame(
    times: np.ndarray, machine: str, signal: str, values: np.ndarray, text: str | None
) -> pl.DataFrame:
    start = int(START.timestamp()) * SECOND
    return (
        pl.DataFrame({"time": times + start, "value": values})
        .select(
            pl.col("time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            equipment=pl.lit(machine),
            signal=pl.lit(signal),
            value=pl.col("value").fill_nan(None),
            text=pl.lit(text, dtype=pl.String),
            quality=pl.lit(0, dtype=pl.UInt8),
            received=pl.col("time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        )
        .select(list(SAMPLES))
    )


def timed(job: Callable[[], object]) -> float:
    """Milliseconds by the clock."""
    begin = time.perf_counter()
    job()
    return (time.perf_counter() - begin) * 1e3


def scan(batch: pl.DataFrame) -> pl.DataFrame:
    """Touch each value of each column the fold reads."""
    return batch.select(
        pl.col("time", "received").max(),
        pl.col("value", "quality").sum(),
        pl.col("equipment", "signal", "text").str.len_bytes().sum(),
    )


def size_of(thing: object) -> int:
    """Bytes of all frames and arrays held by a thing of ours."""
    if isinstance(thing, pl.DataFrame | pl.Series):
        return int(thing.estimated_size())
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, list | tuple):
        return sum(map(size_of, thing))
    if type(thing).__module__.startswith("pipelines"):
        return sum(map(size_of, vars(thing).values()))
    return 0


def shown(took: Sequence[float]) -> str:
    return f"median {statistics.median(took):7.2f} ms, p99 {np.quantile(took, 0.99):7.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--hours", type=float, default=4)
    parser.add_argument("--batches", type=int, default=200)
    given = parser.parse_args()
    names = [f"machine-{number:03d}" for number in range(given.machines)]
    plant = build_plant(names)
    sizes = (10_000, 50_000)
    # Half of what comes is taken in small batches, the other half in large ones.
    past, stream = build_samples(names, given.hours, given.batches * sum(sizes) // 2)
    print(
        f"{given.machines} machines, {past.height:,} samples in {given.hours:g} h, {stream.height:,} to come"
    )

    fold = Fold(plant, lambda _machines, _window: pl.concat([past, stream]), START)
    fold.accept(past)
    taken = past.height
    for size in sizes:
        accepts, scans = [], []
        gc.collect()
        for _ in range(given.batches // 2):
            batch = stream.slice(taken - past.height, size)
            taken += batch.height
            scans.append(timed(lambda batch=batch: scan(batch)))
            accepts.append(timed(lambda batch=batch: fold.accept(batch)))
        ratio = statistics.median(accepts) / statistics.median(scans)
        print(f"accept {size:,}: {shown(accepts)}; {ratio:.1f} x scanning it ({shown(scans)})")

    until = fold.newest + timedelta(microseconds=1)
    window = Window(START, until)
    whole = pl.concat([past, stream])
    anew = statistics.median(timed(lambda: derive(whole, plant, window, until=until)) for _ in range(3))
    assert_frame_equal(fold.ledger(window, until=until), derive(whole, plant, window, until=until))
    print(f"the whole shift derived anew: {anew:.0f} ms")
    ledgers = [timed(lambda: fold.ledger(window, until=until)) for _ in range(5)]
    print(f"ledger of the shift from all its facts: {shown(ledgers)}")
    ticks(fold, plant, stream, until)
    print(f"the fold holds {size_of(fold) / 1e6:.0f} MB")


def ticks(fold: Fold, plant: Plant, stream: pl.DataFrame, now: datetime) -> None:
    """A second of samples and the ledger of the running shift, over and over: what a running plant does."""
    running = RunningLedger(plant, fold)
    step = timedelta(seconds=1)
    grid = [START + timedelta(minutes=5 * n) for n in range(int((now - START) / timedelta(minutes=5)) + 1)]
    second = stream.filter(pl.col("time") > stream["time"].max() - step)
    none = empty(RECODES)
    accepts, asked = [], []
    for number in range(40):
        ahead = step * (number + 1)
        batch = second.with_columns(pl.col("time", "received") + ahead)
        until = now + ahead
        accepts.append(timed(lambda batch=batch: fold.accept(batch)))
        asked.append(
            timed(
                lambda until=until: running.rows(
                    Window(START, until), fold.runs(until), none, [t for t in grid if t < until]
                )
            )
        )
    found = running.rows(Window(START, until), fold.runs(until), none, grid)
    assert_frame_equal(found, fold.ledger(Window(START, until), until=until, edges=grid))
    print(f"a tick, {second.height:,} samples a second: accept {shown(accepts)}; ledger {shown(asked[1:])}")


if __name__ == "__main__":
    main()
