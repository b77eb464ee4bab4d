"""What there is to say about a records database without changing it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, table, text

from infra.records.database import Database, newest_schema, schema_of
from infra.records.jobs import Watermarks

BACKUP = "backup"
"""The watermark that says as of when the last backup is."""


@dataclass(frozen=True, slots=True)
class RecordsStatus:
    """A records database as it is."""

    name: str
    """Its URL, without the password."""
    server: str
    """Kind and version."""
    schema: str | None
    """Its schema revision; None: it is empty."""
    newest: str
    """The schema revision of this version of Lineside."""
    bytes: int
    rows: dict[str, int]
    """Per table."""
    backed_up: datetime | None
    """As of when the last backup is; None: no backup is known."""

    @property
    def current(self) -> bool:
        """Whether no upgrade is needed."""
        return self.schema == self.newest


def status(database: Database) -> RecordsStatus:
    """Ask it. Raises RecordsError."""
    with database.read() as connection:
        tables = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        count = select(func.count())
        return RecordsStatus(
            name=database.name,
            server=_server(connection),
            schema=schema_of(connection),
            newest=newest_schema(),
            bytes=_size(connection),
            rows={name: connection.execute(count.select_from(table(name))).scalar_one() for name in tables},
            backed_up=Watermarks(connection).get(BACKUP) if "watermarks" in tables else None,
        )


def _server(connection: Connection) -> str:
    if connection.dialect.name == "postgresql":
        return f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar()}"
    return f"SQLite {connection.execute(text('SELECT sqlite_version()')).scalar()}"


def _size(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    file = Path(str(connection.engine.url.database))
    return sum(p.stat().st_size for p in (file, file.with_name(file.name + "-wal")) if p.exists())
