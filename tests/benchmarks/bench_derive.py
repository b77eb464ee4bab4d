"""The whole offline derivation, beside what people use, on the same Parquet file.

    python tests/benchmarks/bench_derive.py [--rows 20000000] [--rounds 3] [--only ours,scan] [--keep FOLDER]

Samples in the layout of the historian's merged files (sorted, a row group holds one series) become state intervals,
counts, a ledger cut at shifts and orders with micro-stops told by the whole length of a stop, KPIs by machine, shift
and order, a downtime Pareto, and process variables by the minute. Each engine runs in fresh processes that take
turns; its tables must be those of the others. *scan* merely decodes and sums the columns the others need.

pandas and idiomatic DuckDB are written as people write them (groupby.shift, windows by series); tuned DuckDB uses
the order of the file (windows without partition, which stream) to keep only changes, as `pipelines.thin` does. They
skip what this data does not contain: bad quality, text, breaks, re-coding. Printed are medians of wall and CPU time
and the most memory of its own (not of the file cache) an engine held.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow.parquet as pq
from polars.testing import assert_frame_equal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.facts.counters import SLACK
from analytics.figures.losses import pareto
from analytics.figures.summary import summarise
from infra.historians.layout import SampleFile
from pipelines.condense import condensed, minutes, thinned
from pipelines.derive import derive
from plant.frames import ORDER_RUNS, SAMPLES, TIME, Window
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
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MACHINES = [f"machine-{index:02d}" for index in range(50)]
SECOND = 1_000_000
PER_SECOND = 10
"""Samples of a machine in a second: one of each of three discrete signals, 3.5 of each of two process variables."""
STALE = timedelta(minutes=10)
MICRO = timedelta(minutes=2)
MODULUS = 10_000
STATES = {6: ("running", None), 9: ("down", None), 901: ("down", "jam"), 51: ("starved", None)}
CYCLES = {"p": timedelta(seconds=4), "q": timedelta(seconds=5)}
GROUP = ["equipment", "shift", "shift_start", "order"]
CATEGORIES = ["running", "unplanned_downtime", "micro_stop", "starved", "unknown"]
PARTS = ["good", "reject", "ideal", "ideal_good"]


def build_plant() -> Plant:
    states = {str(k): StateMapping(state=MachineState(s), reason=r) for k, (s, r) in STATES.items()}
    roles = {"good": Role.GOOD, "pv1": Role.PROCESS_VALUE, "pv2": Role.PROCESS_VALUE}
    roles |= {"reject": Role.REJECT, "state": Role.STATE}
    shifts = [("early", 6, 14), ("late", 14, 22), ("night", 22, 6)]
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
            for m in MACHINES
        },
        signals={
            (m, s): Signal(
                id=s,
                equipment=m,
                role=role,
                states=states if role is Role.STATE else {},
                modulus=MODULUS if role in (Role.GOOD, Role.REJECT) else None,
                min_cycle=timedelta(seconds=1),
            )
            for m in MACHINES
            for s, role in roles.items()
        },
        materials={
            material: Material(
                id=material,
                name=material,
                ideal_cycles=tuple(IdealCycle(equipment=m, cycle=cycle) for m in MACHINES),
            )
            for material, cycle in CYCLES.items()
        },
        calendars={
            "c": WorkCalendar(
                id="c",
                shifts=tuple(Shift(id=i, name=i, start=clock(a), end=clock(b)) for i, a, b in shifts),
            )
        },
    )


def window_of(rows: int) -> Window:
    return Window(START, START + timedelta(seconds=rows // (PER_SECOND * len(MACHINES))))


def build_runs(window: Window) -> pl.DataFrame:
    """Orders of three hours, one after the other; each machine begins its first some minutes late."""
    rows = []
    for index, machine in enumerate(MACHINES):
        begin, number = window.start + timedelta(minutes=index % 7), 0
        while begin < window.end:
            end = begin + timedelta(hours=3)
            rows.append((machine, begin, end, f"{machine}-{number}", "pq"[number % 2]))
            begin, number = end, number + 1
    return pl.DataFrame(rows, schema=dict(ORDER_RUNS), orient="row")


def write_samples(path: Path, rows: int) -> None:
    """Five series per machine, sorted by (equipment, signal, time), with repeats, stops, outages and rollovers."""
    seconds = rows // (PER_SECOND * len(MACHINES))
    begin = (START - EPOCH) // timedelta(microseconds=1)
    with SampleFile(path) as file:
        for number, machine in enumerate(MACHINES):
            random = np.random.default_rng(number)
            for signal, at, value in series_of(random, seconds):
                table = pl.DataFrame({"time": begin + at, "value": value}).select(
                    pl.col("time").cast(TIME),
                    equipment=pl.lit(machine),
                    signal=pl.lit(signal),
                    value="value",
                    text=pl.lit(None, pl.String),
                    quality=pl.lit(0, pl.UInt8),
                    received=(pl.col("time") + 50_000).cast(TIME),
                )
                file.append(table.select(list(SAMPLES)))


def series_of(random: np.random.Generator, seconds: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """signal, microseconds since the start, values."""
    times = np.arange(seconds) * SECOND + random.integers(0, SECOND, seconds)
    changes = random.random(seconds) < 1 / 240
    held = np.maximum.accumulate(np.where(changes, np.arange(seconds), 0))
    state = random.choice([6, 9, 901, 51], size=seconds, p=[0.7, 0.1, 0.1, 0.1])[held]
    made = (state == 6) & (random.random(seconds) < 1 / 6)
    scrap = made & (random.random(seconds) < 0.02)
    outages = [
        (begin, begin + length)
        for begin, length in zip(
            random.integers(0, seconds, 1 + seconds // 20_000) * SECOND,
            random.integers(30 * SECOND, 1500 * SECOND, 1 + seconds // 20_000),
            strict=True,
        )
    ]
    fine = np.sort(random.integers(0, seconds * SECOND, int(3.5 * seconds)))
    fine = fine[np.append(np.diff(fine) > 0, True)]

    def seen(at: np.ndarray) -> np.ndarray:
        there = np.ones(len(at), bool)
        for begin, end in outages:
            there[np.searchsorted(at, begin) : np.searchsorted(at, end)] = False
        return there

    coarse, variables = seen(times), seen(fine)
    found = [
        ("good", times, (np.cumsum(made & ~scrap) + MODULUS - 500) % MODULUS, coarse),
        ("pv1", fine, np.round(random.normal(50, 1, len(fine)), 2), variables),
        ("pv2", fine, np.round(random.normal(7, 0.1, len(fine)), 3), variables),
        ("reject", times, np.cumsum(scrap) % MODULUS, coarse),
        ("state", times, state, coarse),
    ]
    return [(signal, at[there], value[there].astype(float)) for signal, at, value, there in found]


# The engines: each returns the tables `figures`, `pareto` and `minutes`, or nothing (scan).

Tables = dict[str, pl.DataFrame]


def scan(path: Path, _window: Window, _scratch: Path) -> Tables:
    found = pl.scan_parquet(path).select(
        pl.col("time").to_physical().sum(),
        pl.col("value").sum(),
        pl.col("equipment", "signal").str.len_bytes().cast(pl.Int64).sum(),
        pl.col("quality").cast(pl.Int64).sum(),
    )
    found.collect(engine="streaming")
    return {}


def ours(path: Path, window: Window, scratch: Path) -> Tables:
    plant, samples = build_plant(), pl.scan_parquet(path).drop("received")  # sorted: nothing is there twice
    condensed(samples, plant).sink_parquet(scratch / "condensed.parquet", compression="lz4")
    found = pl.scan_parquet(scratch / "condensed.parquet")
    kept = thinned(found).with_columns(received="time")
    ledger = derive(kept, plant, window, runs=build_runs(window), until=window.end)
    return {
        "figures": summarise(ledger, GROUP, plant).select(
            *GROUP, *CATEGORIES, *PARTS, *("availability", "performance", "quality", "oee")
        ),
        "pareto": pareto(ledger).select("reason", "duration", "count"),
        "minutes": minutes(found),
    }


def pandas(path: Path, window: Window, _scratch: Path) -> Tables:
    import pandas as pd

    frame = pd.read_parquet(path, columns=["time", "equipment", "signal", "value"])
    runs = build_runs(window).to_pandas()
    first, last = pd.Timestamp(window.start), pd.Timestamp(window.end)
    variables = frame[frame["signal"].isin(["pv1", "pv2"])]
    by_minute = variables.groupby(["equipment", "signal", variables["time"].dt.floor("min")])["value"]
    minute_sums = by_minute.agg(["count", "sum", "min", "max"]).reset_index()
    state = frame[frame["signal"] == "state"][["equipment", "time", "value"]].copy()
    state["next"] = state.groupby("equipment")["time"].shift(-1)
    state["next"] = state["next"].fillna(last)
    state["held"] = state[["next"]].assign(stale=state["time"] + STALE).min(axis=1)
    lapsed = state[state["held"] < state["next"]][["equipment", "held"]].rename(columns={"held": "time"})
    marks = pd.concat([state[["equipment", "time", "value"]], lapsed.assign(value=-1)])
    marks = marks.sort_values(["equipment", "time"])
    spans = marks[marks["value"] != marks.groupby("equipment")["value"].shift()].copy()
    spans["state"] = spans["value"].map(lambda v: STATES.get(int(v), ("unknown", None))[0])
    spans["reason"] = spans["value"].map(lambda v: STATES.get(int(v), ("unknown", None))[1])
    spans["run"] = (spans["state"] != spans.groupby("equipment")["state"].shift()).cumsum()
    spans["until"] = spans.groupby("equipment")["time"].shift(-1).fillna(last)
    by_run = spans.groupby(["equipment", "run"])
    spans["stop"] = by_run["time"].transform("min")
    spans["length"] = by_run["until"].transform("max") - spans["stop"]
    hours = pd.date_range(first, last, freq="8h", inclusive="left")
    shifts = pd.DataFrame({"shift_start": hours})
    shifts["shift"] = shifts["shift_start"].dt.hour.map({6: "early", 14: "late", 22: "night"})
    cuts = pd.concat(
        [
            spans[["equipment", "time"]],
            runs[["equipment", "start"]].rename(columns={"start": "time"}),
            runs[["equipment", "end"]].rename(columns={"end": "time"}),
            shifts.rename(columns={"shift_start": "time"})[["time"]].merge(
                pd.DataFrame({"equipment": MACHINES}), how="cross"
            ),
        ]
    )
    cuts["time"] = cuts["time"].astype(frame["time"].dtype)
    cuts = cuts[(cuts["time"] >= first) & (cuts["time"] < last)].drop_duplicates()
    rows = cuts.rename(columns={"time": "start"}).sort_values("start")
    held = spans[["equipment", "time", "state", "reason", "length", "stop"]].sort_values("time")
    rows = pd.merge_asof(rows, held, left_on="start", right_on="time", by="equipment").drop(columns="time")
    orders = runs.rename(columns={"start": "begun", "end": "done"}).sort_values("begun")
    rows = pd.merge_asof(rows, orders, left_on="start", right_on="begun", by="equipment")
    rows.loc[~(rows["done"] > rows["start"]), ["order", "material"]] = None
    rows = pd.merge_asof(
        rows, shifts.astype({"shift_start": frame["time"].dtype}), left_on="start", right_on="shift_start"
    )
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
    before = counts.assign(at=counts["time"] - pd.Timedelta(microseconds=1)).sort_values("at")
    before = pd.merge_asof(
        before,
        held[["equipment", "time", "state"]].rename(columns={"time": "t"}),
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
    sums = counted.groupby(["equipment", "piece"])[["good", "reject"]].sum().reset_index()
    rows = rows.merge(sums, left_on=["equipment", "start"], right_on=["equipment", "piece"], how="left")
    rows[["good", "reject"]] = rows[["good", "reject"]].fillna(0).astype("int64")
    cycle = rows["material"].map({k: v // timedelta(microseconds=1) for k, v in CYCLES.items()}).fillna(0)
    rows["ideal"] = ((rows["good"] + rows["reject"]) * cycle).astype("int64")
    rows["ideal_good"] = (rows["good"] * cycle).astype("int64")
    for category in CATEGORIES:
        rows[category] = rows["duration"].where(rows["category"] == category, 0)
    known = rows["category"] != "unknown"
    rows["known_ideal"], rows["known_good"] = (
        rows["ideal"].where(known, 0),
        rows["ideal_good"].where(known, 0),
    )
    summed = [*CATEGORIES, *PARTS, "known_ideal", "known_good"]
    figures = rows.groupby(GROUP, dropna=False)[summed].sum().reset_index()
    up = figures["running"] + figures["micro_stop"]
    busy = up + figures["unplanned_downtime"] + figures["starved"]
    figures["availability"] = up / busy
    figures["performance"] = figures["known_ideal"] / up
    figures["quality"] = figures["known_good"] / figures["known_ideal"]
    figures["oee"] = figures["known_good"] / busy
    down = rows[rows["category"] == "unplanned_downtime"]
    stops = down.drop_duplicates(["equipment", "stop", "reason"]).groupby("reason", dropna=False).size()
    lost = down.groupby("reason", dropna=False)["duration"].sum().reset_index()
    lost["count"] = lost["reason"].map(stops)
    return {
        "figures": pl.from_pandas(figures.astype({"order": object})).drop("known_ideal", "known_good"),
        "pareto": pl.from_pandas(lost.astype({"reason": object})),
        "minutes": pl.from_pandas(minute_sums),
    }


IDIOMATIC = """
CREATE TEMP TABLE seen AS
    SELECT equipment, time, value, previous, before, following FROM (
        SELECT equipment, time, value,
            lag(value) OVER series AS previous, lag(time) OVER series AS before, lead(time) OVER series AS following
        FROM samples WHERE signal = 'state' WINDOW series AS (PARTITION BY equipment ORDER BY time))
    WHERE previous IS NULL OR value <> previous OR time - before > $stale OR following IS NULL;
