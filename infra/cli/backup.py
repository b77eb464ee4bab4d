"""`lineside backup` and `lineside restore`: one file with everything a plant needs to go on elsewhere."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from infra.backup import archive
from infra.backup.making import backup
from infra.backup.restoring import restore
from infra.cli.opened import existing_database, plant_of
from infra.folder import DataFolder, FolderError
from infra.records.database import RecordsError
from pipelines.ports import HistorianError
from plant.model import Plant
from plant.parse import PlantErrors

_EXPECTED = (archive.BackupError, FolderError, RecordsError, HistorianError, PlantErrors)


def run_backup(path: Path | None, data: Path, to: Path) -> int:
    """Make a backup and say what is in it; 1 when it cannot be made."""
    console = Console(stderr=True, soft_wrap=True)
    try:
        plant, folder = plant_of(path), DataFolder(data)
        database = existing_database(plant, folder)
        try:
            with _bars(console) as progress:
                made = backup(plant, path, database, folder, to, datetime.now(UTC), progress)
        finally:
            database.close()
    except _EXPECTED as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    print(
        f"{to}: {_size(made.bytes)} with {made.rows} records, {made.samples} samples, {made.waiting} files of waiting "
        "or refused samples"
    )
    return 0


def run_restore(source: Path, data: Path, path: Path | None) -> int:
    """Restore a backup and say what came back; 1 when it cannot be restored."""
    console = Console(stderr=True, soft_wrap=True)
    now = datetime.now(UTC)
    try:
        with _bars(console) as progress:
            done = restore(source, DataFolder(data), partial(_plant, path), now, getpass.getuser(), progress)
    except _EXPECTED as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    refused = f" ({done.refused} refused by the historian: `lineside spool dead`)" if done.refused else ""
    print(
        f"restored the backup of {done.created:%Y-%m-%d %H:%M:%S} UTC into {data}: {done.rows} records, {done.samples} "
        f"samples{refused}, {done.waiting} files of waiting or refused samples"
    )
    if use := path or done.plant:
        print(f"start it with: lineside up {use} --data {data}")
    return 0


def _plant(chosen: Path | None, kept: Path | None) -> Plant:
    return plant_of(chosen or kept)


@contextmanager
def _bars(console: Console) -> Iterator[archive.Progress]:
    """A bar for each step there is."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        step = bars.add_task("")

        def report(what: str, done: int, total: int) -> None:
            bars.update(step, description=what, completed=done, total=total or None)

        yield report


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"
