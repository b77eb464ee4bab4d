"""`lineside provision` on a real InfluxDB 1.6 and a real PostgreSQL."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy.engine import make_url

from infra.cli.provision import run
from infra.historians.influx import InfluxHistorian
from infra.historians.influx.provisioning import Admin, Provisioned, ProvisionError, provision
from infra.influxdb.server import InfluxServer, starting
from infra.postgres.server import PostgresServer
from infra.records.database import Database, RecordsError, upgrade
from infra.records.provisioning import provision as create
from plant.frames import SAMPLES, Window

pytestmark = pytest.mark.server

DAY = timedelta(days=1)
ADMIN = Admin(user='the "boss"', password="it's \\ secret")
AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """An InfluxDB that nobody has ever signed in to."""
    with starting(tmp_path_factory.mktemp("influx")) as server:
        yield server


def steps(done: Provisioned) -> list[tuple[str, str]]:
    return [(step.state, step.what) for step in done.steps]


def test_a_fresh_server_gets_all_and_a_second_time_nothing(server: InfluxServer) -> None:
    settings = replace(
        server.settings, bucket="plant/raw", user="mes", password="pass-word", token="mes:pass-word"
    )
    with pytest.raises(ProvisionError, match="no users yet: say who its administrator shall be"):
        provision(settings, DAY, Admin())
    done = provision(settings, 30 * DAY, ADMIN)
    assert done.server.startswith("InfluxDB 1.6")
    assert steps(done) == [
        ("created", 'administrator the "boss", the server\'s first user'),
        ("created", "database plant, retention policy raw: kept 30 days"),
        ("created", "user mes"),
        ("created", "rights of mes on plant"),
    ]
    assert {step.state for step in provision(settings, 30 * DAY, ADMIN).steps} == {"there"}
    historian = InfluxHistorian(settings)
    rows = [(AT, "lathe", "good", 1.0, None, 0, AT)]
    historian.write(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))
    assert historian.read(Window(AT, AT + DAY)).height == 1
    assert historian.health().ok
    for keep, before, after in (
        (DAY, "30 days", "1 day"),
        (None, "1 day", "for ever"),
        (400 * DAY, "for ever", "400 days"),
    ):
        changed = ("changed", f"retention policy raw: kept {after}, before {before}")
        assert changed in steps(provision(settings, keep, ADMIN))
    historian.close()


def test_what_is_there_already_is_used(server: InfluxServer) -> None:
    own = replace(server.settings, bucket="shared", user="first", password="first-pw")
    provision(own, None, ADMIN)
    assert steps(provision(replace(own, bucket="shared/raw"), DAY, ADMIN)) == [
        ("there", "database shared"),
        ("created", "retention policy raw: kept 1 day"),
        ("there", "user first"),
        ("there", "rights of first on shared"),
    ]
    # The default policy is found by being the default, whatever its name.
    assert ("changed", "retention policy autogen: kept 2 days, before for ever") in steps(
        provision(own, 2 * DAY, ADMIN)
    )
    second = replace(own, user="second", password="second-pw")
    assert steps(provision(second, 2 * DAY, ADMIN))[2:] == [
        ("created", "user second"),
        ("created", "rights of second on shared"),
    ]


def test_nothing_is_taken_from_anybody(server: InfluxServer) -> None:
    settings = replace(server.settings, bucket="plant", user="mine", password="mine-pw")
    provision(settings, None, ADMIN)
    with pytest.raises(ProvisionError, match="user mine with another password"):
        provision(replace(settings, password="other-pw"), None, ADMIN)
    with pytest.raises(ProvisionError, match="Give an administrator with --admin-user") as caught:
        provision(settings, None, Admin(user=ADMIN.user, password="wrong"))
    assert "wrong" not in str(caught.value)
    with pytest.raises(ProvisionError, match="Give an administrator"):
        provision(settings, None, Admin())
    with pytest.raises(ProvisionError, match="write user and password"):
        provision(replace(settings, user="token", password="t"), None, ADMIN)


def test_the_command_provisions_both_stores(
    server: InfluxServer,
    records_url: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    provision(replace(server.settings, bucket="any"), None, ADMIN)
    monkeypatch.setenv("LINESIDE_INFLUX_ADMIN_PASSWORD", ADMIN.password)
    monkeypatch.setenv("MES_PASSWORD", "pw")
    monkeypatch.setenv("MES_RECORDS", records_url("postgresql", migrated=False))
    path = tmp_path / "plant.toml"
    path.write_text(
        'schema = 1\n[site]\nid = "s"\nname = "Site"\nzone = "UTC"\n'
        f'[historian]\nkind = "influxdb"\nurl = "{server.url}"\nbucket = "works"\n'
        'user = "command"\npassword = { env = "MES_PASSWORD" }\n[records]\nurl = { env = "MES_RECORDS" }\n'
    )
    assert run(path, tmp_path, ADMIN.user) == 0
    out = capsys.readouterr().out
    assert "created  database works, retention policy autogen: kept 400 days" in out
    assert "created  schema " in out
    assert run(path, tmp_path, ADMIN.user) == 0
    assert "created" not in capsys.readouterr().out


def test_user_and_database_are_created_with_an_administrators_url(postgres: PostgresServer) -> None:
    wanted = make_url(postgres.url()).set(username='me "s"', password="p'w", database="wor ks")
    url = wanted.render_as_string(hide_password=False)
    assert create(url, postgres.url()) == [("created", 'user me "s"'), ("created", "database wor ks")]
    assert create(url, postgres.url()) == [("there", 'user me "s"'), ("there", "database wor ks")]
    database = Database(url)
    assert upgrade(database)[0] is None
    database.close()
    with pytest.raises(RecordsError, match="correct LINESIDE_POSTGRES_ADMIN_URL") as caught:
        create(url, make_url(postgres.url()).set(password="hunter2").render_as_string(hide_password=False))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(RecordsError, match="no password: user new"):
        create("postgresql://new@127.0.0.1/new", postgres.url())