CREATE TEMP TABLE counted AS
    SELECT * FROM (
        SELECT equipment, signal, time, value,
            lag(value) OVER series AS previous, lag(time) OVER series AS before
        FROM samples WHERE signal IN ('good', 'reject')
        WINDOW series AS (PARTITION BY equipment, signal ORDER BY time))
    WHERE value <> previous;
CREATE TEMP TABLE minutes AS
    SELECT equipment, signal, date_trunc('minute', time) AS time,
        count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max
    FROM samples WHERE signal IN ('pv1', 'pv2') GROUP BY ALL;
"""
TUNED = """
CREATE TEMP TABLE kept AS
    SELECT * EXCLUDE (next_equipment, next_signal),
        next_equipment IS NULL OR next_equipment <> equipment OR next_signal <> signal AS is_last
    FROM (
        SELECT equipment, signal, time, value,
            lag(equipment) OVER () AS last_equipment, lag(signal) OVER () AS last_signal,
            lag(value) OVER () AS previous, lag(time) OVER () AS before,
            lead(equipment) OVER () AS next_equipment, lead(signal) OVER () AS next_signal
        FROM samples WHERE signal IN ('good', 'reject', 'state'))
    WHERE value <> previous OR last_equipment IS NULL OR last_equipment <> equipment OR last_signal <> signal
        OR time - before > $stale OR is_last;
