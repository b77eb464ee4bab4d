"""Making a backup, while the plant runs or not.

What is taken when, so that nothing falls between two of them: refused and waiting samples first, then the records in
one read transaction, then what waits by now, then history. A batch is removed from the spool only after it is in the
historian and closed shifts know it, so it is in the backup at least once; twice does no harm. The records may know of
samples that came after the first look at the spool: the second one finds them, or history has them. History may hold
samples the records do not know of yet: their spans are noted, and a restored plant derives closed shifts under them again.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import polars as pl

from infra.backup import history, tables
from infra.backup.archive import ArchiveWriter, BackupError, Progress, is_batch
from infra.folder import DataFolder
from infra.plantfile import files
from infra.records.database import Database, schema_of
from infra.records.jobs import Watermarks
from infra.records.status import BACKUP
from infra.stores import open_historian
from plant.model import Plant

_OF_A_PROCESS = ("writer.lock", "lock")
PKI = ("own", "trusted", "known")
"""Of the certificates; refused ones come again by themselves."""


@dataclass(frozen=True, slots=True)
class Made:
    """What is in a backup."""

    bytes: int
    rows: int
    """Of all records tables."""
    samples: int
    """In history; those written while the backup was made may be counted twice."""
    waiting: int
    """Files of waiting and refused samples."""


def backup(
    plant: Plant,
    path: Path | None,
    database: Database,
    folder: DataFolder,
    to: Path,
    now: datetime,
    progress: Progress,
) -> Made:
    """Put plant file, records, history, certificates and what waits in the spool into one new file.

    Args:
        plant: its secrets resolved.
        path: of the plant file; None: without one.
        database: the plant's records, open.
        now: when the backup begins: it is as of then.
    Raises:
        BackupError, RecordsError, HistorianError, PlantErrors: there is no backup, and nothing is left of one.
    """
    plant_files = files(path) if path else []
    writer = ArchiveWriter(to)
    try:
        main = _add_plant(writer, plant_files)
        _add_files(writer, "dead", folder.dead)
        _add_files(writer, "spool", folder.spool)
        _add_files(writer, "dead", folder.dead)  # what was refused meanwhile has left the spool
        for part in PKI:
            _add_files(writer, f"pki/{part}", folder.pki / part)
        schema, kept = _add_records(writer, database, progress)
        _add_files(writer, "spool", folder.spool)
        spans = _add_history(writer, plant, folder, to, now, progress)
        size = writer.finish(
            {
                "lineside": version("lineside"),
                "created": now.isoformat(),
                "site": {"id": plant.site.id, "name": plant.site.name} if path else None,
                "plant": main,
                "historian": plant.historian.kind,
                "schema": schema,
                "tables": {name: asdict(info) for name, info in kept.items()},
                "unknown_to_records": [[e, a.isoformat(), b.isoformat()] for e, a, b in spans.iter_rows()],
            }
        )
    finally:
        writer.abandon()
    with database.begin() as connection:
        Watermarks(connection).set(BACKUP, now)
    return Made(
        size,
        sum(info.rows for info in kept.values()),
        sum(member.rows or 0 for member in writer.members if member.name.startswith(f"{history.FOLDER}/")),
        sum(map(is_batch, writer.members)),
    )


def _add_plant(writer: ArchiveWriter, found: list[Path]) -> str | None:
    """Keeps files where they are to each other. The member that is the plant file itself."""
    if not found:
        return None
    absolute = [Path(os.path.normpath(path.absolute())) for path in found]
    root = Path(os.path.commonpath([path.parent for path in absolute]))
    names = [f"plant/{path.relative_to(root).as_posix()}" for path in absolute]
    for name, path in zip(names, absolute, strict=True):
        writer.add(name, path.read_bytes())
    return names[0]


def _add_files(writer: ArchiveWriter, part: str, root: Path) -> None:
    """Files that are written once, renamed into place and removed some time."""
    there = {member.name for member in writer.members}
    for path in sorted(root.rglob("*")):
        name = f"{part}/{path.relative_to(root).as_posix()}"
        temporary = (
            path.name in _OF_A_PROCESS or path.name.startswith(".") or path.suffix in (".tmp", ".part")
        )
        if name in there or temporary or not path.is_file():
            continue
        try:
            writer.add(name, path.read_bytes())
        except FileNotFoundError:
            continue  # taken meanwhile: it is in what is copied next
        except OSError as error:
            raise BackupError(
                f"cannot read {path} ({error.strerror}): check its permissions and disk"
            ) from error


def _add_records(
    writer: ArchiveWriter, database: Database, progress: Progress
) -> tuple[str, Mapping[str, tables.TableInfo]]:
    with database.read() as connection:
        schema = schema_of(connection)
        if schema is None:
            raise BackupError(
                f"{database.name} holds no records of Lineside: run `lineside db upgrade` first"
            )
        found = tables.tables(connection)
        infos = {table.name: tables.info(connection, table) for table in found}
        total, done = sum(info.rows for info in infos.values()), 0
        for table in found:
            for number, rows in enumerate(tables.frames(connection, table)):
                writer.add(f"records/{table.name}/{number:05}.parquet", tables.encoded(rows), rows.height)
                done += rows.height
                progress("copying records", done, total)
    return schema, infos


def _add_history(
    writer: ArchiveWriter, plant: Plant, folder: DataFolder, to: Path, now: datetime, progress: Progress
) -> pl.DataFrame:
    if plant.historian.kind == "parquet":
        return history.copy_segments(writer, folder.historian, now, progress)
    historian = open_historian(plant, folder)
    try:
        return history.export(writer, historian, to.absolute().parent, now, now, progress)
    finally:
        historian.close()
