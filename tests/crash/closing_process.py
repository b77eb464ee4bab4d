"""A plant whose lines work by different calendars, and a process that closes its shifts until it is killed
(test_closing_kill.py, tests/acceptance/test_closing.py)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from infra.folder import DataFolder
from infra.ledger.closing import close_shifts
from infra.metrics import Metrics
from infra.plantfile import load
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from plant.frames import SAMPLES, Window
from plant.model import Plant

START = datetime(2026, 10, 23, 22, tzinfo=UTC)
"""Midnight in Berlin, a day before the clocks go back."""
END = START + timedelta(days=2)
STEP = timedelta(minutes=37)
"""Between two looks whether a shift has ended."""

PLANT = """
schema = 1

[site]
id = "works"
name = "Works"
zone = "Europe/Berlin"

[[calendar]]
id = "three"

[[calendar.shift]]
id = "early"
name = "Early"
start = "06:00"
end = "14:00"

[[calendar.shift]]
id = "late"
name = "Late"
start = "14:00"
end = "22:00"

[[calendar.shift]]
id = "night"
name = "Night"
start = "22:00"
end = "06:00"
breaks = [{ start = "02:15", end = "02:45" }]

[[calendar.exception]]
date = 2026-10-25
equipment = ["a2"]
closed = [{ start = "10:00", end = "11:00" }, { start = "13:00", end = "14:00" }]

[[calendar.exception]]
date = 2026-10-24
equipment = ["a"]
shifts = ["early"]
add = [{ id = "extra", name = "Extra", start = "15:00", end = "19:30" }]

[[calendar]]
id = "rota"
cycle = 4
anchor = 2026-10-22

[[calendar.shift]]
id = "day"
name = "Day"
start = "07:00"
end = "19:00"
crews = { A = [1, 2], B = [3, 4] }

[[calendar.shift]]
id = "night"
name = "Night"
start = "19:00"
end = "07:00"
crews = { B = [1, 2], A = [3] }
"""
MACHINES = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "c1": "c"}
CALENDARS = {"a": "three", "b": "rota", "c": None}


def write_plant(path: Path) -> None:
    """The plant file."""
    text = [PLANT]
    for line, calendar in CALENDARS.items():
        text.append(f'[[equipment]]\nid = "{line}"\nname = "{line}"\nlevel = "ProductionLine"\n')
        text.append(f'calendar = "{calendar}"\n' if calendar else "")
    for machine, line in MACHINES.items():
        text.append(
            f'[[equipment]]\nid = "{machine}"\nname = "{machine}"\nlevel = "WorkUnit"\nparent = "{line}"\n'
        )
        text.append(
            f'[[signal]]\nequipment = "{machine}"\nid = "state"\nrole = "state"\n'
            'states = { 1 = { state = "running" }, 2 = { state = "down" } }\n'
            f'[[signal]]\nequipment = "{machine}"\nid = "good"\nrole = "good"\n'
        )
    path.write_text("\n".join(text))


def samples() -> pl.DataFrame:
    """Two days of every machine: a state every 37 minutes, a count every 5."""
    found: list[tuple[datetime, str, str, float]] = []
    for number, machine in enumerate(MACHINES):
        at, count = START + timedelta(minutes=number), 0
        while at < END:
            minute = (at - START) // timedelta(minutes=1)
            count += minute % (number + 3)
            found.append((at, machine, "good", float(count)))
            if minute % 37 < 5:
                found.append((at, machine, "state", 1.0 + (minute // 37 + number) % 2))
            at += timedelta(minutes=5)
    rows = pl.DataFrame(found, schema=["time", "equipment", "signal", "value"], orient="row")
    rows = rows.with_columns(received=pl.col("time"), text=pl.lit(None), quality=pl.lit(0))
    return rows.select(pl.col(name).cast(kind) for name, kind in SAMPLES.items())


def prepare(data: Path) -> None:
    """A data folder with the plant file, the history, and a ledger that was stored up to two hours after its start."""
    data.mkdir(exist_ok=True)
    write_plant(data / "plant.toml")
    with running(data) as runtime:
        runtime.historian.write(samples())
        first = Window(START, START + timedelta(hours=2))
        rows = runtime.ledger(first, END)
        with runtime.database.begin() as connection:
            for (machine,), part in rows.partition_by("equipment", as_dict=True).items():
                LedgerRows(connection).replace(str(machine), first, part)


@contextmanager
def running(data: Path, plant: Plant | None = None) -> Iterator[Runtime]:
    """The runtime over that folder."""
    with DataFolder(data) as folder:
        found = replace(plant or load(data / "plant.toml"), channels={}, escalations={})
        runtime = Runtime(found, folder, "", Metrics.unregistered())
        try:
            yield runtime
        finally:
            runtime.stop()


def looks() -> Iterator[datetime]:
    """When it is looked whether a shift has ended."""
    at = START + timedelta(hours=2)
    while at < END:
        yield at
        at += STEP


if __name__ == "__main__":
    with running(Path(sys.argv[1])) as closing:
        print("closing", flush=True)
        for now in looks():
            close_shifts(closing, now)
        print("done", flush=True)