CREATE TEMP TABLE seen AS
    SELECT equipment, time, value, if(same, previous, NULL) AS previous, if(same, before, NULL) AS before,
        if(is_last, NULL, time) AS following
    FROM (SELECT *, last_equipment = equipment AND last_signal = signal AS same FROM kept WHERE signal = 'state');
CREATE TEMP TABLE counted AS
    SELECT equipment, signal, time, value, previous, before FROM kept
    WHERE signal <> 'state' AND last_equipment = equipment AND last_signal = signal AND value <> previous;
CREATE TEMP TABLE minutes AS
    SELECT equipment, signal, make_timestamp(minute * 60000000) AS time,
        count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max
    FROM (SELECT equipment, signal, epoch_us(time) // 60000000 AS minute, value
        FROM samples WHERE signal IN ('pv1', 'pv2')) GROUP BY ALL;
"""
LEDGER_SQL = """
CREATE TEMP TABLE marks AS
    SELECT equipment, time, value FROM seen
    UNION ALL SELECT equipment, before + $stale, -1 FROM seen WHERE time - before > $stale
    UNION ALL SELECT equipment, time + $stale, -1 FROM seen WHERE following IS NULL AND time + $stale < $last;
CREATE TEMP TABLE spans AS
    SELECT equipment, time AS start, lead(time, 1, $last) OVER machine AS until, state, reason FROM (
        SELECT *, lag(value) OVER (PARTITION BY equipment ORDER BY time) AS previous FROM marks)
    LEFT JOIN states USING (value)
    WHERE previous IS NULL OR value <> previous
    WINDOW machine AS (PARTITION BY equipment ORDER BY time);
