"""Records tables as frames that any of the databases can take: what a backup holds of them.

Read as they are in the database, whatever its schema revision: whole numbers (times too, microseconds), floats,
truth values, and text, which JSON is kept as.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    cast,
    func,
    select,
    text,
    type_coerce,
)
from sqlalchemy.types import NullType

from infra.backup.archive import BackupError
from infra.records.frames import store

ROWS = 100_000
"""Rows of one frame."""
VERSION = "alembic_version"
_KINDS: tuple[tuple[type, type[pl.DataType]], ...] = (
    (Boolean, pl.Boolean),
    (JSON, pl.String),
    (Integer, pl.Int64),
    (Float, pl.Float64),
    (String, pl.String),
)


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table of a database."""

    rows: int
    last: int | None
    """The number given out last, where the database numbers rows itself and remembers."""


def tables(connection: Connection) -> list[Table]:
    """The tables as they are, referenced ones before those that refer to them; without the schema's revision."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION]


def info(connection: Connection, table: Table) -> TableInfo:
    """How much there is, and how far it was numbered."""
    rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return TableInfo(rows, _last_number(connection, table))


def frames(connection: Connection, table: Table) -> Iterator[pl.DataFrame]:
    """The rows in the order of the primary key, in frames of `ROWS`."""
    schema = {column.name: _kind(table, column) for column in table.columns}
    query = select(*[_portable(connection, column) for column in table.columns]).order_by(*table.primary_key)
    with connection.execution_options(yield_per=ROWS).execute(query) as result:
        for rows in result.partitions():
            plain = [tuple(row) for row in rows]
            stored = {n: pl.Int64 if kind == pl.Boolean else kind for n, kind in schema.items()}
            yield pl.DataFrame(plain, schema=stored, orient="row").cast(schema)  # type: ignore[arg-type]


def fill(connection: Connection, table: Table, rows: pl.DataFrame) -> None:
    """Insert a frame of `frames`."""
    store(connection, table, rows)


def go_on_counting(connection: Connection, table: Table, last: int | None) -> None:
    """Have the database number on after what it holds and what it once gave out."""
    column = _numbered(table)
    if column is None:
        return
    highest: int | None = connection.execute(select(func.max(column))).scalar()  # type: ignore[assignment]
    if last is None and highest is None:
        return
    last = max(last or 0, highest or 0)
    if connection.dialect.name == "postgresql":
        if sequence := _sequence(connection, table, column):
            connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})
    elif _autoincrement(connection, table):
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
        connection.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"),
            {"name": table.name, "last": last},
        )


def infos(said: Mapping[str, Mapping[str, int | None]]) -> dict[str, TableInfo]:
    """From the manifest of a backup."""
    return {name: TableInfo(int(values["rows"] or 0), values["last"]) for name, values in said.items()}


def _kind(table: Table, column: "Column[object]") -> type[pl.DataType]:
    for kind, dtype in _KINDS:
        if isinstance(column.type, kind):
            return dtype
    raise BackupError(
        f"the records table {table.name} has a column {column.name} of type {column.type}, which is not Lineside's: "
        "give Lineside a database of its own"
    )


def _portable(connection: Connection, column: "Column[object]") -> "Column[object]":
    if connection.dialect.name == "postgresql" and isinstance(column.type, JSON):
        return cast(column, Text).label(column.name)  # type: ignore[return-value]
    if connection.dialect.name == "postgresql" and isinstance(column.type, Boolean):
        return cast(column, Integer).label(column.name)  # type: ignore[return-value]
    return type_coerce(column, NullType()).label(column.name)  # type: ignore[return-value]


def _numbered(table: Table) -> "Column[object] | None":
    """The column the database numbers by itself, if it may be one."""
    key = list(table.primary_key)
    return key[0] if len(key) == 1 and isinstance(key[0].type, Integer) else None


def _last_number(connection: Connection, table: Table) -> int | None:
    column = _numbered(table)
    if column is None:
        return None
    if connection.dialect.name == "postgresql":
        sequence = _sequence(connection, table, column)
        if sequence is None:
            return None
        row = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()
        return int(row.last_value) if row.is_called else None
    if not _autoincrement(connection, table):
        return None
    query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    found = connection.execute(query, {"name": table.name}).scalar()
    return None if found is None else int(found)


def _sequence(connection: Connection, table: Table, column: "Column[object]") -> str | None:
    quoted = connection.dialect.identifier_preparer.quote(table.name)
    query = text("SELECT pg_get_serial_sequence(:table, :column)")
    found: str | None = connection.execute(query, {"table": quoted, "column": column.name}).scalar()
    return found


def _autoincrement(connection: Connection, table: Table) -> bool:
    query = text("SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE type = 'table' AND name = :name")
    return bool(connection.execute(query, {"name": table.name}).scalar())


def encoded(rows: pl.DataFrame) -> memoryview:
    """As the Parquet file it is in a backup."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd")
    return buffer.getbuffer()
