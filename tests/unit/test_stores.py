"""The plant file chooses the stores: what it may say, what is opened, what doctor and derive do with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy

from infra.cli.derive import run as derive
from infra.cli.doctor import run as doctor
from infra.cli.doctor import stores as asked
from infra.folder import DataFolder
from infra.historians.influx import InfluxHistorian, InfluxSettings
from infra.historians.influx.options import settings
from infra.historians.parquet import ParquetHistorian
from infra.plantfile import load, with_secrets
from infra.records.database import upgrade
from infra.stores import open_database, open_historian
from pipelines.ports import HistorianError
from plant.frames import SAMPLES
from plant.model import HistorianConfig, Plant, RecordsConfig, SpoolConfig
from plant.parse import PlantError, PlantErrors

HEAD = """
schema = 1
[site]
id = "s"
name = "Site"
zone = "UTC"
[[equipment]]
id = "lathe"
name = "Lathe"
level = "WorkUnit"
[[signal]]
equipment = "lathe"
id = "state"
role = "state"
states = { ACTIVE = "running" }
"""
INFLUX = """
[historian]
kind = "influxdb"
keep = "3650d"
url = "http://127.0.0.1:9"
bucket = "plant/raw"
org = "works"
token = { env = "INFLUX_TOKEN" }
timeout = "5s"
gzip = true
in_flight = 4
"""
SECRETS = {"INFLUX_TOKEN": "t0ken"}


def plant(tmp_path: Path, text: str) -> Plant:
    path = tmp_path / "plant.toml"
    path.write_text(HEAD + text)
    return load(path)


def errors(tmp_path: Path, text: str) -> list[PlantError]:
    with pytest.raises(PlantErrors) as caught:
        plant(tmp_path, text)
    return caught.value.errors


def influx(**options: object) -> InfluxSettings:
    given = {"url": "http://h:8086", "bucket": "plant", **options}
    return settings(HistorianConfig(kind="influxdb", options=given))


def test_a_plant_that_says_nothing_has_its_stores_in_the_data_folder(tmp_path: Path) -> None:
    found = with_secrets(plant(tmp_path, ""), {})
    assert (found.historian, found.records, found.spool) == (
        HistorianConfig(),
        RecordsConfig(),
        SpoolConfig(),
    )
    with DataFolder(tmp_path / "data") as folder:
        historian, database = open_historian(found, folder), open_database(found, folder)
        assert isinstance(historian, ParquetHistorian)
        upgrade(database)
        assert folder.records.is_file()
        database.close()


def test_everything_about_the_stores_is_read(tmp_path: Path) -> None:
    text = INFLUX + '[records]\nurl = { env = "PG" }\n[spool]\nmax_size = "500MB"\nmax_age = "36h"\n'
    found = with_secrets(plant(tmp_path, text), {**SECRETS, "PG": "postgresql://mes:pw@db/lineside"})
    assert (found.historian.kind, found.historian.keep) == ("influxdb", timedelta(days=3650))
    assert settings(found.historian) == InfluxSettings(
        url="http://127.0.0.1:9",
        bucket="plant/raw",
        org="works",
        token="t0ken",
        user="token",
        password="t0ken",
        timeout=5.0,
        gzip=True,
        in_flight=4,
    )
    assert found.spool == SpoolConfig(max_bytes=500_000_000, max_age=timedelta(hours=36))
    folder = DataFolder(tmp_path)
    historian, database = open_historian(found, folder), open_database(found, folder)
    assert isinstance(historian, InfluxHistorian)
    assert database.name == "postgresql://mes:***@db/lineside"
    historian.close()
    database.close()


def test_forever_is_no_end(tmp_path: Path) -> None:
    assert plant(tmp_path, '[historian]\nkeep = "forever"\n').historian.keep is None


def test_a_user_and_a_password_are_the_token_of_influxdb_1() -> None:
    found = influx(user="mes", password="pw:1")
    assert (found.token, found.user, found.password) == ("mes:pw:1", "mes", "pw:1")
    assert (influx().token, influx().user) == ("", "")  # an open server
    both = influx(token="t", user="mes", password="pw")
    assert (both.token, both.user, both.password) == ("t", "mes", "pw")


MISTAKES = [
    ('[historian]\nkind = "influx"', "historian.kind", '"influx" is not known', '"influxdb"?'),
    ("[historian]\nkind = 1", "historian.kind", "not text", "quotes"),
    ('[historian]\nurl = "http://h"', "historian.url", '"url" for parquet', "remove"),
    ('[historian]\nkeep = "12h"', "historian.keep", "less than a day", "400d"),
    ('[historian]\nkeep = "200000d"', "historian.keep", "longer than 100 years", "number and a unit"),
    ('[historian]\nkeep = "always"', "historian.keep", "not a duration", "number and a unit"),
    (INFLUX.replace("in_flight = 4", "in_flight = 0"), "historian.in_flight", "0 does not do", "1 to 16"),
    (INFLUX.replace("in_flight", "inflight"), "historian.inflight", "unknown option", '"in_flight"?'),
    (INFLUX.replace("gzip = true", "gzip = 1"), "historian.gzip", "does not do", "true or false"),
    (INFLUX.replace('"5s"', '"0s"'), "historian.timeout", "does not do", "longer than 0"),
    (INFLUX.replace("http://", "influx://"), "historian.url", "does not do", "http://host:8086"),
    (INFLUX.replace("http://", "http://u:p@"), "historian.url", "does not do", '"user"'),
    (INFLUX.replace(":9", ":99999"), "historian.url", "does not do", "http://host:8086"),
    (INFLUX.replace("plant/raw", "a/b/c"), "historian.bucket", "does not do", "retention-policy"),
    (INFLUX.replace('bucket = "plant/raw"', ""), "historian", '"bucket" is missing', "Correct"),
    (INFLUX.replace("token", "user"), "historian.user", "goes together", "both"),
    (INFLUX.replace("env", "variable"), "historian.token", "does not do", "text"),
    (INFLUX.replace('env = "INFLUX_TOKEN"', "env = 1"), "historian.token", "not a secret", "env"),
    ('[records]\nurl = "mysql://h/x"', "records.url", "mysql", "postgresql://"),
    ('[records]\nurl = "postgresql+asyncpg://h/x"', "records.url", "not supported", "postgresql://"),
    ('[records]\nurl = "records.db"', "records.url", "not the address", "postgresql://"),
    ('[records]\nurl = "postgresql://h"', "records.url", "no database", "postgresql://"),
    ("[records]\nurl = 5", "records.url", "not text", "quotes"),
    ('[records]\nurl = { env = "A", or = "b" }', "records.url", "not a secret", "env"),
    ('[records]\nurl = { name = "A" }', "records.url", "not a text", "env"),
    ('[spool]\nmax_size = "1MB"', "spool.max_size", "too small", "10MB"),
    ("[spool]\nmax_size = 4", "spool.max_size", "not a size", "4GB"),
    ('[spool]\nmax_age = "5min"', "spool.max_age", "too short", "1h"),
    ('[spool]\nmaxage = "5d"', "spool.maxage", "unknown key", '"max_age"?'),
    ("historian = 5\n", "historian", "not a table", "[historian]"),
]


@pytest.mark.parametrize(("text", "path", "problem", "fix"), MISTAKES)
def test_a_mistake_is_named_with_its_place_and_a_fix(
    tmp_path: Path, text: str, path: str, problem: str, fix: str
) -> None:
    if text.startswith("historian"):
        main = tmp_path / "plant.toml"
        main.write_text(text + HEAD)
        with pytest.raises(PlantErrors) as caught:
            load(main)
        found = caught.value.errors
    else:
        found = errors(tmp_path, text)
    assert found[0].path == path
    assert problem in found[0].problem
    assert fix in found[0].fix


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = '[historian]\nkind = "influxdb"\nkeep = "1s"\n[records]\nurl = "x"\n[spool]\nmax_age = "1s"\n'
    found = [e.path for e in errors(tmp_path, text)]
    assert found == ["historian", "historian", "historian.keep", "records.url", "spool.max_age"]


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG", "postgres://mes:hunter2@db/lineside")
    (found,) = errors(tmp_path, '[records]\nurl = { env = "PG" }\n')
    assert found.path == "records.url"
    assert "hunter2" not in str(found)


def test_a_plant_file_is_checked_where_its_secrets_are_not_set(tmp_path: Path) -> None:
    hidden = INFLUX.replace('"http://127.0.0.1:9"', '{ env = "INFLUX_URL" }')
    found = plant(tmp_path, hidden + '[records]\nurl = { env = "PG" }\n')
    with pytest.raises(PlantErrors) as caught:
        with_secrets(found, {})
    assert [e.path for e in caught.value.errors] == ["historian: url", "historian: token", "records: url"]
    with pytest.raises(HistorianError, match="influx://x"):
        given = {**SECRETS, "PG": "postgresql://h/x", "INFLUX_URL": "influx://x"}
        open_historian(with_secrets(found, given), DataFolder(tmp_path))


def test_doctor_asks_both_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plant.toml"
    records = '[records]\nurl = "postgresql://mes@127.0.0.1:9/x"\n'
    path.write_text(HEAD + INFLUX + records)
    assert doctor(path, tmp_path / "data", 0, json=False) == 1
    assert "INFLUX_TOKEN is not set" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setenv("INFLUX_TOKEN", "t")
    found = {f.what: f for f in asked(with_secrets(load(path)), DataFolder(tmp_path / "data"))}
    assert not found["historian"].ok
    assert "http://127.0.0.1:9" in found["historian"].detail
    assert not found["records"].ok
    assert "start the server or correct host" in found["records"].detail


def test_doctor_is_content_with_stores_that_are_well_and_makes_none(tmp_path: Path) -> None:
    found = plant(tmp_path, "")
    folder = DataFolder(tmp_path / "data")
    assert list(asked(found, folder)) == []
    assert not folder.root.exists()
    with folder:
        database = open_database(found, folder)
        with database.begin() as connection:  # a file with nothing in it yet
            connection.execute(sqlalchemy.text("CREATE TABLE something (id INTEGER)"))
        (records,) = (f for f in asked(found, folder) if f.what == "records")
        assert not records.ok
        assert "`lineside db upgrade`" in records.detail
        upgrade(database)
        database.close()
        assert [(f.what, f.ok) for f in asked(found, folder)] == [
            ("historian", True),
            ("records", True),
        ]


def test_derive_reads_the_historian_of_the_plant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUX_TOKEN", "t")
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [(noon, "lathe", "state", None, "ACTIVE", 0, noon)]
    with DataFolder(tmp_path / "data") as folder:
        open_historian(plant(tmp_path, ""), folder).write(
            pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")
        )
    window = ("2026-03-01T11:00", "2026-03-01T13:00")
    path = tmp_path / "plant.toml"

    def run() -> int:
        return derive(path, [], None, *window, "equipment", False, None, tmp_path / "data")

    assert run() == 0
    assert "lathe" in capsys.readouterr().out
    path.write_text(HEAD + INFLUX)
    assert run() == 1
    assert "http://127.0.0.1:9" in capsys.readouterr().err
