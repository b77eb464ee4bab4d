"""KPI tables of a quarter of 200 machines from the stored ledger, beside its rows in memory, DuckDB and pandas.

    python tests/benchmarks/bench_kpis.py [--machines 200] [--days 91] [--rounds 5]

The ledger is made up: stops of every kind, cut at hours and shifts, three shifts on weekdays, an order about every day.
"stored" is what a page takes: from a SQLite records database through its copy in columns (`LedgerCache.summed`, `addends`,
`summarise`), warm, as its files are made and held once; "rows" are `summarise` over the rows in memory, texts as Enum. The
stored ledger has no hours: a page of a quarter refuses them. DuckDB and pandas do what they must for the same OEE,
availability, quality and parts. All tables must be equal before anything is timed. Rounds are interleaved; medians of wall
and CPU time.
"""

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import polars as pl
from polars.testing import assert_frame_equal

from analytics.figures.buckets import EVERY, edges
from analytics.figures.summary import summarise
from analytics.kpis import catalogue
from infra.ledger.cache import LedgerCache, WholeDays
from infra.ledger.summed import addends
from infra.records.database import Database, upgrade
from infra.records.ledger import LedgerRows
from plant.frames import LEDGER, Window
from plant.model import Equipment, EquipmentLevel, IdealCycle, Material, Plant, Role, Signal, Site
from plant.states import CATEGORY_OF_STATE, MachineState, TimeCategory

START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, SHIFT = 3_600_000_000, 8 * 3_600_000_000
PRODUCTS, UNRATED = 40, "p39"
GOAL = 0.150
KINDS = {  # what comes between two times of running, and how often
    TimeCategory.MICRO_STOP: 0.56,
    TimeCategory.UNPLANNED_DOWNTIME: 0.16,
    TimeCategory.STARVED: 0.10,
    TimeCategory.BLOCKED: 0.06,
    TimeCategory.CHANGEOVER: 0.04,
    TimeCategory.PLANNED_DOWNTIME: 0.06,
    TimeCategory.UNKNOWN: 0.02,
}
STATE = {c.value: s.value for s, c in CATEGORY_OF_STATE.items()} | {"micro_stop": MachineState.DOWN.value}
GROUPINGS = (
    ["line"],
    ["equipment"],
    ["shift"],
    ["line", "shift_start"],
    ["order"],
    ["product", "equipment"],
    ["reason"],
    ["day"],
    ["hour"],
    ["equipment", "day"],
)
SQL_GROUPS = {
    "product": "material",
    "day": "time_bucket(INTERVAL 1 DAY, start)",
    "hour": "time_bucket(INTERVAL 1 HOUR, start)",
}


def plant(machines: int) -> Plant:
    names = [f"m{n:03}" for n in range(machines)]
    lines = sorted({line_of(n) for n in range(machines)})
    equipment = [Equipment(id=line, name=line, level=EquipmentLevel.PRODUCTION_LINE) for line in lines]
    equipment += [
        Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, parent=line_of(n))
        for n, m in enumerate(names)
    ]
    roles = (Role.STATE, Role.GOOD, Role.REJECT)
    cycles = tuple(IdealCycle(equipment=m, cycle=timedelta(seconds=10)) for m in names)
    products = [f"p{n}" for n in range(PRODUCTS)]
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={e.id: e for e in equipment},
        signals={(m, r.value): Signal(id=r.value, equipment=m, role=r) for m in names for r in roles},
        materials={p: Material(id=p, name=p, ideal_cycles=() if p == UNRATED else cycles) for p in products},
    )


def line_of(machine: int) -> str:
    return f"line{machine // 8:02}"


def ledger(machines: int, days: int) -> pl.DataFrame:
    return pl.concat(_rows(n, days) for n in range(machines))


