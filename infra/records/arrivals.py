"""The journal of stored batches, and how far each reader of it (or of anything numbered) has come."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from infra.records.database import serialise
from infra.records.frames import fetch, select_frame
from infra.records.pipeline_tables import arrivals, cursors
from plant.frames import TIME

ARRIVALS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "seq": pl.Int64,  # position in the journal; only grows
    "collector": pl.String,
    "sequence": pl.Int64,  # the collector's own number of the batch
    "equipment": pl.String,
    "earliest": TIME,  # first and last source time in the batch, both included
    "latest": TIME,
}


class Arrivals:
    """What has been stored in the historian, in the order it was stored; on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, collector: str, sequence: int, spans: Iterable[tuple[str, datetime, datetime]]) -> None:
        """Announce a stored batch: (equipment, earliest, latest) for every machine in it. Announcing it
        again changes nothing. Readers never miss one: on PostgreSQL too, numbers become visible in order."""
        rows = [
            {"collector": collector, "sequence": sequence, "equipment": e, "earliest": first, "latest": last}
            for e, first, last in spans
        ]
        if rows:
            serialise(self._connection, "arrivals")
            dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
            self._connection.execute(dialect.insert(arrivals).on_conflict_do_nothing(), rows)

    def after(self, position: int, limit: int = 10_000) -> pl.DataFrame:
        """The next entries (`ARRIVALS`) with seq > position, in order."""
        query = select_frame(arrivals, ARRIVALS).where(arrivals.c.seq > position)
        return fetch(self._connection, query.order_by(arrivals.c.seq).limit(limit), ARRIVALS)

    def last(self) -> int:
        """The newest seq; 0 when the journal is empty."""
        return int(self._connection.execute(select(func.max(arrivals.c.seq))).scalar() or 0)

    def last_sequence(self, collector: str) -> int | None:
        """The highest batch number that collector has announced."""
        query = select(func.max(arrivals.c.sequence)).where(arrivals.c.collector == collector)
        found: int | None = self._connection.execute(query).scalar()
        return found

    def forget(self, up_to: int) -> None:
        """Drop entries with seq <= up_to: what every reader has passed."""
        self._connection.execute(delete(arrivals).where(arrivals.c.seq <= up_to))


class Cursors:
    """Positions of readers by name; on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> int:
        """Where that reader is; 0 when it has never been set."""
        query = select(cursors.c.position).where(cursors.c.name == name)
        return int(self._connection.execute(query).scalar() or 0)

    def set(self, name: str, position: int) -> None:
        """Note it, in the transaction that stores what the reader made of the entries."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(cursors).values(name=name, position=position)
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["name"], set_={"position": position})
        )
