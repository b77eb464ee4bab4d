"""Backup and restore of a plant whose samples are in a real InfluxDB, and changing between it and files."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from infra.backup.archive import BackupError
from infra.backup.making import backup
from infra.backup.restoring import restore
from infra.folder import DataFolder
from infra.historians.parquet import ParquetHistorian
from infra.influxdb.server import InfluxServer, running
from infra.records.database import upgrade
from infra.stores import open_database, open_historian
from plant.frames import SAMPLES, Window
from plant.model import HistorianConfig, Plant, Site

pytestmark = pytest.mark.server
NOW = datetime.now(UTC).replace(microsecond=0)
ALL = Window(NOW - timedelta(days=50), NOW + timedelta(days=1))


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with running(tmp_path_factory.mktemp("influx")) as server:
        yield server


def plant_of(influx: InfluxServer | None) -> Plant:
    site = Site(id="s", name="S", zone=ZoneInfo("UTC"))
    if influx is None:
        return Plant(site=site)
    options = {"url": influx.url, "bucket": influx.bucket, "user": influx.user, "password": influx.password}
    return Plant(site=site, historian=HistorianConfig(kind="influxdb", options=options))


def samples() -> pl.DataFrame:
    """Numbers, texts and nothing, of two machines on three days far apart, to the microsecond."""
    rows = []
    for day in (0, 1, 40):
        for number in range(300):
            at = NOW - timedelta(days=day, hours=1) + timedelta(seconds=number, microseconds=number)
            for machine in ("filler", "capper"):
                value, text = (None, "running") if number % 3 == 0 else (number / 7, None)
                rows.append((at, machine, "s", value, None if number % 5 == 0 else text, number % 3, at))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row").sort("equipment", "signal", "time")


def kept(plant: Plant, folder: DataFolder) -> pl.DataFrame:
    historian = open_historian(plant, folder)
    try:
        return historian.read(ALL)
    finally:
        historian.close()


def made(plant: Plant, folder: DataFolder, to: Path) -> int:
    database = open_database(plant, folder)
    upgrade(database)
    try:
        return backup(plant, None, database, folder, to, datetime.now(UTC), lambda *_: None).samples
    finally:
        database.close()


def test_from_files_to_influxdb_and_back(influx: InfluxServer, tmp_path: Path) -> None:
    files, server = plant_of(None), plant_of(influx)
    quiet = lambda *_: None  # noqa: E731
    with DataFolder(tmp_path / "one") as one:
        ParquetHistorian(one.historian).write(samples())
        assert made(files, one, tmp_path / "one.backup") == samples().height
    two = DataFolder(tmp_path / "two")
    done = restore(tmp_path / "one.backup", two, lambda _: server, NOW, "test", quiet)
    assert (done.samples, done.refused) == (samples().height, 0)
    assert kept(server, two).equals(samples())
    assert not any(two.historian.iterdir())
    with pytest.raises(BackupError, match="the historian is not empty"):
        restore(tmp_path / "one.backup", DataFolder(tmp_path / "no"), lambda _: server, NOW, "test", quiet)
    assert made(server, two, tmp_path / "two.backup") == samples().height
    three = DataFolder(tmp_path / "three")
    restore(tmp_path / "two.backup", three, lambda _: files, NOW, "test", quiet)
    assert kept(files, three).equals(samples())
