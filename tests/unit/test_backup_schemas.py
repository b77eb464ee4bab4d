"""A backup of an older schema comes back at today's: rows go in as they were and are migrated with everything else."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from infra import migrations
from infra.backup.making import backup
from infra.backup.restoring import restore
from infra.folder import DataFolder
from infra.records.audit import Audit
from infra.records.database import Database, RecordsError, newest_schema, upgrade
from infra.stores import open_database
from plant.model import Plant, RecordsConfig, Site

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
NEXT = '''"""What a later version does: a column more, filled from what there is."""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "next", "{before}", None, None


def upgrade() -> None:
    op.add_column("watermarks", sa.Column("note", sa.String(20)))
    op.execute("UPDATE watermarks SET note = 'was ' || job")


def downgrade() -> None:
    with op.batch_alter_table("watermarks") as batch:
        batch.drop_column("note")
'''


def plant_on(url: str | None) -> Plant:
    return Plant(site=Site(id="s", name="S", zone=ZoneInfo("UTC")), records=RecordsConfig(url=url))


@pytest.fixture
def a_later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, Lineside has one schema revision more."""
    copy = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "versions" / "rev_next.py").write_text(NEXT.format(before=newest_schema()))
    return lambda: monkeypatch.setattr(migrations, "__file__", str(copy / "__init__.py"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return backed_up(tmp_path / "source", tmp_path / "backup")


def backed_up(data: Path, to: Path) -> Path:
    with DataFolder(data) as folder:
        database = open_database(plant_on(None), folder)
        upgrade(database)
        with database.begin() as connection:
            Audit(connection).add(T0, "anna", "order.import", "A", {"n": 1})
            connection.execute(text("INSERT INTO watermarks (job, scope, done_until) VALUES ('j', 's', 7)"))
        backup(plant_on(None), None, database, folder, to, T0, lambda *_: None)
        database.close()
    return to


def restored(file: Path, data: Path, url: str | None) -> Database:
    folder, plant = DataFolder(data), plant_on(url)
    restore(file, folder, lambda _: plant, T0, "test", lambda *_: None)
    return open_database(plant, folder)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_rows_of_an_older_schema_are_migrated(
    kind: str,
    file: Path,
    tmp_path: Path,
    records_url: Callable[..., str],
    a_later_version: Callable[[], None],
) -> None:
    url = None if kind == "sqlite" else records_url(kind, migrated=False)
    a_later_version()
    if url is not None:  # made by `lineside db upgrade` of the later version, and empty
        upgrade(Database(url))
    database = restored(file, tmp_path / "new", url)
    with database.begin() as connection:
        assert connection.execute(text("SELECT job, note FROM watermarks")).all() == [("j", "was j")]
        assert [entry.detail for entry in Audit(connection).of("A")] == [{"n": 1}]
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "next"
    with pytest.raises(Exception, match="append-only"), database.begin() as connection:
        connection.execute(text("DELETE FROM audit"))
    database.close()


def test_a_backup_of_a_later_schema_is_refused_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_later_version: Callable[[], None]
) -> None:
    a_later_version()
    file = backed_up(tmp_path / "source", tmp_path / "backup")
    monkeypatch.undo()
    with pytest.raises(RecordsError, match=r"schema 'next'.*written by a newer version"):
        restored(file, tmp_path / "new", None)
    left = [path for path in (tmp_path / "new").rglob("*") if path.is_file() and path.name != "lock"]
    assert left == [], "the folder can be used for something else"
