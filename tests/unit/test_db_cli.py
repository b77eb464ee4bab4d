"""`lineside db`: what it says about a records database, and bringing it up to date."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from infra.cli import app
from infra.records.audit import Audit
from infra.records.database import Database, newest_schema
from infra.records.jobs import Watermarks
from infra.records.status import BACKUP

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]
PLANT = """schema = 1
[site]
id = "p"
name = "P"
zone = "Europe/Berlin"
[records]
url = { env = "RECORDS_URL" }
"""


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["db", *arguments])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture(params=KINDS)
def where(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    records_url: Callable[..., str],
) -> tuple[list[str], str]:
    """Arguments that lead to an empty database, and its URL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'records.sqlite'}"
        with Database(url).begin():
            pass
        return ["--data", str(tmp_path)], url
    url = records_url("postgresql", migrated=False)
    monkeypatch.setenv("RECORDS_URL", url)
    (tmp_path / "plant.toml").write_text(PLANT)
    return [str(tmp_path / "plant.toml"), "--data", str(tmp_path)], url


def test_an_empty_database_needs_an_upgrade_and_gets_it_once(where: tuple[list[str], str]) -> None:
    arguments, url = where
    code, said = run("status", *arguments)
    assert code == 1 and f"none; this version has {newest_schema()}: run `lineside db upgrade`" in said
    assert run("upgrade", *arguments)[1].endswith(f"upgraded from empty to schema {newest_schema()}")
    assert run("upgrade", *arguments)[1].endswith("nothing to do")
    database = Database(url)
    at = datetime(2026, 3, 1, 6, tzinfo=UTC)
    with database.begin() as connection:
        Audit(connection).add(at, "ben", "order.start", "A")
        Watermarks(connection).set(BACKUP, at)
    code, said = run("status", *arguments)
    assert code == 0 and "last backup 2026-03-01 06:00 UTC" in said and "rows of audit 1" in said
    found = json.loads(run("status", "--json", *arguments)[1])
    assert found["rows"]["audit"] == 1 and found["schema"] == found["newest"] and found["bytes"] > 50_000
    assert found["server"].startswith("SQLite 3" if database.is_sqlite else "PostgreSQL 1")
    assert "lineside-test" not in json.dumps(found), "no password"


def test_a_newer_database_is_refused(where: tuple[list[str], str]) -> None:
    arguments, url = where
    run("upgrade", *arguments)
    with Database(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert run("status", *arguments)[0] == 1
    code, said = run("upgrade", *arguments)
    assert code == 1 and "written by a newer version" in said


def test_nothing_there_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    code, said = run("status", "--data", str(tmp_path / "none"))
    assert code == 1 and "there are no records in" in said
    assert not (tmp_path / "none").exists()


def test_a_server_that_is_away_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plant.toml").write_text(PLANT)
    monkeypatch.setenv("RECORDS_URL", "postgresql://me:secret@127.0.0.1:1/x")
    for command in ("status", "upgrade"):
        code, said = run(command, str(tmp_path / "plant.toml"), "--data", str(tmp_path))
        assert code == 1 and "start the server or correct host and port" in said and "secret" not in said
