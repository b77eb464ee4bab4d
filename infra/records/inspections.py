"""Inspections people recorded. Append-only: the database refuses to change or delete an entry."""

from sqlalchemy import Connection, insert, select

from analytics.spc.inspections import Inspection
from infra.records.spc_tables import inspections
from plant.frames import Window


class Inspections:
    """On one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, equipment: str, entry: Inspection) -> int:
        """Keep an entry; its number."""
        values = {name: getattr(entry, name) for name in _COLUMNS}
        kept = self._connection.execute(
            insert(inspections).values({**values, "values": list(entry.values), "equipment": equipment})
        )
        assert kept.inserted_primary_key is not None
        return int(kept.inserted_primary_key[0])

    def of(self, window: Window, equipment: str) -> list[Inspection]:
        """Entries about samples taken in the window, in the order they were entered."""
        query = select(inspections.c.id, *(inspections.c[name] for name in _COLUMNS)).where(
            inspections.c.equipment == equipment,
            inspections.c.time >= window.start,
            inspections.c.time < window.end,
        )
        rows = self._connection.execute(query.order_by(inspections.c.id)).mappings()
        return [
            Inspection(number=row["id"], **{**{n: row[n] for n in _COLUMNS}, "values": tuple(row["values"])})
            for row in rows
        ]


_COLUMNS = (
    "test", "time", "inspected", "nonconforming", "defects", "values", "at", "user", "note", "withdraws",
)  # fmt: skip
