"""Kill a restore before any of its file operations: nobody works on half of it, and repeating it completes it."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from sqlalchemy import text

from collectors.spool import Spool
from execution.orders import JobOrder
from infra.backup import tables
from infra.backup.archive import BackupError
from infra.backup.making import backup
from infra.backup.restoring import ACTION, restore
from infra.folder import DataFolder, FolderError
from infra.historians.parquet import ParquetHistorian
from infra.records.audit import Audit
from infra.records.database import upgrade
from infra.records.orders import Orders
from infra.stores import open_database
from plant.frames import SAMPLES, Window
from plant.model import Plant, RecordsConfig, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
ALL = Window(T0 - timedelta(days=9), T0 + timedelta(days=9))
KILLS = 14
RESTORES = text("SELECT count(*) FROM audit WHERE action = :action")


def plant_on(url: str) -> Plant:
    return Plant(site=Site(id="s", name="S", zone=ZoneInfo("UTC")), records=RecordsConfig(url=url or None))


def samples(day: int) -> pl.DataFrame:
    at = T0 + timedelta(days=day)
    row = {
        "time": at,
        "equipment": "m",
        "signal": "s",
        "value": 1.0,
        "text": None,
        "quality": 0,
        "received": at,
    }
    return pl.DataFrame([row], schema=dict(SAMPLES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with DataFolder(tmp_path / "source") as folder:
        database = open_database(plant_on(""), folder)
        upgrade(database)
        with database.begin() as connection:
            order = JobOrder(id="A", material="m", equipment="m", quantity=1)
            Orders(connection).insert([order], "anna", T0)
            Audit(connection).add(T0, "anna", "order.import", "A")
        for day in range(3):
            ParquetHistorian(folder.historian).write(samples(day))
        spool = Spool(folder.spool, "collect")
        spool.append(samples(4))
        spool.close()
        (folder.dead / "collect-0000000000000001-00000000.parquet").write_bytes(b"refused")
        backup(plant_on(""), None, database, folder, tmp_path / "backup", datetime.now(UTC), lambda *_: None)
        database.close()
    return tmp_path / "backup"


def state(data: Path, url: str) -> tuple[object, ...]:
    """Everything that was in the backup."""
    folder = DataFolder(data)
    database = open_database(plant_on(url), folder)
    with database.read() as connection:
        rows = {
            t.name: [r for f in tables.frames(connection, t) for r in f.rows()]
            for t in tables.tables(connection)
        }
    database.close()
    rows["audit"] = [row for row in rows["audit"] if ACTION not in row]
    waiting = Spool(folder.spool)
    return (
        rows,
        ParquetHistorian(folder.historian).read(ALL).rows(),
        [waiting.read(entry).rows() for entry in waiting.pending()],
        sorted(path.name for path in folder.dead.iterdir()),
    )


def restores(file: Path, folder: Path, urls: dict[int, str]) -> dict[int, int]:
    """Restore once for each point; how many file operations those took that were not killed."""
    command = [sys.executable, str(Path(__file__).with_name("restore_process.py")), str(file), str(folder)]
    arguments = [f"{point}={url}" for point, url in urls.items()]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    said = [line.split() for line in done.stdout.splitlines()]
    return {int(point): int(count) for point, count in said}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_a_killed_restore_is_completed_by_repeating_it(
    kind: str, file: Path, tmp_path: Path, records_url: Callable[..., str]
) -> None:
    def url() -> str:
        return "" if kind == "sqlite" else records_url(kind, migrated=False)

    urls = {0: url()}
    whole = restores(file, tmp_path / "whole", urls)[0]
    assert whole > 40
    complete = state(tmp_path / "whole" / "0", urls[0])
    # Half of them near the end, where things are moved into their places.
    points = {*range(whole - KILLS, whole - 1, 2), *range(1, whole - KILLS, (whole - KILLS) * 2 // KILLS)}
    urls = {point: url() for point in points}
    assert restores(file, tmp_path / "killed", urls) == {}, "they were killed"
    seen = {"before": 0, "between": 0, "after": 0}
    for point in sorted(points):
        data, plant = tmp_path / "killed" / str(point), plant_on(urls[point])
        folder = DataFolder(data)
        between = folder.restoring.exists()
        if between:
            with pytest.raises(FolderError, match="was interrupted: repeat it"), folder:
                pass
        try:
            restore(file, folder, lambda _, plant=plant: plant, T0, "test", lambda *_: None)
            seen["between" if between else "before"] += 1
        except BackupError as error:
            assert not between and "not empty" in str(error), "it had completed"
            seen["after"] += 1
        assert state(data, urls[point]) == complete
        assert not folder.restoring.exists() and not (data / ".restoring").exists()
        database = open_database(plant, folder)
        with database.read() as connection:
            assert connection.execute(RESTORES, {"action": ACTION}).scalar() == 1
        database.close()
    assert seen["before"] and seen["between"] > KILLS // 2


def test_an_interrupted_restore_is_not_mixed_with_another(file: Path, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "new")
    folder.root.mkdir()
    folder.restoring.write_text("0000 earlier.backup\n")
    with pytest.raises(BackupError, match=r"a restore of earlier.backup was interrupted .*repeat that one"):
        restore(file, folder, lambda _: plant_on(""), T0, "test", lambda *_: None)
    assert not folder.records.exists()