CREATE TEMP TABLE held AS
    SELECT * EXCLUDE (run), min(start) OVER run AS stop, max(until) OVER run - min(start) OVER run AS length
    FROM (
        SELECT *, sum(changed::INT) OVER (PARTITION BY equipment ORDER BY start) AS run FROM (
            SELECT *, coalesce(state <> lag(state) OVER (PARTITION BY equipment ORDER BY start), true) AS changed
            FROM (SELECT * REPLACE (coalesce(state, 'unknown') AS state) FROM spans)))
    WINDOW run AS (PARTITION BY equipment, run);
CREATE TEMP TABLE pieces AS
    SELECT cuts.equipment, cuts.start, lead(cuts.start, 1, $last) OVER machine AS until,
        shifts.shift, shifts.shift_start, coalesce(held.state, 'unknown') AS state, held.reason, held.stop,
        if(runs.done > cuts.start, runs."order", NULL) AS "order",
        if(runs.done > cuts.start, runs.cycle, NULL) AS cycle,
        CASE WHEN held.state = 'down' AND held.length < $micro THEN 'micro_stop'
            WHEN held.state = 'down' THEN 'unplanned_downtime' ELSE coalesce(held.state, 'unknown') END AS category
    FROM (
        SELECT DISTINCT equipment, start FROM (
            SELECT equipment, start FROM held UNION ALL SELECT equipment, begun FROM runs
            UNION ALL SELECT equipment, done FROM runs
            UNION ALL SELECT equipment, shift_start FROM shifts, machines)
        WHERE start >= $first AND start < $last) AS cuts
    ASOF LEFT JOIN held ON cuts.equipment = held.equipment AND cuts.start >= held.start
    ASOF LEFT JOIN runs ON cuts.equipment = runs.equipment AND cuts.start >= runs.begun
    ASOF LEFT JOIN shifts ON cuts.start >= shifts.shift_start
    WINDOW machine AS (PARTITION BY cuts.equipment ORDER BY cuts.start);
