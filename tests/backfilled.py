"""A small plant with a week of samples, and backfills of it."""

import random
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl

from infra.backfill.engines import engine
from infra.backfill.run import Backfill, Summary, Watcher
from infra.folder import DataFolder
from infra.plantfile import load
from infra.records.database import upgrade
from infra.records.ledger import LedgerRows
from infra.shifts import shift_edges
from infra.stores import open_database, open_historian
from pipelines.derive import derive
from plant.frames import LEDGER, SAMPLES, Window
from plant.model import Plant

START = datetime(2026, 3, 26, tzinfo=UTC)
"""The clocks go forward within the week."""
LENGTH = timedelta(days=5)
NOW = START + LENGTH
WINDOW = Window(START + timedelta(days=1), START + timedelta(days=4))
MACHINES = ("fill", "cap", "pack", "press", "saw")
_HEAD = """
schema = 1
[site]
id = "works"
name = "Works"
zone = "Europe/Berlin"
[settings]
micro_stop = "3min"
[[equipment]]
id = "line"
name = "Line"
level = "ProductionLine"
[[calendar]]
id = "hours"
[[calendar.shift]]
id = "day"
name = "Day"
start = "06:00"
end = "18:00"
breaks = [{ start = "12:00", end = "12:30" }]
[[calendar.shift]]
id = "night"
name = "Night"
start = "18:00"
end = "06:00"
[[source]]
id = "plc"
protocol = "opcua"
url = "opc.tcp://127.0.0.1:4840/"
[[material]]
id = "part"
name = "Part"
ideal_cycle = [{ equipment = "fill", cycle = "20s" }, { equipment = "saw", cycle = "25s" }]
"""
_MACHINE = """
[[equipment]]
id = "{id}"
name = "{id}"
level = "WorkUnit"
{parent}upstream = {upstream}
calendar = {calendar}
stale_after = "20min"
material = "part"
[[signal]]
equipment = "{id}"
id = "state"
source = "plc"
address = "ns=2;s={id}.state"
role = "state"
[signal.states]
1 = "running"
2 = "down"
3 = "starved"
[[signal]]
equipment = "{id}"
id = "good"
source = "plc"
address = "ns=2;s={id}.good"
role = "good"
modulus = 1000
min_cycle = "5s"
[[signal]]
equipment = "{id}"
id = "heat"
source = "plc"
address = "ns=2;s={id}.heat"
role = "process_value"
"""


def plant_file(folder: Path) -> Path:
    """Three machines in a line, two on their own, one of them around the clock."""
    text = _HEAD
    for machine, before in (("fill", None), ("cap", "fill"), ("pack", "cap"), ("press", None), ("saw", None)):
        in_line = machine in ("fill", "cap", "pack")
        text += _MACHINE.format(
            id=machine,
            parent='parent = "line"\n' if in_line else "",
            upstream=f'["{before}"]' if before else "[]",
            calendar='"hours"' if machine != "saw" else "false",
        )
    path = folder / "plant.toml"
    path.write_text(text.replace("calendar = false\n", ""))
    return path


@cache
def samples(seed: int = 1, machines: tuple[str, ...] = MACHINES, start: datetime = START) -> pl.DataFrame:
    """States that last seconds to hours, counts every half minute with rollovers, outages, and a process value."""
    rng = random.Random(seed)
    rows: list[tuple[object, ...]] = []
    for machine in machines:
        at, state, count = start + timedelta(seconds=rng.uniform(0, 60)), 1, rng.randrange(900)
        until = at
        while at < start + LENGTH:
            if at >= until:
                state = rng.choice([1, 1, 1, 2, 3])
                until = at + timedelta(seconds=rng.choice([20, 90, 400, 3000, 9000]))
                if rng.random() < 0.03:
                    at += timedelta(minutes=rng.choice([15, 25, 200]))
            rows.append((at, machine, "state", float(state), None, 0, at))
            if state == 1:
                count = (count + rng.choice([0, 1, 1, 2])) % 1000
            rows.append((at, machine, "good", float(count), None, 0 if rng.random() < 0.999 else 2, at))
            rows.append((at, machine, "heat", rng.gauss(80, 2), None, 0, at))
            at += timedelta(seconds=30, microseconds=rng.randrange(10**6))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def make(folder: Path, of: pl.DataFrame, kept_in: str = "") -> tuple[Plant, DataFolder]:
    """A data folder with these samples in its history. `kept_in`: `[historian]` and `[records]` of the plant file."""
    file = plant_file(folder)
    file.write_text(file.read_text() + kept_in)
    plant, data = load(file), DataFolder(folder / "data")
    with closing(open_historian(plant, data.beside())) as historian:
        historian.write(of)
        historian.compact()
    return plant, data


def backfill(
    plant: Plant,
    data: DataFolder,
    window: Window = WINDOW,
    equipment: Iterable[str] = (),
    workers: int = 1,
    cluster: str | None = None,
    now: datetime = NOW,
    watcher: Watcher | None = None,
) -> Summary:
    """One backfill."""
    with (
        closing(open_historian(plant, data)) as historian,
        closing(open_database(plant, data)) as records,
        engine(workers, cluster) as by,
    ):
        upgrade(records)
        return Backfill(plant, data, historian, records).run(
            window, list(equipment), by, "ann", now, watcher or Unwatched()
        )


class Unwatched:
    """Nobody looks."""

    def begin(self, what: str, total: int, done: int = 0) -> None: ...

    def advance(self, steps: int, rows: int) -> None: ...


def stored(plant: Plant, data: DataFolder, window: Window = WINDOW) -> pl.DataFrame:
    """The stored ledger."""
    with closing(open_database(plant, data)) as database, database.read() as connection:
        return LedgerRows(connection).touching(window)


def at_once(plant: Plant, of: pl.DataFrame, window: Window = WINDOW) -> pl.DataFrame:
    """The ledger of all samples in one go."""
    until = min(window.end + timedelta(hours=1), NOW)
    rows = derive(of, plant, window, until=until, edges=shift_edges(plant, window))
    return rows.select(list(LEDGER))
