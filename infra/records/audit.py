"""The audit trail: who did what to which thing, and when. The database refuses to change or delete it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from infra.records.admin_tables import audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing somebody did."""

    at: datetime
    user: str
    action: str
    """Noun and verb: order.start, recode.add, plant.reload..."""
    subject: str
    """Id of the thing it was done to."""
    detail: Mapping[str, object]


class Audit:
    """Append-only, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, at: datetime, user: str, action: str, subject: str, detail: Mapping[str, object] | None = None
    ) -> None:
        """Note it, in the transaction of what was done. `detail` must be JSON."""
        values = {"at": at, "user": user, "action": action, "subject": subject, "detail": dict(detail or {})}
        self._connection.execute(insert(audit).values(values))

    def of(self, subject: str, limit: int = 1000) -> list[AuditEntry]:
        """The latest entries about one thing, oldest first."""
        query = select(audit).where(audit.c.subject == subject).order_by(audit.c.id.desc()).limit(limit)
        rows = self._connection.execute(query).all()
        return [AuditEntry(row.at, row.user, row.action, row.subject, row.detail) for row in rows[::-1]]