def _rows(machine: int, days: int) -> pl.DataFrame:
    random = np.random.default_rng(machine)
    span = days * 24 * HOUR
    begins = np.unique(np.concatenate([[0], random.integers(0, span, 143 * days)]))
    starts = np.unique(np.concatenate([begins, np.arange(0, span, HOUR)]))
    ends = np.append(starts[1:], span)
    piece = np.searchsorted(begins, starts, side="right") - 1
    stops = random.choice(len(KINDS), len(begins), p=list(KINDS.values()))
    names = np.array([TimeCategory.RUNNING.value, *(k.value for k in KINDS)])
    kind = np.where(np.arange(len(begins)) % 2 == 0, 0, stops + 1)[piece]
    category, off = names[kind], (starts // (24 * HOUR)) % 7 >= 5
    orders = np.sort(random.integers(0, span, days))
    order = np.searchsorted(orders, starts, side="right")
    running = (kind == 0) & ~off
    duration = ends - starts
    good = np.where(running, duration // 11_000_000, 0)
    reject = np.where(running, random.poisson(0.3, len(starts)), 0)
    reasons = np.where(kind == 2, random.integers(1, 12, len(begins))[piece], 0)
    frame = pl.DataFrame(
        {
            "start": starts,
            "end": ends,
            "stop_start": begins[piece],
            "shift_start": starts // SHIFT * SHIFT,
            "duration": duration,
            "good": good,
            "reject": reject,
            "category": np.where(off, TimeCategory.NOT_SCHEDULED.value, category),
            "raw": category,
            "number": order,
            "why": reasons,
        }
    )
    epoch = int(START.timestamp()) * 1_000_000
    product = (pl.col("number") * 7 + machine) % PRODUCTS
    rated = product != int(UNRATED[1:])
    made = pl.col("good") + pl.col("reject")
    times = ("start", "end", "stop_start", "shift_start")
    frame = frame.with_columns(
        *((pl.col(c) + epoch).cast(LEDGER["start"]).alias(c) for c in times),
        equipment=pl.lit(f"m{machine:03}"),
        line=pl.lit(line_of(machine)),
        shift=pl.concat_str(pl.lit("s"), pl.col("shift_start") // SHIFT % 3),
        order=pl.when(pl.col("number") % 9 > 0).then(pl.format("WO-{}-{}", pl.lit(machine), "number")),
        material=pl.when(pl.col("number") % 9 > 0).then(pl.format("p{}", product)),
        state=pl.col("raw").replace_strict(STATE),
        reason=pl.when(pl.col("why") > 0).then(pl.format("r{}", "why")),
    )
    counted = rated & pl.col("material").is_not_null()
    return frame.with_columns(
        ideal=pl.when(counted).then(made * 10_000_000).otherwise(0),
        ideal_good=pl.when(counted).then(pl.col("good") * 10_000_000).otherwise(0),
        unrated=pl.when(counted).then(0).otherwise(made),
        flagged=pl.lit(0),
        rework=pl.lit(0),
        startup=pl.lit(0),
    ).select(pl.col(name).cast(kind) for name, kind in LEDGER.items())


def coded(rows: pl.DataFrame) -> pl.DataFrame:
    """Texts as Enum, those of categories and states in full."""
    known = {"category": [c.value for c in TimeCategory], "state": [s.value for s in MachineState]}
    texts = [name for name, kind in LEDGER.items() if kind == pl.String]
    kinds = {n: known.get(n) or rows[n].drop_nulls().unique().sort() for n in texts}
    return rows.with_columns(pl.col(n).cast(pl.Enum(values)) for n, values in kinds.items())


USED = (
    "equipment",
    "start",
    "end",
    "state",
    "order",
    "material",
    "category",
    "duration",
    "good",
    "reject",
    "rework",
    "startup",
    "unrated",
    "flagged",
    "ideal",
    "ideal_good",
)
KEYS = ("line", "shift", "shift_start", "reason")


def kept(rows: pl.DataFrame, folder: Path, model: Plant, window: Window) -> LedgerCache:
    """The rows in a records database, and their copy in columns."""
    database = Database(f"sqlite:///{folder / 'records.db'}")
    upgrade(database)
    started = perf_counter()
    with database.begin() as connection:
        for (machine,), of in rows.group_by("equipment", maintain_order=True):
            LedgerRows(connection).replace(str(machine), window, of)
    stored = perf_counter()
    cache = LedgerCache(database, folder / "ledger", model.site.zone)
    cache.summed(window, lambda _: None)
    print(f"stored in {stored - started:.0f} s, copied into columns in {perf_counter() - stored:.0f} s")
    return cache


def summed(
    cache: LedgerCache, window: Window, by: list[str], model: Plant, kpis: list[str] | None = None
) -> pl.DataFrame:
    """What a page is given."""
    cuts = edges(window, model.site.zone, *(name for name in by if name in EVERY))
    machines = [machine.id for machine in model.machines()]

    def take(found: WholeDays) -> pl.DataFrame:
        parts = addends(found, window, model, machines, nothing, cuts, by)
        return summarise(parts.ledger, by, model, kpis=kpis, window=window, failing=parts.failing)

    return cache.summed(window, take)


def nothing(*_: object) -> pl.DataFrame:
    raise AssertionError("all of the ledger is stored: nothing is derived")


def sql(source: str, by: list[str]) -> str:
    keys = ", ".join(f'{SQL_GROUPS.get(name, f"{chr(34)}{name}{chr(34)}")} AS "{name}"' for name in by)
    count = ", ".join(str(n + 1) for n in range(len(by)))
    known = "category NOT IN ('not_scheduled', 'planned_downtime', 'unknown')"
    rated = f"(CASE WHEN material IS NULL THEN category NOT IN ('running', 'micro_stop') ELSE material <> '{UNRATED}' END)"
    return f"""
        SELECT {keys}, sum(duration) FILTER (category = 'running') AS running, sum(duration) FILTER ({known}) AS known,
            sum(duration) FILTER (category IN ('running', 'micro_stop')) AS up,
            sum(duration) FILTER ({known} AND {rated}) AS rated_known,
            sum(duration) FILTER ({rated} AND category IN ('running', 'micro_stop')) AS rated_up,
            sum(ideal) FILTER ({known} AND {rated}) AS rated_ideal,
            sum(ideal_good) FILTER ({known} AND {rated}) AS rated_ideal_good, sum(good) AS good, sum(reject) AS reject
        FROM {source} GROUP BY {count} ORDER BY {count}"""


def with_pandas(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    known = ~frame["category"].isin(["not_scheduled", "planned_downtime", "unknown"])
    moving = frame["category"].isin(["running", "micro_stop"])
    rated = np.where(frame["material"].isna(), ~moving, frame["material"] != UNRATED)
    columns = {
        "running": frame["duration"].where(frame["category"] == "running", 0),
        "known": frame["duration"].where(known, 0),
        "up": frame["duration"].where(moving, 0),
        "rated_known": frame["duration"].where(known & rated, 0),
        "rated_up": frame["duration"].where(moving & rated, 0),
        "rated_ideal": frame["ideal"].where(known & rated, 0),
        "rated_ideal_good": frame["ideal_good"].where(known & rated, 0),
        "good": frame["good"],
        "reject": frame["reject"],
    }
    floor = {"day": "D", "hour": "h"}
    keys = [
        frame["start"].dt.floor(floor[n]) if n in floor else frame[{"product": "material"}.get(n, n)]
        for n in by
    ]
    return pd.DataFrame(columns).groupby(keys, observed=True, dropna=False).sum()


def same(ours: pl.DataFrame, theirs: pl.DataFrame, by: list[str]) -> None:
    """Sums equal, OEE and availability too."""
    sums = theirs.with_columns(pl.col(theirs.columns[len(by) :]).cast(pl.Int64).fill_null(0)).rename(
        dict(zip(theirs.columns[: len(by)], by, strict=True))
    )
    sums = sums.with_columns(pl.col(n).cast(ours.schema[n]) for n in by)
    both = ours.join(sums, on=by, how="full", nulls_equal=True, suffix="_theirs")
    assert both.height == ours.height == sums.height, (by, both.height, ours.height, sums.height)
    for name in ("running", "known", "rated_known", "rated_ideal", "rated_ideal_good", "good", "reject"):
        assert both[name].equals(both[f"{name}_theirs"].rename(name)), (by, name)
    oee = pl.when(pl.col("rated_known") > 0, pl.col("oee").is_not_null()).then(
        pl.col("rated_ideal_good_theirs") / pl.col("rated_known_theirs") - pl.col("oee")
    )
    assert both.select(oee.abs().max().fill_null(0)).item() < 1e-12, by


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--days", type=int, default=91)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    model = plant(given.machines)
    window = Window(START, START + timedelta(days=given.days))
    rows = ledger(given.machines, given.days)
    memory = coded(rows)
    every = list(catalogue())
    one_pass = [k.id for k in catalogue().values() if not k.passes]
    with tempfile.TemporaryDirectory(prefix="bench-kpis-") as folder:
        path = Path(folder) / "ledger.parquet"
        memory.write_parquet(path, compression="zstd", compression_level=1, row_group_size=262_144)
        print(
            f"{memory.height:,} rows of {given.machines} machines x {given.days} days, {path.stat().st_size / 1e6:.0f} MB"
        )
        lazy, cache = memory.lazy(), kept(rows, Path(folder), model, window)
        connection = duckdb.connect()
        connection.execute(f"CREATE TABLE ledger AS SELECT * FROM '{path}'")
        frame = memory.select(*USED, *KEYS).to_pandas()
        worst: dict[str, float] = {}
        head = ("stored", "stored, all", "rows", "rows, all", "DuckDB", "pandas")
        print(f"{'ms wall (CPU)':24}" + "".join(f"{name:>16}" for name in head))
        for by in GROUPINGS:
            ours = summarise(lazy, by, model, kpis=one_pass)
            same(ours, pl.DataFrame(connection.sql(sql("ledger", by)).to_arrow_table()), by)
            same(ours, pl.from_pandas(with_pandas(frame, by).reset_index()), by)
            jobs: dict[str, Callable[[], object]] = {
                "rows": lambda by=by: summarise(lazy, by, model),
                "rows, all": lambda by=by: summarise(lazy, by, model, kpis=every),
                "DuckDB": lambda by=by: connection.sql(sql("ledger", by)).to_arrow_table(),
                "pandas": lambda by=by: with_pandas(frame, by),
            }
            if "hour" not in by:
                whole = summarise(lazy, by, model, kpis=every)
                found = summed(cache, window, by, model, every)
                assert_frame_equal(found, whole, check_exact=False, rel_tol=1e-12)
                jobs |= {
                    "stored": lambda by=by: summed(cache, window, by, model),
                    "stored, all": lambda by=by: summed(cache, window, by, model, every),
                }
            wall: dict[str, list[float]] = {name: [] for name in jobs}
            cpu: dict[str, list[float]] = {name: [] for name in jobs}
            for _ in range(given.rounds):
                for name, job in jobs.items():
                    started, worked = perf_counter(), process_time()
                    job()
                    wall[name].append(perf_counter() - started)
                    cpu[name].append(process_time() - worked)
            cells = (
                f"{1e3 * median(wall[n]):>8.0f} ({1e3 * median(cpu[n]):.0f})" if n in jobs else "-"
                for n in head
            )
            print(f"{' x '.join(by):24}" + "".join(f"{cell:>16}" for cell in cells))
            for name in jobs:
                worst[name] = max(worst.get(name, 0.0), median(wall[name]))
        print("slowest grouping: " + ", ".join(f"{name} {1e3 * took:.0f} ms" for name, took in worst.items()))
        for name in ("stored", "stored, all"):
            verdict = "under" if worst[name] < GOAL else "NOT under"
            print(f"any grouping, {name}: {verdict} {1e3 * GOAL:.0f} ms")


if __name__ == "__main__":
    main()
