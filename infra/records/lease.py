"""A leader lease: of several processes one leads, and another takes over when it is gone.

The lease is a row that expires by the database's own clock, so the processes' clocks need not agree.
"""

from datetime import timedelta

from sqlalchemy import BigInteger, Connection, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from infra.records.admin_tables import leases
from infra.records.database import EPOCH, MICROSECOND, Database

_CLOCK = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
}


class Lease:
    """One candidate for one lease. Call `hold` more often than the lease's length."""

    def __init__(self, database: Database, name: str, holder: str, length: timedelta) -> None:
        """
        Args:
            name: what is led, e.g. "engine".
            holder: unique to this process, e.g. host and process id.
            length: how long the others wait after the leader's last sign of life.
        """
        self._database = database
        self._name = name
        self._holder = holder
        self._length = length

    def hold(self) -> int | None:
        """Take the lease, or prolong it.

        Returns:
            The token of this reign, larger than any before, for fencing off a leader that overslept;
            None while somebody else leads.
        """
        with self._database.begin() as connection:
            clock = _clock(connection)
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            first = dialect.insert(leases).values(name=self._name, holder="", expires=EPOCH, token=0)
            connection.execute(first.on_conflict_do_nothing())
            query = select(leases.c.holder, leases.c.expires, leases.c.token, clock).where(
                leases.c.name == self._name
            )
            row = connection.execute(query.with_for_update()).one()
            now = EPOCH + row.now * MICROSECOND
            alive = row.expires > now
            if alive and row.holder != self._holder:
                return None
            token = int(row.token) if alive else int(row.token) + 1
            connection.execute(
                update(leases)
                .where(leases.c.name == self._name)
                .values(holder=self._holder, expires=now + self._length, token=token)
            )
            return token

    def holder(self) -> str | None:
        """Who leads now, for the message of the one that may not; None when nobody does."""
        with self._database.read() as connection:
            clock = _clock(connection)
            query = select(leases.c.holder, leases.c.expires, clock).where(leases.c.name == self._name)
            row = connection.execute(query).one_or_none()
            return row.holder if row is not None and row.expires > EPOCH + row.now * MICROSECOND else None

    def release(self) -> None:
        """Let the next one lead at once. Does nothing when somebody else leads."""
        with self._database.begin() as connection:
            mine = leases.c.name == self._name, leases.c.holder == self._holder
            connection.execute(update(leases).where(*mine).values(expires=EPOCH))


def _clock(connection: Connection) -> ColumnElement[int]:
    clock: ColumnElement[int] = literal_column(_CLOCK[connection.dialect.name], BigInteger)
    return clock.label("now")
