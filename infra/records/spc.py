"""Frozen limits of control charts and left-out points. Append-only: the newest entry wins, the database refuses to change
or delete one."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, select

from analytics.spc.study import Exclusion, Frozen
from infra.records.spc_tables import spc_exclusions, spc_limits


class SpcRecords:
    """On one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def freeze(self, equipment: str, signal: str, limits: Frozen) -> None:
        """Keep limits; those entered before stay."""
        values: Mapping[str, object] = {name: getattr(limits, name) for name in _LIMITS}
        self._connection.execute(
            insert(spc_limits).values({**values, "equipment": equipment, "signal": signal})
        )

    def limits(self, equipment: str, signal: str, study: str) -> list[Frozen]:
        """Of one chart (`analytics.spc.study.Plan.key`), in the order they were entered."""
        query = select(*(spc_limits.c[name] for name in _LIMITS)).where(
            spc_limits.c.equipment == equipment,
            spc_limits.c.signal == signal,
            spc_limits.c.study == study,
        )
        return [Frozen(**row) for row in self._connection.execute(query.order_by(spc_limits.c.id)).mappings()]

    def frozen(self) -> Sequence[tuple[str, str, str]]:
        """(equipment, signal, study) of every chart that has limits."""
        key = (spc_limits.c.equipment, spc_limits.c.signal, spc_limits.c.study)
        return [(row[0], row[1], row[2]) for row in self._connection.execute(select(*key).distinct())]

    def exclude(self, equipment: str, signal: str, entry: Exclusion) -> None:
        """Leave a point out, or take it in again."""
        values: Mapping[str, object] = {name: getattr(entry, name) for name in _EXCLUSIONS}
        self._connection.execute(
            insert(spc_exclusions).values({**values, "equipment": equipment, "signal": signal})
        )

    def exclusions(self, equipment: str, signal: str) -> list[Exclusion]:
        """In the order they were entered."""
        query = select(*(spc_exclusions.c[name] for name in _EXCLUSIONS)).where(
            spc_exclusions.c.equipment == equipment, spc_exclusions.c.signal == signal
        )
        rows = self._connection.execute(query.order_by(spc_exclusions.c.id)).mappings()
        return [Exclusion(**row) for row in rows]


_LIMITS = ("study", "valid_from", "estimate", "window_start", "window_end", "at", "user", "why")
_EXCLUSIONS = ("time", "excluded", "at", "user", "why")
