"""`lineside derive`: samples in, a table of time, counts and KPIs out."""

import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from analytics.figures.buckets import EVERY, edges
from analytics.figures.explain import unit
from analytics.figures.summary import DIMENSIONS, summarise
from analytics.kpis import catalogue
from analytics.ledger.rows import ledger
from collectors.files import SampleFileError, read_samples
from execution.importing import ImportErrors, read_orders
from execution.orders import JobOrder
from execution.running import machine_runs, scheduled_runs
from infra.cli import plant_time
from infra.folder import DataFolder
from infra.ledger.thinned import thinned_samples
from infra.plantfile import load, with_secrets
from infra.stores import open_historian
from pipelines.derive import facts
from pipelines.ports import HistorianError
from plant.frames import RECODES, Window, empty
from plant.model import Convention, Plant
from plant.parse import PlantErrors
from plant.states import TimeCategory

WIDE = 180
"""Columns of the table where there is no terminal to ask."""
LOOK_BACK = timedelta(days=1)
"""Of the historian's samples read before --from, besides the last one of each signal."""


def run(
    path: Path,
    files: Sequence[Path],
    orders: Path | None,
    start: str | None,
    end: str | None,
    by: str,
    json: bool,
    parquet: Path | None,
    data: Path,
) -> int:
    """Print or write the table. 1 on bad input, with what is wrong."""
    console = Console(stderr=True, soft_wrap=True)
    try:
        plant = load(path)
        groups = _groups(by)
        begin = plant_time(start, plant.site.zone.key) if start else None
        until = plant_time(end, plant.site.zone.key) if end else None
        with Progress(
            *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()),
            console=console,
            transient=True,
        ) as progress:
            samples = _samples(plant, files, data, begin, until, console, progress)
            window = _window(plant, samples, begin, until)
            jobs = _orders(plant, orders)
            progress.add_task("Deriving", total=None)
            rows = _ledger(plant, samples, window, jobs, [g for g in groups if g in EVERY])
            table = summarise(rows, groups, plant)
    except (PlantErrors, SampleFileError, ImportErrors, HistorianError, _UnusableError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    if parquet is not None:
        table.write_parquet(parquet)
        console.print(f"{table.height} rows in {parquet}", highlight=False)
    if json:
        used = plant.settings.convention
        found = [_row(row, groups, used) for row in table.iter_rows(named=True)]
        jsonlib.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
    elif parquet is None:
        _print(table, groups)
    return 0


class _UnusableError(Exception):
    """The input holds nothing to derive; the message says what to do."""


def _groups(by: str) -> list[str]:
    groups = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in groups if name not in DIMENSIONS]
    if unknown:
        raise typer.BadParameter(f"--by {', '.join(unknown)}: known are {', '.join(DIMENSIONS)}")
    return list(dict.fromkeys(groups))


def _samples(
    plant: Plant,
    files: Sequence[Path],
    data: Path,
    begin: datetime | None,
    until: datetime | None,
    console: Console,
    progress: Progress,
) -> pl.DataFrame:
    reading = progress.add_task("Reading", total=None if files else 1)
    if files:
        return read_samples(files, plant, lambda text: console.print(text, markup=False, highlight=False))
    if begin is None or until is None:
        raise _UnusableError(
            "Without sample files the historian is read: say which time with --from and --to."
        )
    folder = DataFolder(data)
    if plant.historian.kind == "parquet" and not folder.historian.is_dir():
        raise _UnusableError(
            f"{data} holds no history: give sample files, or the data folder of a plant with --data."
        )
    window = Window(begin - LOOK_BACK, until + LOOK_BACK)
    with closing(open_historian(with_secrets(plant), folder)) as historian:
        before = historian.last(window.start)
        after = thinned_samples(
            historian, plant, window, lambda share: progress.update(reading, completed=share)
        )
        return pl.concat([before, after])


