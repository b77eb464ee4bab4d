"""The records database: SQLite (WAL) on one machine, PostgreSQL for a site, through SQLAlchemy Core.

Writers are serialised: `begin()` takes the write lock at once, so what it reads is still true when it
writes. Times are stored as integer microseconds since 1970-01-01 UTC, so that both databases hold and
compare them alike, to the microsecond.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import OperationalError
from time import monotonic, sleep
from typing import Any
from zlib import crc32

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Connection, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator

from infra import migrations

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BUSY_SECONDS = 30.0
"""How long a SQLite writer waits for another one before it gives up with an error."""
_POSTGRES = {
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "tcp_user_timeout": "20000",
    "application_name": "lineside",
}
"""Unless the URL says otherwise. A server that has vanished is noticed within seconds, not within hours."""


class RecordsError(Exception):
    """The records database cannot be used; the message says why and what to do."""


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since the epoch (64 bit), read back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Microseconds. Raises ValueError on a time without a zone: which instant it means is a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone; records hold UTC")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """The instant, in UTC."""
        return None if value is None else EPOCH + int(value) * MICROSECOND


class Database:
    """One records database. Thread-safe; every `begin` or `read` uses a connection of its own.

    A server that has been away is connected to again by the next `begin` or `read`.
    """

    def __init__(self, url: str) -> None:
        """Opens nothing yet.

        Args:
            url: `sqlite:///relative.db`, `sqlite:////absolute/path.db` or `postgresql://user:password@host/name`.
        Raises:
            RecordsError: the URL is not one of these, or the file's folder does not exist.
        """
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise RecordsError(
                "the records url is not a database URL, e.g. postgresql://user@host/name"
            ) from error
        self.name = parsed.render_as_string(hide_password=True)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise RecordsError(f"records url {url!r} names no file; write e.g. sqlite:///records.db")
            folder = Path(parsed.database).parent
            if not folder.is_dir():
                raise RecordsError(f"records url {self.name}: the folder {folder} does not exist; create it")
            self._engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
            _make_sqlite_serialisable(self._engine)
        elif parsed.get_backend_name() == "postgresql":
            self._engine = create_engine(_with_driver(parsed), pool_pre_ping=True)
        else:
            raise RecordsError(f"records url {self.name}: only sqlite and postgresql are supported")

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Raises RecordsError: the database is not there. If that was while committing, nobody can say whether it was.
        """
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot to read from; never waits for a writer, and refuses to write.

        Raises RecordsError: the database is not there.
        """
        with self._explained(), self._engine.connect() as connection:
            if self.is_sqlite:
                connection = connection.execution_options(lineside_read=True)
            else:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # Without a statement it failed to connect or to commit; with one, the statement is what is wrong.
            if error.statement is not None and not error.connection_invalidated:
                raise
            raise RecordsError(_advice(self.name, self.is_sqlite, str(error.orig))) from error
        except PoolTimeout as error:
            why = (
                "all connections are in use; it goes on when one is free. If that stays so, restart Lineside"
            )
            raise RecordsError(f"the records database {self.name}: {why}") from error


def serialise(connection: Connection, what: str) -> None:
    """Let only one transaction at a time go on past here for the same `what`, until it ends.

    On SQLite every write transaction is alone already; on PostgreSQL this is an advisory lock.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": crc32(what.encode())})


def alembic_config() -> Config:
    """Where the migrations are, wherever the package is installed."""
    config = Config()
    folder = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "rev_%%(rev)s_%%(slug)s")
    return config


def newest_schema() -> str:
    """The schema revision of this version of Lineside."""
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


def schema_of(connection: Connection) -> str | None:
    """The schema revision a database has; None: it has never been upgraded."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to this version, in one transaction; nothing to do when it is there already.

    Returns: the revision it had and the one it has now.

    Raises:
        RecordsError: the database is not there, or was written by a newer Lineside. It is left as it is.
    """
    with database.begin() as connection:
        return migrate(connection, database.name)


def migrate(connection: Connection, name: str, to: str = "head") -> tuple[str | None, str]:
    """`upgrade` inside a transaction of the caller, to the newest or that revision."""
    config = alembic_config()
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    serialise(connection, "migrations")
    current = schema_of(connection)
    for revision in (current, to):
        if revision not in {None, "head", *known}:
            raise RecordsError(
                f"the records database {name} has schema {revision!r}, which this version of "
                f"Lineside does not know (it knows {', '.join(sorted(known))}): it was written by a newer "
                "version. Start that version, or restore the backup made before it was upgraded."
            )
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    return current, str(schema_of(connection))


def forget_schema(connection: Connection) -> None:
    """Take every table of Lineside away, in the caller's transaction: for an empty database only."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


def _with_driver(url: URL) -> URL:
    """The URL with the driver we have (psycopg 3) and our connection settings where it has none of its own."""
    settings = {name: value for name, value in _POSTGRES.items() if name not in url.query}
    return url.set(drivername="postgresql+psycopg").update_query_dict(settings)


def _advice(name: str, is_sqlite: bool, said: str) -> str:
    """One sentence about a database that cannot be had, and what to do."""
    if is_sqlite:
        fix = "check that the file is there and this user may write it and its folder, and that the disk has room"
    elif "authentication failed" in said or "no password" in said or "role " in said:
        fix = "correct user and password in the url of [records], or in the variable it names"
    elif "database " in said and "does not exist" in said:
        fix = "create it (createdb NAME), or correct the url of [records]"
    elif "pg_hba.conf" in said:
        fix = "allow this machine in the server's pg_hba.conf"
    elif "too many" in said or "remaining connection slots" in said:
        fix = "raise max_connections of the server, or stop what else uses it"
    elif "resolve host" in said or "Name or service not known" in said:
        fix = "correct the host in the url of [records]"
    else:
        fix = "start the server or correct host and port; a running plant goes on by itself when it is back"
    # psycopg lists every address it tried; the last line says it as well as all of them.
    why = " ".join((said.strip().splitlines() or ["it does not answer"])[0].split())
    return f"the records database {name} cannot be used ({why}): {fix}"


def _make_sqlite_serialisable(engine: Engine) -> None:
    """Take transactions out of the sqlite3 module's hands: it would begin late and commit early."""

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _: object) -> None:
        raw.isolation_level = None
        raw.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        _write_ahead(raw)
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        reading = bool(connection.get_execution_options().get("lineside_read"))
        connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reading else 'OFF'}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _write_ahead(raw: Any) -> None:
    """Switch the file to WAL, once for ever. SQLite does not wait by itself here when two do it at once."""
    patience = monotonic() + BUSY_SECONDS
    while raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except OperationalError:
            if monotonic() > patience:
                raise
            sleep(0.01)
