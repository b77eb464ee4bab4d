"""`lineside backfill`: months of many machines from the historian into the stored ledger."""

import getpass
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from infra.backfill.engines import engine
from infra.backfill.partitions import BackfillError
from infra.backfill.run import Backfill, Summary
from infra.cli import plant_time
from infra.folder import DataFolder, FolderError
from infra.plantfile import load, with_secrets
from infra.records.database import RecordsError, upgrade
from infra.stores import open_database, open_historian
from pipelines.ports import HistorianError
from plant.frames import Window
from plant.model import Plant
from plant.parse import PlantErrors

SHOWN = 10
"""Restated shifts that are listed."""


def run(
    path: Path, data: Path, start: str, end: str, equipment: Sequence[str], workers: int, cluster: str | None
) -> int:
    """Derive, store and say what changed. 1 on bad input or when something is away, with what to do."""
    console = Console(stderr=True, soft_wrap=True)
    try:
        plant = load(path)
        summary = _backfill(
            plant, DataFolder(data), _window(plant, start, end), equipment, workers, cluster, console
        )
    except KeyboardInterrupt:
        console.print("Stopped. What was done stays: the same command goes on from here.")
        return 130
    except (PlantErrors, FolderError, HistorianError, RecordsError, BackfillError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    _print(plant, summary)
    return 0


def _backfill(
    plant: Plant,
    folder: DataFolder,
    window: Window,
    equipment: Sequence[str],
    workers: int,
    cluster: str | None,
    console: Console,
) -> Summary:
    if plant.historian.kind == "parquet" and not folder.historian.is_dir():
        raise BackfillError(f"{folder.root} holds no history: give the data folder of the plant with --data")
    opened = with_secrets(plant)
    with (
        closing(open_historian(opened, folder.beside())) as historian,
        closing(open_database(opened, folder)) as database,
        engine(workers, cluster) as by,
        _bar(console) as progress,
    ):
        upgrade(database)
        console.print(f"Backfill with {by.name}", highlight=False)
        backfill = Backfill(plant, folder, historian, database)
        machines = _machines(plant, equipment)
        return backfill.run(window, machines, by, getpass.getuser(), datetime.now(UTC), _Shown(progress))


def _window(plant: Plant, start: str, end: str) -> Window:
    begin, until = (plant_time(text, plant.site.zone.key) for text in (start, end))
    if begin >= until:
        raise BackfillError("--from must be earlier than --to")
    return Window(begin, until)


def _machines(plant: Plant, equipment: Sequence[str]) -> list[str]:
    """Of lines and areas, their machines."""
    known = {m.id for m in plant.machines()}
    found: list[str] = []
    for one in equipment:
        below = sorted(known & plant.below(one))
        if not below:
            raise BackfillError(
                f'--equipment: there is no machine "{one}" or below it: compare with the plant file'
            )
        found += below
    return list(dict.fromkeys(found))


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


class _Shown:
    """`infra.backfill.run.Watcher` as a progress bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._rows = 0

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """See `Watcher`."""
        self._rows = 0
        self._task = self._progress.add_task(what, total=total, completed=done, rate="")

    def advance(self, steps: int, rows: int) -> None:
        """See `Watcher`."""
        assert self._task is not None
        self._rows += rows
        took = self._progress.tasks[-1].elapsed or 0.0
        rate = f"{self._rows / took:,.0f} rows/s" if took else ""
        self._progress.update(self._task, advance=steps, rate=rate)


def _print(plant: Plant, done: Summary) -> None:
    zone = plant.site.zone
    console = Console(soft_wrap=True, highlight=False)
    first, last = (f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (done.window.start, done.window.end))
    console.print(
        f"{first} to {last}: {done.rows:,} ledger rows of {done.machines} machines, {done.days} days."
    )
    console.print(
        f"{done.samples:,} samples read; {done.kept} of {done.partitions} partitions were there from before."
    )
    if not done.changed:
        console.print("Nothing was different from what was stored.")
    else:
        machines = len({machine for machine, _ in done.changed})
        length = sum((window.end - window.start for _, window in done.changed), timedelta())
        console.print(
            f"Different from what was stored: {length / timedelta(hours=1):,.1f} machine hours of {machines} machines."
        )
    if done.restated:
        console.print(f"{len(done.restated)} closed shifts were restated:")
        for one in done.restated[:SHOWN]:
            name = plant.equipment[one.equipment].name
            console.print(
                f"  {name}, {one.shift} of {one.shift_start.astimezone(zone):%Y-%m-%d}", markup=False
            )
        if len(done.restated) > SHOWN:
            console.print(
                f"  and {len(done.restated) - SHOWN} more: the shift page shows each with what changed"
            )