def _window(plant: Plant, samples: pl.DataFrame, begin: datetime | None, until: datetime | None) -> Window:
    """As asked; else from the first sample that says something of a state to the last sample of any signal."""
    states = pl.DataFrame(
        [(s.equipment, s.id) for s in plant.state_signals()],
        schema={"equipment": pl.String, "signal": pl.String},
        orient="row",
    )
    first = samples.join(states, on=["equipment", "signal"], how="semi")["time"].min()
    last = samples["time"].max()
    if begin is None and not isinstance(first, datetime):
        raise _UnusableError(
            "There is no sample of a signal that tells a state: compare equipment and signal names with the plant file."
        )
    begin = begin or first  # type: ignore[assignment]
    until = until or last  # type: ignore[assignment]
    if begin is None or until is None or until <= begin:
        raise _UnusableError(
            f"The window is empty: it would run from {begin} to {until}. Give --from and --to."
        )
    return Window(begin, until)


def _orders(plant: Plant, path: Path | None) -> list[JobOrder]:
    if path is None:
        return []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _UnusableError(f"Cannot read {path}: {error.strerror}.") from error
    return read_orders(path.name, content, {}, plant, plant.site.zone)


def _ledger(
    plant: Plant, samples: pl.DataFrame, window: Window, jobs: Sequence[JobOrder], buckets: Sequence[str]
) -> pl.DataFrame:
    newest = samples["time"].max()
    until = (
        max(window.end, newest + timedelta(microseconds=1)) if isinstance(newest, datetime) else window.end
    )
    found = facts(samples, plant, until)
    runs = machine_runs(plant, scheduled_runs(jobs), found.runs, {job.id: job for job in jobs})
    cuts = edges(window, plant.site.zone, *buckets)
    return ledger(found.intervals, found.increments, runs, empty(RECODES), plant, window, cuts)


def _row(row: Mapping[str, object], groups: Sequence[str], convention: Convention) -> dict[str, object]:
    """A row of the JSON output; durations in seconds, KPI parts in seconds or parts as the KPI defines."""
    counts = {name: row[name] for name in ("good", "reject", "rework")}
    return {
        "group": {name: _plain(row[name]) for name in groups},
        "start": _plain(row["start"]),
        "end": _plain(row["end"]),
        "durations": {category.value: _seconds(row[category.value]) for category in TimeCategory},
        "counts": {**counts, "total": sum(int(str(v)) for v in counts.values())},
        "kpis": {
            kpi: {
                "value": row[kpi],
                "numerator": _amount(row, kpi, "numerator", convention),
                "denominator": _amount(row, kpi, "denominator", convention),
                "coverage": row["coverage"],
            }
            for kpi in catalogue()
            if kpi in row
        },
    }


def _amount(row: Mapping[str, object], kpi: str, side: str, convention: Convention) -> object:
    """Numerator or denominator of a KPI: seconds where it is time, else as it is."""
    formula = catalogue()[kpi].formulas[convention]
    while formula.otherwise and not any(row[c] for c in formula.denominator.meta.root_names()):
        formula = formula.otherwise
    value = row[f"{kpi}_{side}"]
    of = formula.numerator if side == "numerator" else formula.denominator
    return _seconds(value) if formula.times is None and unit(of) == "us" else value


def _seconds(value: object) -> float | None:
    return None if value is None else float(str(value)) / 1e6


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _print(table: pl.DataFrame, groups: Sequence[str]) -> None:
    from rich.table import Table

    shown = Table(box=None)
    for name in groups:
        shown.add_column(name)
    columns = ("OEE", "A", "P", "Q", "coverage", "running", "stopped", "unknown", "good", "reject")
    for name in columns:
        shown.add_column(name, justify="right")
    for row in table.iter_rows(named=True):
        figures = [row["oee"], row["availability"], row["performance"], row["quality"], row["coverage"]]
        times = [row["running"], row["unplanned_downtime"] + row["micro_stop"], row["unknown"]]
        shown.add_row(
            *(str(_plain(row[name]) if row[name] is not None else "-") for name in groups),
            *("-" if f is None else f"{100 * f:.1f} %" for f in figures),
            *(str(timedelta(seconds=round(t / 1e6))) for t in times),
            str(row["good"]),
            str(row["reject"]),
        )
    console = Console()
    (console if console.is_terminal else Console(width=WIDE)).print(shown)