CREATE TEMP TABLE made AS
    WITH judged AS (
        SELECT *, value - previous AS d, $slack + (epoch_us(time) - epoch_us(before)) // 1000000 AS cap
        FROM counted),
    booked AS (
        SELECT judged.equipment, signal, time - INTERVAL 1 MICROSECOND AS earlier, time,
            CASE WHEN d > 0 THEN if(d <= cap, d, 0) WHEN d + $modulus <= cap THEN d + $modulus
                WHEN value <= cap THEN value ELSE 0 END AS quantity
        FROM judged)
    SELECT booked.equipment, signal, quantity,
        if(coalesce(held.state, 'unknown') = 'unknown', earlier, time) AS start
    FROM booked ASOF LEFT JOIN held ON booked.equipment = held.equipment AND booked.earlier >= held.start;
CREATE TEMP TABLE ledger AS
    SELECT pieces.*, epoch_us(until) - epoch_us(start) AS duration, coalesce(good, 0) AS good, coalesce(reject, 0) AS reject,
        coalesce((good + reject) * cycle, 0) AS ideal, coalesce(good * cycle, 0) AS ideal_good
    FROM pieces LEFT JOIN (
        SELECT made.equipment, pieces.start,
            sum(if(signal = 'good', quantity, 0)) AS good, sum(if(signal = 'reject', quantity, 0)) AS reject
        FROM made ASOF JOIN pieces ON made.equipment = pieces.equipment AND made.start >= pieces.start GROUP BY ALL)
        USING (equipment, start);
"""
FIGURES_SQL = """
SELECT * EXCLUDE (known_ideal, known_good), up / busy AS availability, known_ideal / nullif(up, 0) AS performance,
    known_good / nullif(known_ideal, 0) AS quality, known_good / nullif(busy, 0) AS oee
