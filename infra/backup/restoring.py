"""Restoring a backup into an empty place: all of it, or, killed in between, a place that waits for it to be repeated.

Everything is checked and prepared beside its place first; then files are renamed, and the records are committed last. As
long as `restoring` is in the data folder nothing else uses that folder (`infra.folder`), so whatever else is in there is
of this restore and may be made again.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

import polars as pl
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from collectors.durable import sync_directory, write_durably
from infra.backup import history, tables
from infra.backup.archive import Archive, BackupError, Progress, is_batch, unwritable, verified
from infra.deadletter import DeadLetter
from infra.folder import DataFolder
from infra.historians.segments import Folder
from infra.records.arrivals import Arrivals
from infra.records.audit import Audit
from infra.records.database import Database, RecordsError, forget_schema, migrate, schema_of
from infra.stores import open_database, open_historian
from plant.model import Plant

ACTION = "records.restore"
"""In the audit trail: this database was filled from the backup that is its subject."""
_STAGED = ".restoring"
_ROOM = 64 << 20
"""Bytes that are to stay free."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought back."""

    created: datetime
    plant: Path | None
    """The plant file of the backup, in the data folder."""
    rows: int
    samples: int
    refused: int
    """Samples the historian cannot hold; they are in the dead letter."""
    waiting: int


PlantOf = Callable[[Path | None], Plant]
"""Loads the plant file of the backup (None: it has none), its secrets resolved. Raises PlantErrors."""


def restore(
    source: Path, folder: DataFolder, plant_of: PlantOf, now: datetime, user: str, progress: Progress
) -> Restored:
    """Bring a backup back into an empty data folder, and an empty database and historian where the plant names them.

    Raises:
        BackupError: it is damaged, or the place is not empty; nothing was changed.
        RecordsError, HistorianError, PlantErrors, FolderError: the place cannot be used. Once something was changed, the
            folder refuses everything but the same restore again.
    """
    archive = verified(source, progress)
    with TemporaryDirectory() as temporary:
        plant = plant_of(_plant_file(archive, Path(temporary)))
    _check_room(archive, folder.root)
    with folder.for_restore():
        marker = folder.restoring
        again = marker.exists()
        database = open_database(plant, folder)
        try:
            if again:
                _check_same(marker, archive)
            else:
                _check_empty(plant, folder, database, now)
                with _explained(folder.root):
                    write_durably(marker, f"{archive.digest} {source.name}\n".encode())
            return _Restore(archive, folder, plant, database, now, user, progress, again).run()
        finally:
            database.close()


@dataclass(slots=True)
class _Restore:
    archive: Archive
    folder: DataFolder
    plant: Plant
    database: Database
    now: datetime
    user: str
    progress: Progress
    again: bool
    refused: int = 0

    def run(self) -> Restored:
        staged = self.folder.root / _STAGED
        touched = self.again
        try:
            with _explained(self.folder.root):
                shutil.rmtree(staged, ignore_errors=True)
                staged.mkdir(mode=0o700)
                self._stage(staged)
            if self.plant.historian.kind != "parquet":
                touched = True
                self._write_history(staged)
            if self.database.is_sqlite:
                fresh = Database(f"sqlite:///{staged / self.folder.records.name}")
                try:
                    with fresh.begin() as connection:
                        self._fill(connection, fresh.name)
                finally:
                    fresh.close()
                touched = True
                self._move(staged)
            else:
                with self.database.begin() as connection:
                    if not self._filled(connection):
                        self._fill(connection, self.database.name)
                    touched = True
                    self._move(staged)
        except BaseException:
            if not touched:
                shutil.rmtree(staged, ignore_errors=True)
                self.folder.restoring.unlink(missing_ok=True)
            raise
        shutil.rmtree(staged, ignore_errors=True)
        self.folder.restoring.unlink()
        sync_directory(self.folder.root)
        manifest = self.archive.manifest
        main = manifest["plant"]
        return Restored(
            datetime.fromisoformat(manifest["created"]),
            self.folder.root / main if main else None,
            sum(info.rows for info in tables.infos(manifest["tables"]).values()),
            sum(member.rows or 0 for member in self.archive.below(history.FOLDER)),
            self.refused,
            sum(map(is_batch, self.archive.members)),
        )

    def _stage(self, staged: Path) -> None:
        """Unpack what will be files in the data folder."""
        parts = {"plant": "plant", "spool": "spool", "dead": "dead", "pki": self.folder.pki.name}
        if self.plant.historian.kind == "parquet":
            parts[history.FOLDER] = self.folder.historian.name
        members = [m for m in self.archive.members if m.name.split("/")[0] in parts]
        for part in parts.values():
            (staged / part).mkdir()
        total, done = sum(member.bytes for member in members), 0
        for member, file in self.archive.contents(members):
            part, rest = member.name.split("/", 1)
            path = staged / parts[part] / rest
            path.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, path)
            done += member.bytes
            self.progress("unpacking", done, total)
        own = staged / self.folder.pki.name / "own"
        for path in own.rglob("*"):
            path.chmod(0o600)
        if own.is_dir():
            own.chmod(0o700)
        for directory, _, _ in os.walk(staged):
            sync_directory(Path(directory))

    def _write_history(self, staged: Path) -> None:
        historian = open_historian(self.plant, self.folder)
        dead = DeadLetter(staged / "dead", staged / "spool")

        def keep(refused: pl.DataFrame) -> None:
            self.refused += refused.height
            dead.keep("restore", self.refused, refused)

        try:
            history.write(self.archive, historian, self.progress, keep)
        finally:
            historian.close()

    def _fill(self, connection: Connection, name: str) -> None:
        """All rows at the schema they were kept in, then up to today's; and who did it."""
        manifest = self.archive.manifest
        if schema_of(connection) not in (None, manifest["schema"]):
            forget_schema(connection)
        migrate(connection, name, manifest["schema"])
        there = {table.name: table for table in tables.tables(connection)}
        infos = tables.infos(manifest["tables"])
        if missing := infos.keys() - there.keys():
            raise BackupError(
                f"{self.archive.path} holds the tables {', '.join(sorted(missing))}, which schema {manifest['schema']} "
                "does not have: it was not made by Lineside alone"
            )
        total, done = sum(info.rows for info in infos.values()), 0
        for table in there.values():
            try:
                for member, file in self.archive.contents(self.archive.below(f"records/{table.name}")):
                    tables.fill(connection, table, pl.read_parquet(file.read()))
                    done += member.rows or 0
                    self.progress("restoring records", done, total)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                why = str(error.orig).strip().splitlines()[0]
                raise RecordsError(
                    f"the records database {name} refuses rows of {table.name} ({why}); nothing was restored into it"
                ) from error
            if table.name in infos:
                tables.go_on_counting(connection, table, infos[table.name].last)
        migrate(connection, name)
        spans = [
            (equipment, datetime.fromisoformat(earliest), datetime.fromisoformat(latest))
            for equipment, earliest, latest in manifest["unknown_to_records"]
        ]
        created = datetime.fromisoformat(manifest["created"])
        Arrivals(connection).append("restore", int(created.timestamp() * 1000), spans)
        detail = {
            "file": self.archive.path.name,
            "created": manifest["created"],
            "lineside": manifest["lineside"],
        }
        Audit(connection).add(self.now, self.user, ACTION, self.archive.digest, detail)

    def _filled(self, connection: Connection) -> bool:
        """Whether a restore that was killed had committed already."""
        if _rows(connection) == 0:
            return False
        if not any(entry.action == ACTION for entry in Audit(connection).of(self.archive.digest)):
            raise _not_empty(f"the records database {self.database.name}", "an empty database")
        return True

    def _move(self, staged: Path) -> None:
        """Put everything in its place; what is there is empty, or of this restore."""
        with _explained(self.folder.root):
            for path in sorted(staged.iterdir()):
                place = self.folder.root / path.name
                if place.is_dir():
                    shutil.rmtree(place)
                elif path.is_file():  # a database; an old one goes with its journals
                    for old in (place, *self.folder.root.glob(f"{place.name}-*")):
                        old.unlink(missing_ok=True)
                path.rename(place)
            sync_directory(self.folder.root)


