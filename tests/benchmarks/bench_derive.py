"""Samples per second through accept -> derive -> ledger, beside an idiomatic pandas version of the same job.

    python tests/benchmarks/bench_derive.py [--rows 4000000] [--rounds 3]

One shift of every machine: a state, two counters and two process values sampled at one rate, with repeats,
stops, outages, a rollover and order changes, sorted as the historian returns it. Both sides read the same frame
and must give the same rows to the microsecond before anything is timed. The pandas side is one way people write it:
groupby.shift per series, merge_asof for attributes. It skips what this data does not contain (re-coding, breaks,
text values), which favours it. `accept` is the gate before the historian and is timed apart.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.counters import SLACK
from pipelines.accept import accept
from pipelines.derive import derive
from pipelines.fold import Fold
from plant.frames import SAMPLES, Window
from plant.model import (
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
SHIFT = timedelta(hours=8)
LENGTH = 14_400
"""Samples of a series in a shift: one every 2 s."""
STALE = timedelta(seconds=15)
MICRO = timedelta(minutes=2)
MODULUS = 10_000
STATES = {6: ("running", None), 9: ("down", None), 901: ("down", "jam"), 51: ("starved", None)}
CYCLES = {"p": timedelta(seconds=2), "q": timedelta(seconds=3)}
KEY = ["equipment", "start"]
COMPARED = [*KEY, "end", "shift", "order", "material", "state", "reason", "category", "duration"]
COUNTED = ["good", "reject", "ideal", "ideal_good", "flagged"]


def machines(count: int) -> list[str]:
    return [f"m{index:03d}" for index in range(count)]


def build_plant(names: list[str]) -> Plant:
    states = {str(k): StateMapping(state=MachineState(s), reason=r) for k, (s, r) in STATES.items()}
    kinds = [("good", Role.GOOD), ("pv1", Role.PROCESS_VALUE), ("pv2", Role.PROCESS_VALUE)]
    kinds += [("reject", Role.REJECT), ("state", Role.STATE)]
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={
            m: Equipment(
                id=m,
                name=m,
                level=EquipmentLevel.WORK_UNIT,
                calendar="c",
                stale_after=STALE,
                micro_stop=MICRO,
            )
            for m in names
        },
        signals={
            (m, s): Signal(
                id=s,
                equipment=m,
                role=role,
                states=states if role is Role.STATE else {},
                modulus=MODULUS,
                min_cycle=timedelta(seconds=1),
            )
            for m in names
            for s, role in kinds
        },
        materials={
            material: Material(
                id=material,
                name=material,
                ideal_cycles=tuple(IdealCycle(equipment=m, cycle=cycle) for m in names),
            )
            for material, cycle in CYCLES.items()
        },
        calendars={
            "c": WorkCalendar(
                id="c",
                shifts=(
                    Shift(id="a", name="A", start=clock(6), end=clock(10)),
                    Shift(id="b", name="B", start=clock(10), end=clock(14)),
                ),
            )
        },
    )


def build_samples(names: list[str]) -> pl.DataFrame:
    """Five series per machine, sorted by (equipment, signal, time)."""
    random = np.random.default_rng(1)
    length = LENGTH
    step = int(SHIFT / timedelta(microseconds=1)) // length
    frames = []
    for name in names:
        times = np.arange(length) * step + random.integers(0, step, length)
        stay = random.choice([6, 9, 901, 51], size=length, p=[0.7, 0.1, 0.1, 0.1])
        holds = random.random(length) < 300 / length
        state = pd.Series(np.where(holds, stay, np.nan)).ffill().fillna(6).to_numpy()
        made = np.where((state == 6) & (random.random(length) < step / 2e6 * 0.8), 1, 0)
        scrap = np.where(random.random(length) < 0.02, made, 0)
        kept = np.ones(length, bool)
        for begin in random.integers(0, length - length // 100, 3):
            kept[begin : begin + length // 100] = False
        values = {
            "good": (np.cumsum(made - scrap) + MODULUS - 500) % MODULUS,
            "pv1": random.normal(50, 1, length),
            "pv2": random.normal(7, 0.1, length),
            "reject": np.cumsum(scrap),
            "state": state,
        }
        for signal, value in values.items():
            time_us = np.datetime64(START.replace(tzinfo=None), "us") + times[kept].astype("timedelta64[us]")
            frames.append(
                pl.DataFrame({"time": time_us, "value": value[kept].astype(float)}).select(
                    pl.col("time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
                    equipment=pl.lit(name),
                    signal=pl.lit(signal),
                    value="value",
                    text=pl.lit(None, dtype=pl.String),
                    quality=pl.lit(0, dtype=pl.UInt8),
                    received=pl.col("time").dt.replace_time_zone("UTC"),
                )
            )
    return pl.concat(frames, rechunk=True).select(list(SAMPLES))


def build_runs(names: list[str]) -> pl.DataFrame:
    rows = []
    for index, name in enumerate(names):
        for number in range(4):
            begin = START + timedelta(hours=2 * number, minutes=index % 7)
            rows.append((name, begin, begin + timedelta(hours=2), f"{name}-{number}", "pq"[number % 2]))
    schema = ["equipment", "start", "end", "order", "material"]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("start", "end").cast(pl.Datetime("us", "UTC"))
    )


def pandas_ledger(frame: pd.DataFrame, runs: pd.DataFrame, names: list[str], window: Window) -> pd.DataFrame:
    """The same job as people write it with pandas."""
    first, last = pd.Timestamp(window.start), pd.Timestamp(window.end)
    state = frame[frame["signal"] == "state"][["equipment", "time", "value"]].copy()
    state["next"] = state.groupby("equipment")["time"].shift(-1)
    state["next"] = state["next"].fillna(last)
    state["held"] = state[["next"]].assign(stale=state["time"] + STALE).min(axis=1)
    known = state[["equipment", "time", "value"]]
    lapsed = state[state["held"] < state["next"]][["equipment", "held"]].rename(columns={"held": "time"})
    marks = pd.concat([known, lapsed.assign(value=-1)]).sort_values(["equipment", "time"])
    changed = marks["value"] != marks.groupby("equipment")["value"].shift()
    spans = marks[changed].copy()
    spans["state"] = spans["value"].map(lambda v: STATES.get(int(v), ("unknown", None))[0])
    spans["reason"] = spans["value"].map(lambda v: STATES.get(int(v), ("unknown", None))[1])
    new_run = spans["state"] != spans.groupby("equipment")["state"].shift()
    spans["run"] = new_run.cumsum()
    spans["until"] = spans.groupby("equipment")["time"].shift(-1).fillna(last)
    spans["length"] = spans.groupby("run")["until"].transform("max") - spans.groupby("run")["time"].transform(
        "min"
    )
    shifts = [first, first + SHIFT / 2]
    cuts = pd.concat(
        [
            spans[["equipment", "time"]],
            runs[["equipment", "start"]].rename(columns={"start": "time"}),
            runs[["equipment", "end"]].rename(columns={"end": "time"}),
            pd.DataFrame([(n, t) for n in names for t in shifts], columns=["equipment", "time"]),
        ]
    )
    cuts = cuts[(cuts["time"] >= first) & (cuts["time"] < last)].drop_duplicates()
    rows = cuts.rename(columns={"time": "start"}).sort_values("start")
    rows = pd.merge_asof(
        rows,
        spans[["equipment", "time", "state", "reason", "length"]].sort_values("time"),
        left_on="start",
        right_on="time",
        by="equipment",
    ).drop(columns="time")
    held = runs.rename(columns={"start": "begun", "end": "done"}).sort_values("begun")
    rows = pd.merge_asof(rows, held, left_on="start", right_on="begun", by="equipment")
    rows.loc[~(rows["done"] > rows["start"]), ["order", "material"]] = None
    rows["shift"] = np.where(rows["start"] < first + SHIFT / 2, "a", "b")
    rows = rows.sort_values(["equipment", "start"]).reset_index(drop=True)
    rows["end"] = rows.groupby("equipment")["start"].shift(-1).fillna(last)
    rows["duration"] = ((rows["end"] - rows["start"]) / pd.Timedelta(microseconds=1)).astype("int64")
    rows["state"] = rows["state"].fillna("unknown")
    rows["category"] = rows["state"].replace("down", "unplanned_downtime")
    rows.loc[(rows["state"] == "down") & (rows["length"] < MICRO), "category"] = "micro_stop"
    counts = frame[frame["signal"].isin(["good", "reject"])][["equipment", "signal", "time", "value"]].copy()
    series = counts.groupby(["equipment", "signal"])
    counts["d"] = counts["value"] - series["value"].shift()
    counts["cap"] = SLACK + (counts["time"] - series["time"].shift()) // pd.Timedelta(seconds=1)
    counts = counts[counts["d"].notna() & (counts["d"] != 0)]
    around = counts["d"] + MODULUS
    rose = (counts["d"] > 0) & (counts["d"] <= counts["cap"])
    rolled = (counts["d"] < 0) & (around <= counts["cap"])
    fell = (counts["d"] < 0) & ~rolled & (counts["value"] <= counts["cap"])
    counts["quantity"] = np.select([rose, rolled, fell], [counts["d"], around, counts["value"]], 0)
    counts["flagged"] = (~rose).astype("int64")
    before = counts.assign(at=counts["time"] - pd.Timedelta(microseconds=1)).sort_values("at")
    spans = spans.sort_values("time")
    before = pd.merge_asof(
        before,
        spans[["equipment", "time", "state"]].rename(columns={"time": "t"}),
        left_on="at",
        right_on="t",
        by="equipment",
    )
    unseen = before["state"].isna() | (before["state"] == "unknown")
    before["start"] = before["at"].where(unseen, before["time"])
    counted = pd.merge_asof(
        before.sort_values("start"),
        rows[["equipment", "start"]].assign(piece=rows["start"]).sort_values("start"),
        on="start",
        by="equipment",
    )
    for kind in ("good", "reject"):
        counted[kind] = counted["quantity"].where(counted["signal"] == kind, 0)
    sums = counted.groupby(["equipment", "piece"])[["good", "reject", "flagged"]].sum().reset_index()
    rows = rows.merge(sums, left_on=KEY, right_on=["equipment", "piece"], how="left")
    rows[["good", "reject", "flagged"]] = rows[["good", "reject", "flagged"]].fillna(0).astype("int64")
    cycle = rows["material"].map({k: v // timedelta(microseconds=1) for k, v in CYCLES.items()}).fillna(0)
    rows["ideal"] = ((rows["good"] + rows["reject"]) * cycle).astype("int64")
    rows["ideal_good"] = (rows["good"] * cycle).astype("int64")
    return rows


def same(ours: pl.DataFrame, theirs: pd.DataFrame) -> None:
    """Raise unless both have the same rows."""
    theirs = theirs.sort_values(KEY).reset_index(drop=True)
    assert ours.height == len(theirs), (ours.height, len(theirs))
    for column in [*COMPARED, *COUNTED]:
        left = ours[column].to_list()
        right = theirs[column].astype(object).where(theirs[column].notna(), None).tolist()
        assert left == right, (column, next(p for p in zip(left, right, strict=True) if p[0] != p[1]))


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of processor time (all threads); the latter is steadier on a busy machine."""
    gc.collect()
    begin, busy = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - begin, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    names = machines(max(given.rows // (5 * LENGTH), 1))
    plant, runs = build_plant(names), build_runs(names)
    samples = build_samples(names)
    window = Window(START, START + SHIFT)
    known = list(plant.signals)
    frame, runs_frame = samples.to_pandas(), runs.to_pandas()
    for column in ("time", "received"):
        frame[column] = frame[column].astype("datetime64[us, UTC]")
    print(f"{samples.height:,} samples of {len(names)} machines, {len(known)} signals")

    ours = derive(samples, plant, window, runs=runs)
    same(ours, pandas_ledger(frame, runs_frame, names, window))
    print(
        f"same {ours.height:,} ledger rows, {ours['good'].sum():,} good parts, {ours['flagged'].sum()} flagged"
    )

    now = window.end
    jobs: dict[str, Callable[[], object]] = {
        "accept -> derive -> ledger": lambda: derive(
            accept(samples, known, now).samples, plant, window, runs=runs
        ),
        "derive -> ledger": lambda: derive(samples, plant, window, runs=runs),
        "pandas, derive -> ledger": lambda: pandas_ledger(frame, runs_frame, names, window),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(given.rounds):  # interleaved: load from elsewhere hits all alike
        for name, job in jobs.items():
            took[name].append(timed(job))
    wall, cpu = ({n: statistics.median(t[side] for t in took[n]) for n in took} for side in (0, 1))
    for name in jobs:
        rate = samples.height / wall[name] / 1e6
        print(f"{name:28s} {wall[name]:8.3f} s  {cpu[name]:8.3f} CPU s  {rate:7.2f} M samples/s")
    slow, fast = "pandas, derive -> ledger", "derive -> ledger"
    print(
        f"pandas / derive: {wall[slow] / wall[fast]:.1f} x the time, {cpu[slow] / cpu[fast]:.1f} x the CPU time"
    )
    live(samples, plant, runs, window, names)


def live(samples: pl.DataFrame, plant: Plant, runs: pl.DataFrame, window: Window, names: list[str]) -> None:
    """The last minute of the data in batches of a second into a warm fold, and a ledger of the shift after each."""
    cut = samples["time"].max() - timedelta(minutes=1)
    fold = Fold(plant, lambda _machines, _window: samples, window.start)
    fold.accept(samples.filter(pl.col("time") < cut))
    taken, derived, size = [], [], []
    for second in range(60):
        begin = cut + timedelta(seconds=second)
        batch = samples.filter(pl.col("time").is_between(begin, begin + timedelta(seconds=1), closed="left"))
        size.append(batch.height)
        taken.append(timed(lambda batch=batch: fold.accept(batch))[0])
        derived.append(timed(lambda: fold.ledger(window, runs=runs))[0])
    print(
        f"live, {statistics.median(size):.0f} samples a batch: accept {statistics.median(taken) * 1e3:.1f} ms, "
        f"ledger of the shift {statistics.median(derived) * 1e3:.1f} ms (medians of {len(names)} machines)"
    )


if __name__ == "__main__":
    main()
