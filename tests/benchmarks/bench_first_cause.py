"""What it costs to find whom waiting is charged to, over a quarter of a plant with lines.

    python tests/benchmarks/bench_first_cause.py [--lines 20] [--machines 10] [--days 91] [--a-day 165]

Machines of a line feed one another in a row, some over buffers. Printed beside it, from the same run: adding up the
same ledger by machine and category. Read the ratio: seconds depend on what else the machine does.
"""

import argparse
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.ledger.firstcause import WAITING, charges
from plant.frames import LEDGER
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState

START = datetime(2026, 1, 1, tzinfo=UTC)
DOES = [
    ("running", "running", 0.55),
    ("starved", "starved", 0.15),
    ("blocked", "blocked", 0.1),
    ("down", "unplanned_downtime", 0.05),
    ("down", "micro_stop", 0.1),
    ("planned_stop", "planned_downtime", 0.02),
    ("unknown", "unknown", 0.03),
]
DAY = 86_400_000_000


def build_plant(lines: int, machines: int) -> Plant:
    equipment = {}
    for line in (f"line-{n:02d}" for n in range(lines)):
        equipment[line] = Equipment(id=line, name=line, level=EquipmentLevel.PRODUCTION_LINE)
        for n in range(machines):
            name = f"{line}.m{n:02d}"
            equipment[name] = Equipment(
                id=name,
                name=name,
                level=EquipmentLevel.WORK_UNIT,
                parent=line,
                upstream=(f"{line}.m{n - 1:02d}",) if n else (),
                buffer=timedelta(seconds=30 * (n % 3)),
            )
    runs = {"1": StateMapping(state=MachineState.RUNNING)}
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment=equipment,
        signals={
            (m, "st"): Signal(id="st", equipment=m, role=Role.STATE, states=runs)
            for m, e in equipment.items()
            if e.level is EquipmentLevel.WORK_UNIT
        },
    )


def build_ledger(plant: Plant, days: int, a_day: int) -> pl.DataFrame:
    """What machines did, cut also every hour."""
    random = np.random.default_rng(1)
    share = np.array([part for *_, part in DOES])
    state, category = (pl.Series([does[i] for does in DOES]) for i in (0, 1))
    pieces = []
    for machine in plant.machines():
        begun = np.unique(random.integers(1, days * DAY, days * (a_day - 24)))
        begun = np.append(0, begun)
        starts = np.union1d(begun, np.arange(days * 24) * (DAY // 24))
        stop = np.searchsorted(begun, starts, "right") - 1
        does = random.choice(len(DOES), len(begun), p=share)[stop]
        pieces.append(
            pl.DataFrame(
                {
                    "equipment": pl.repeat(machine.id, len(starts), eager=True),
                    "start": starts,
                    "end": np.append(starts[1:], days * DAY),
                    "line": pl.repeat(machine.parent, len(starts), eager=True),
                    "state": state[does],
                    "category": category[does],
                    "stop_start": begun[stop],
                }
            )
        )
    zero = int(START.timestamp()) * 1_000_000
    times = [(pl.col(n) + zero).cast(LEDGER[n]) for n in ("start", "end", "stop_start")]
    rows = pl.concat(pieces).with_columns(duration=pl.col("end") - pl.col("start")).with_columns(times)
    missing = [pl.lit(None, LEDGER[n]).alias(n) for n in LEDGER if n not in rows.columns]
    return rows.with_columns(missing).select(list(LEDGER))


def timed(job: object) -> tuple[pl.DataFrame, float, float]:
    assert callable(job)
    begin, cpu = time.perf_counter(), time.process_time()
    found = job()
    return found, time.perf_counter() - begin, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--days", type=int, default=91)
    parser.add_argument("--a-day", type=int, default=165)
    given = parser.parse_args()
    plant = build_plant(given.lines, given.machines)
    rows = build_ledger(plant, given.days, given.a_day)
    waiting = pl.col("category").is_in(WAITING)
    print(
        f"{rows.height:,} rows of {len(plant.machines())} machines, {rows.filter(waiting).height:,} of them waiting"
    )
    summed, took, spent = timed(lambda: rows.group_by("equipment", "category").agg(pl.col("duration").sum()))
    print(f"adding up the ledger: {took:.2f} s, cpu {spent:.2f} s")
    found, took, all_spent = timed(lambda: charges(rows, plant))
    print(
        f"charges: {found.height:,} in {took:.1f} s, cpu {all_spent:.1f} s, {all_spent / spent:.0f} x adding up;"
        f" at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB"
    )
    assert found["duration"].sum() == summed.filter(waiting)["duration"].sum()


if __name__ == "__main__":
    main()
