"""`lineside db`: the records database, its schema and its size."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from infra.cli.opened import existing_database, plant_of
from infra.folder import DataFolder, FolderError
from infra.records.database import RecordsError, upgrade
from infra.records.status import RecordsStatus, status
from infra.stores import open_database
from plant.parse import PlantErrors


def run_status(path: Path | None, data: Path, as_json: bool) -> int:
    """Print what there is; 1 when an upgrade is needed or the database cannot be used."""
    try:
        database = existing_database(plant_of(path), DataFolder(data))
        found = status(database)
        database.close()
    except (PlantErrors, RecordsError) as error:
        return _refused(error)
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(found), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(found, datetime.now(UTC))
    return 0 if found.current else 1


def run_upgrade(path: Path | None, data: Path) -> int:
    """Bring the schema to this version and say from where to where; 1 when it cannot be."""
    try:
        plant, folder = plant_of(path), DataFolder(data)
        if plant.records.url is None:
            folder.root.mkdir(parents=True, exist_ok=True)
        database = open_database(plant, folder)
        before, now = upgrade(database)
        database.close()
    except OSError as error:
        return _refused(
            FolderError(f"Cannot write to {data} ({error.strerror}): give another --data FOLDER.")
        )
    except (PlantErrors, RecordsError) as error:
        return _refused(error)
    if before == now:
        print(f"{database.name} has schema {now} already: nothing to do")
    else:
        print(f"{database.name}: upgraded from {f'schema {before}' if before else 'empty'} to schema {now}")
    return 0


def _refused(error: Exception) -> int:
    Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
    return 1


def _print(found: RecordsStatus, now: datetime) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("database", found.name)
    table.add_row("server", found.server)
    if found.current:
        table.add_row("schema", f"{found.schema}, that of this version")
    else:
        table.add_row(
            "schema", f"{found.schema or 'none'}; this version has {found.newest}: run `lineside db upgrade`"
        )
    table.add_row("size", f"{found.bytes / (1 << 20):.1f} MiB")
    if found.backed_up is None:
        table.add_row("last backup", "none known: see `lineside backup`")
    else:
        days = (now - found.backed_up).total_seconds() / 86_400
        table.add_row("last backup", f"{found.backed_up:%Y-%m-%d %H:%M} UTC, {days:.1f} days ago")
    for name, rows in found.rows.items():
        table.add_row(f"rows of {name}", str(rows))
    Console(soft_wrap=True, highlight=False).print(table)