FROM (SELECT *, running + micro_stop AS up, running + micro_stop + unplanned_downtime + starved AS busy FROM (
    SELECT equipment, shift, shift_start, "order",
        sum(if(category = 'running', duration, 0)) AS running,
        sum(if(category = 'unplanned_downtime', duration, 0)) AS unplanned_downtime,
        sum(if(category = 'micro_stop', duration, 0)) AS micro_stop,
        sum(if(category = 'starved', duration, 0)) AS starved,
        sum(if(category = 'unknown', duration, 0)) AS unknown,
        sum(good) AS good, sum(reject) AS reject, sum(ideal) AS ideal, sum(ideal_good) AS ideal_good,
        sum(if(category <> 'unknown', ideal, 0)) AS known_ideal,
        sum(if(category <> 'unknown', ideal_good, 0)) AS known_good
    FROM ledger GROUP BY ALL))
"""
PARETO_SQL = """
SELECT reason, sum(duration) AS duration, count(DISTINCT (equipment, stop)) AS count
FROM ledger WHERE category = 'unplanned_downtime' GROUP BY ALL
"""


def duckdb_with(stage: str, path: Path, window: Window, scratch: Path) -> Tables:
    import duckdb

    held = duckdb.connect(config={"threads": os.cpu_count()})
    held.execute(f"SET temp_directory = '{scratch}'")
    # Zones are an extension that is not always there; all times are UTC.
    held.execute(
        f"CREATE VIEW samples AS SELECT * REPLACE (time::TIMESTAMP AS time) FROM read_parquet('{path}')"
    )
    hours = [
        window.start + timedelta(hours=8 * n)
        for n in range(-(-(window.end - window.start) // timedelta(hours=8)))
    ]
    named = {6: "early", 14: "late", 22: "night"}
    tables = {
        "runs": build_runs(window).select(
            *("equipment", "order"),
            begun="start",
            done="end",
            cycle=pl.col("material").replace_strict(
                {k: v // timedelta(microseconds=1) for k, v in CYCLES.items()}, return_dtype=pl.Int64
            ),
        ),
        "shifts": pl.DataFrame({"shift_start": hours, "shift": [named[h.hour] for h in hours]}),
        "machines": pl.DataFrame({"equipment": MACHINES}),
        "states": pl.DataFrame(
            [(float(value), state, reason) for value, (state, reason) in STATES.items()],
            schema=["value", "state", "reason"],
            orient="row",
        ),
    }
    for name, table in tables.items():
        held.register(
            f"given_{name}", table.with_columns(cs.datetime().dt.replace_time_zone(None)).to_arrow()
        )
        held.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM given_{name}")
    settings = {
        "$stale": f"INTERVAL '{STALE.total_seconds():.0f} seconds'",
        "$micro": f"INTERVAL '{MICRO.total_seconds():.0f} seconds'",
        "$first": f"TIMESTAMP '{window.start:%Y-%m-%d %H:%M:%S}'",
        "$last": f"TIMESTAMP '{window.end:%Y-%m-%d %H:%M:%S}'",
        "$slack": str(SLACK),
        "$modulus": str(MODULUS),
    }
    script = stage + LEDGER_SQL
    for name, value in settings.items():
        script = script.replace(name, value)
    held.execute(script)
    asked = {"figures": FIGURES_SQL, "pareto": PARETO_SQL, "minutes": "SELECT * FROM minutes"}
    found = {name: pl.DataFrame(held.sql(query).to_arrow_table()) for name, query in asked.items()}
    return {name: t.with_columns(cs.datetime().dt.replace_time_zone("UTC")) for name, t in found.items()}


def duckdb_idiomatic(path: Path, window: Window, scratch: Path) -> Tables:
    return duckdb_with(IDIOMATIC, path, window, scratch)


def duckdb_tuned(path: Path, window: Window, scratch: Path) -> Tables:
    return duckdb_with(TUNED, path, window, scratch)


ENGINES: dict[str, Callable[[Path, Window, Path], Tables]] = {
    f.__name__: f for f in (scan, ours, pandas, duckdb_idiomatic, duckdb_tuned)
}


# Each run is a process of its own.


class Memory(threading.Thread):
    """The most memory of its own this process held while it ran."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.01):
            status = Path("/proc/self/status").read_text()
            held = status.split("RssAnon:")[1].split()[0]
            self.most = max(self.most, int(held))

    def stop(self) -> float:
        self._done.set()
        self.join()
        return self.most / 1024


