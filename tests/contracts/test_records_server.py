"""A records database on a server: away, back, and set up wrongly."""

import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from signal import SIGKILL

import polars as pl
import pytest
from sqlalchemy.engine import make_url

from infra.postgres.server import PostgresServer
from infra.records.arrivals import Cursors
from infra.records.audit import Audit
from infra.records.database import Database, RecordsError
from infra.records.frames import store
from infra.records.pipeline_tables import cursors

pytestmark = pytest.mark.server
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong"}, "password authentication failed.*correct user and password in the url"),
        ({"username": "nobody"}, "correct user and password in the url"),
        ({"database": "none"}, 'database "none" does not exist.*create it'),
        ({"host": "no-such-host.invalid"}, "correct the host"),
        ({"port": "closed"}, "[Cc]onnection refused.*start the server or correct host and port"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_cure(
    postgres: PostgresServer, change: dict[str, str], says: str
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        port = {"port": held.getsockname()[1]} if "port" in change else {}
        url = make_url(postgres.url("migrated")).set(**{**change, **port})  # type: ignore[arg-type]
        database = Database(url.render_as_string(hide_password=False))
        for transaction in (database.begin, database.read):
            with pytest.raises(RecordsError) as caught, transaction():
                pass
            message = str(caught.value)
            assert re.search(says, message), message
            assert "\n" not in message and str(url.password) not in message


def test_a_database_that_comes_back_is_used_again(
    postgres: PostgresServer, records_url: Callable[..., str]
) -> None:
    database = Database(records_url("postgresql"))
    with database.begin() as connection:
        Cursors(connection).set("derive", 1)
    try:
        with pytest.raises(RecordsError, match="goes on by itself"), database.begin() as connection:
            Audit(connection).add(NOW, "ben", "order.start", "A")
            postgres.stop(SIGKILL)
            Cursors(connection).set("derive", 2)
        with pytest.raises(RecordsError), database.read():
            pass
    finally:
        postgres.start()
    with database.begin() as connection:
        assert Cursors(connection).get("derive") == 1
        assert Audit(connection).of("A") == [], "what was not committed is not there"
        Cursors(connection).set("derive", 3)
    database.close()


def test_a_restarted_server_is_not_noticed_by_who_did_not_use_it_meanwhile(
    postgres: PostgresServer, records_url: Callable[..., str]
) -> None:
    database = Database(records_url("postgresql"))
    with database.begin() as connection:
        Cursors(connection).set("derive", 1)
    postgres.stop(SIGKILL)
    postgres.start()
    with database.begin() as connection:
        assert Cursors(connection).get("derive") == 1
    database.close()


def test_a_server_that_is_gone_before_the_commit_has_nothing_and_says_so(
    postgres: PostgresServer, records_url: Callable[..., str]
) -> None:
    database = Database(records_url("postgresql"))
    try:
        with pytest.raises(RecordsError), database.begin() as connection:
            Cursors(connection).set("derive", 2)
            postgres.stop(SIGKILL)
    finally:
        postgres.start()
    with database.read() as connection:
        assert Cursors(connection).get("derive") == 0
    database.close()


def test_text_a_server_cannot_hold_is_stored_without_it(records_url: Callable[..., str]) -> None:

    database = Database(records_url("postgresql"))
    with database.begin() as connection:
        store(connection, cursors, pl.DataFrame({"name": ["a\0b"], "position": [1]}))
        assert Cursors(connection).get("a\ufffdb") == 1
    database.close()
