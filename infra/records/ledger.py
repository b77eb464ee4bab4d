"""The ledger (`plant.frames.LEDGER`): derived rows, replaced window by window."""

from collections.abc import Sequence

import polars as pl
from sqlalchemy import Connection, delete, func, select

from infra.records.frames import fetch, select_frame, store
from infra.records.pipeline_tables import ledger
from plant.frames import LEDGER, Window


class LedgerRows:
    """Ledger rows, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def replace(self, equipment: str, window: Window, rows: pl.DataFrame) -> None:
        """Put these rows in place of what the window held of that machine. Repeating it changes nothing.

        Args:
            window: begins and ends at row edges of what is stored (`widened` finds them).
            rows: `plant.frames.LEDGER`, of this machine, inside the window.
        Raises:
            ValueError: a row of another machine or outside the window, or the window would cut a stored
                row, whose counts cannot be split. Nothing was changed.
        """
        if rows.filter(
            (pl.col("equipment") != equipment)
            | (pl.col("start") < window.start)
            | (pl.col("end") > window.end)
        ).height:
            raise ValueError(f"ledger rows of {equipment!r} must lie inside {window.start} to {window.end}")
        wide = self.widened(equipment, window)
        if wide != window:
            raise ValueError(
                f"replacing {window.start} to {window.end} of {equipment!r} would cut stored ledger rows; "
                f"derive and replace {wide.start} to {wide.end}"
            )
        inside = ledger.c.start >= window.start, ledger.c.start < window.end
        self._connection.execute(delete(ledger).where(ledger.c.equipment == equipment, *inside))
        store(self._connection, ledger, rows.select(list(LEDGER)))

    def widened(self, equipment: str, window: Window) -> Window:
        """The smallest window around this one that cuts no stored row of the machine."""
        crossing = [
            select(func.min(ledger.c.start), func.max(ledger.c.end)).where(
                ledger.c.equipment == equipment, ledger.c.start < edge, ledger.c.end > edge
            )
            for edge in (window.start, window.end)
        ]
        start = self._connection.execute(crossing[0]).one()[0]
        end = self._connection.execute(crossing[1]).one()[1]
        return Window(start or window.start, end or window.end)

    def touching(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Whole rows that overlap the window, sorted by equipment and start."""
        query = select_frame(ledger, LEDGER).where(ledger.c.start < window.end, ledger.c.end > window.start)
        if equipment is not None:
            query = query.where(ledger.c.equipment.in_(equipment))
        return fetch(self._connection, query.order_by(ledger.c.equipment, ledger.c.start), LEDGER)

    def of_orders(self, orders: Sequence[str]) -> pl.DataFrame:
        """All rows booked to those orders: what `execution.progress.progress` wants."""
        query = select_frame(ledger, LEDGER).where(ledger.c.order.in_(orders))
        return fetch(self._connection, query.order_by(ledger.c.equipment, ledger.c.start), LEDGER)

    def span(self) -> Window | None:
        """From the first row's start to the last row's end; None when there are no rows."""
        start, end = self._connection.execute(select(func.min(ledger.c.start), func.max(ledger.c.end))).one()
        return None if start is None else Window(start, end)
