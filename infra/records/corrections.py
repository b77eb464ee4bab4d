"""Counts people corrected, and the restatements of published figures. Append-only: the database refuses to change or delete
an entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from sqlalchemy import Connection, insert, select

from infra.records.frames import fetch, select_frame, store
from infra.records.pipeline_tables import count_corrections, restatements
from plant.frames import CORRECTIONS, Window


class CountCorrections:
    """What people added to the counters, or took away; on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, corrections: pl.DataFrame) -> None:
        """Entries (`plant.frames.CORRECTIONS`) of one action."""
        store(self._connection, count_corrections, corrections.select(list(CORRECTIONS)))

    def made_in(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Entries about parts made in the window, both ends included as counter readings are, in the order they were
        entered."""
        query = select_frame(count_corrections, CORRECTIONS).where(
            count_corrections.c.time >= window.start, count_corrections.c.time <= window.end
        )
        if equipment is not None:
            query = query.where(count_corrections.c.equipment.in_(equipment))
        return fetch(self._connection, query.order_by(count_corrections.c.id), CORRECTIONS)


@dataclass(frozen=True, slots=True)
class Restatement:
    """Figures of a closed shift that are others since then, and why."""

    equipment: str
    shift: str
    shift_start: datetime
    at: datetime
    user: str
    """Who; "" when nobody did it, as with late samples."""
    cause: str
    """late_samples, recode, split, merge, take_back, state, count_correction, ideal_cycle, plant, backfill."""
    detail: str
    figures: Mapping[str, object]
    """All of them, as they are since."""


class Restatements:
    """On one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, made: Restatement) -> None:
        """In the transaction that changes the ledger rows the figures are of."""
        values = {name: getattr(made, name) for name in Restatement.__slots__}
        self._connection.execute(insert(restatements).values({**values, "figures": dict(made.figures)}))

    def of(self, equipment: str, shift: str, shift_start: datetime) -> list[Restatement]:
        """Of one shift, oldest first; the last one's figures are as corrected."""
        query = select(restatements).where(
            restatements.c.equipment == equipment,
            restatements.c.shift == shift,
            restatements.c.shift_start == shift_start,
        )
        rows = self._connection.execute(query.order_by(restatements.c.id)).mappings()
        return [Restatement(**{name: row[name] for name in Restatement.__slots__}) for row in rows]
