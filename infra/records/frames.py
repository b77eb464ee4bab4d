"""Between records tables and polars frames, in bulk: times cross as the integers they are stored as."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, Connection, Select, Table, column, insert, select, table, type_coerce
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement

from infra.records.database import UtcTime
from plant.frames import TIME

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


def columns(source: Table, schema: Schema) -> list[ColumnElement[Any]]:
    """The table's columns of that schema, times as microseconds."""
    return [
        type_coerce(source.c[name], BigInteger).label(name)
        if isinstance(source.c[name].type, UtcTime)
        else source.c[name]
        for name in schema
    ]


def select_frame(source: Table, schema: Schema) -> Select[Any]:
    """A SELECT whose result `fetch` turns into a frame of that schema."""
    return select(*columns(source, schema))


def fetch(connection: Connection, query: Select[Any], schema: Schema) -> pl.DataFrame:
    """Run a query made by `select_frame`."""
    stored = {name: pl.Int64 if kind == TIME else kind for name, kind in schema.items()}
    rows = connection.execute(query).all()
    frame = pl.DataFrame(rows, schema=stored, orient="row")
    return frame.cast({name: TIME for name, kind in schema.items() if kind == TIME})


def store(connection: Connection, target: Table, frame: pl.DataFrame) -> None:
    """Insert the rows of a frame whose columns are named as the table's."""
    if frame.is_empty():
        return
    times = [name for name, kind in frame.schema.items() if kind == TIME]
    stored = frame.with_columns(pl.col(times).cast(pl.Int64))
    if connection.dialect.name == "postgresql":  # which has no text with a NUL in it
        stored = stored.with_columns(pl.col(pl.String).str.replace_all("\0", "\ufffd", literal=True))
    plain = table(target.name, *[column(name) for name in frame.columns])
    statement = insert(plain).compile(dialect=connection.dialect, column_keys=frame.columns)
    # Straight to the driver: SQLAlchemy would spend more time on each row than the database does.
    if isinstance(statement, SQLCompiler) and statement.positiontup is not None:
        connection.exec_driver_sql(str(statement), stored.select(statement.positiontup).rows())
    else:
        connection.exec_driver_sql(str(statement), stored.to_dicts())