def run(engine: str, path: Path, rows: int, scratch: Path) -> None:
    """Print what it took; leave the tables in the scratch folder."""
    if engine.startswith("duckdb"):
        import duckdb  # noqa: F401  importing is not part of the work
    if engine == "pandas":
        import pandas  # noqa: F401
    memory = Memory()
    memory.start()
    begin, busy = time.perf_counter(), time.process_time()
    tables = ENGINES[engine](path, window_of(rows), scratch)
    took = {"wall": time.perf_counter() - begin, "cpu": time.process_time() - busy, "MB": memory.stop()}
    for name, table in tables.items():
        table.write_parquet(scratch / f"{engine}-{name}.parquet")
    print(json.dumps(took))


def same(engine: str, scratch: Path) -> None:
    """Raise unless the tables of an engine are ours."""
    keys = {"figures": GROUP, "pareto": ["reason"], "minutes": ["equipment", "signal", "time"]}
    for name, key in keys.items():
        left, right = (pl.read_parquet(scratch / f"{who}-{name}.parquet") for who in ("ours", engine))
        right = right.select(pl.col(c).cast(left.schema[c]) for c in left.columns)
        if (
            name == "figures"
        ):  # without an order nobody knows the ideal cycle, and others rate that as nothing made
            rated = pl.when(pl.col("order").is_not_null())
            rates = ("performance", "quality", "oee")
            left, right = (
                t.with_columns(rated.then(pl.col(c)).alias(c) for c in rates) for t in (left, right)
            )
        left, right = (t.sort(key, nulls_last=True).fill_nan(None) for t in (left, right))
        assert_frame_equal(left, right, rel_tol=1e-9, abs_tol=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(ENGINES), help="engines, with commas")
    parser.add_argument("--keep", type=Path, help="folder for the samples, used again if they are there")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(given.run, given.path, given.rows, given.path.parent)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = given.keep or Path(folder)
        home.mkdir(exist_ok=True)
        path = home / f"samples-{given.rows}.parquet"
        if not path.exists():
            write_samples(path, given.rows)
        held = pq.ParquetFile(path).metadata
        size = path.stat().st_size / 1e6
        print(
            f"{held.num_rows:,} samples of {len(MACHINES)} machines, {held.num_row_groups} row groups, {size:,.0f} MB"
        )
        took: dict[str, list[dict[str, float]]] = {name: [] for name in given.only.split(",")}
        for _ in range(given.rounds):  # in turns: load from elsewhere hits all alike
            for name in took:
                command = [
                    sys.executable,
                    __file__,
                    "--rows",
                    str(given.rows),
                    "--run",
                    name,
                    "--path",
                    str(path),
                ]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                took[name].append(json.loads(done.stdout))
                if name not in ("scan", "ours") and "ours" in took:
                    same(name, home)
        if "ours" in took and set(took) - {"ours", "scan"}:
            figures = pl.read_parquet(home / "ours-figures.parquet")
            print(
                f"same {figures.height:,} figures, {figures['good'].sum():,} good parts in all that were asked"
            )
        report(took, held.num_rows)


def report(took: dict[str, list[dict[str, float]]], rows: int) -> None:
    middle = {
        name: {what: statistics.median(one[what] for one in runs) for what in ("wall", "cpu", "MB")}
        for name, runs in took.items()
    }
    for name, found in middle.items():
        beside = [
            f"{found[what] / middle[other][what]:5.1f} x {other} ({what})"
            for other in ("scan", "ours")
            if other in middle and other != name
            for what in ("wall", "cpu")
        ]
        print(
            f"{name:18s} {found['wall']:7.2f} s {found['cpu']:7.2f} CPU s {rows / found['wall'] / 1e6:7.1f} M/s"
            f" {found['MB']:7.0f} MB  {', '.join(beside)}"
        )


if __name__ == "__main__":
    main()