def _plant_file(archive: Archive, temporary: Path) -> Path | None:
    main: str | None = archive.manifest["plant"]
    if main is None:
        return None
    for member, file in archive.contents(archive.below("plant")):
        path = temporary / PurePosixPath(member.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read())
    return temporary / main


def _check_room(archive: Archive, root: Path) -> None:
    there = next(path for path in (root, *root.parents) if path.exists())
    needed, free = sum(member.bytes for member in archive.members) + _ROOM, shutil.disk_usage(there).free
    if needed > free:
        raise BackupError(
            f"{root} has {free >> 20} MiB free and the backup needs {needed >> 20}: make room, or restore elsewhere "
            "with --data FOLDER; nothing was changed"
        )


def _check_same(marker: Path, archive: Archive) -> None:
    digest, _, name = marker.read_text().strip().partition(" ")
    if digest != archive.digest:
        raise BackupError(
            f"a restore of {name} was interrupted in {marker.parent}: repeat that one, or give an empty folder with "
            "--data FOLDER"
        )


def _check_empty(plant: Plant, folder: DataFolder, database: Database, now: datetime) -> None:
    for part in (folder.spool, folder.dead):
        if any(path.is_file() and path.name not in ("writer.lock", "sequence") for path in part.rglob("*")):
            raise _not_empty(str(part), "an empty data folder")
    if any(path.is_file() for path in folder.pki.rglob("*")):
        raise _not_empty(str(folder.pki), "an empty data folder")
    if Folder(folder.historian).days() if folder.historian.is_dir() else False:
        raise _not_empty(str(folder.historian), "an empty data folder")
    if (folder.root / "plant").exists():
        raise _not_empty(str(folder.root / "plant"), "an empty data folder")
    if not database.is_sqlite or folder.records.exists():
        with database.read() as connection:
            if _rows(connection):
                raise _not_empty(f"the records database {database.name}", "an empty database")
    if plant.historian.kind != "parquet":
        historian = open_historian(plant, folder)
        try:
            if not history.is_empty(historian, now + timedelta(days=1)):
                raise _not_empty("the historian", "an empty one in the plant file")
        finally:
            historian.close()


def _rows(connection: Connection) -> int:
    """In all tables; 0 too when there are none."""
    if schema_of(connection) is None and not tables.tables(connection):
        return 0
    count = select(func.count())
    return sum(connection.execute(count.select_from(t)).scalar_one() for t in tables.tables(connection))


def _not_empty(what: str, instead: str) -> BackupError:
    return BackupError(
        f"{what} is not empty, and a restore overwrites nothing: give {instead}; nothing was changed"
    )


def _copy(file: IO[bytes], path: Path) -> None:
    with path.open("wb") as target:
        while data := file.read(_CHUNK):
            target.write(data)
        target.flush()
        os.fsync(target.fileno())


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(root, error) from error
