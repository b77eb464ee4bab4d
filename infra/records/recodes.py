"""What people said stops were. Append-only: the database refuses to change or delete an entry."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl
from sqlalchemy import Connection, insert, or_

from infra.records.frames import fetch, select_frame
from infra.records.pipeline_tables import recodes
from plant.frames import RECODES, Window


class Recodes:
    """Entries about what machines were doing and why, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        equipment: str,
        start: datetime,
        end: datetime | None,
        reason: str | None,
        user: str,
        at: datetime,
        state: str | None = None,
        note: str | None = None,
    ) -> None:
        """Say what [start, end) of a machine was, as `plant.frames.RECODES` means it; without an end it covers the stop it
        begins in, however long that lasts.

        Raises:
            ValueError: the span is empty or runs backwards.
        """
        if end is not None and end <= start:
            raise ValueError(f"a re-coding of {equipment!r} must end after it starts: {start} to {end}")
        values = {
            "equipment": equipment,
            "start": start,
            "end": end,
            "reason": reason,
            "user": user,
            "at": at,
            "state": state,
            "note": note,
        }
        self._connection.execute(insert(recodes).values(values))

    def touching(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Entries that overlap the window (`plant.frames.RECODES`), in the order they were made."""
        query = select_frame(recodes, RECODES).where(
            recodes.c.start < window.end, or_(recodes.c.end.is_(None), recodes.c.end > window.start)
        )
        if equipment is not None:
            query = query.where(recodes.c.equipment.in_(equipment))
        return fetch(self._connection, query.order_by(recodes.c.at, recodes.c.id), RECODES)
