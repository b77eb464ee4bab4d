"""The ledger (`plant.frames.LEDGER`): derived rows, replaced window by window."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from infra.records.database import serialise
from infra.records.frames import fetch, select_frame, store
from infra.records.pipeline_tables import ledger, ledger_days
from plant.frames import LEDGER, Window, empty

_TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)


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
        serialise(self._connection, "ledger")
        wide = self.widened(equipment, window)
        if wide != window:
            raise ValueError(
                f"replacing {window.start} to {window.end} of {equipment!r} would cut stored ledger rows; "
                f"derive and replace {wide.start} to {wide.end}"
            )
        inside = ledger.c.start >= window.start, ledger.c.start < window.end
        self._connection.execute(delete(ledger).where(ledger.c.equipment == equipment, *inside))
        store(self._connection, ledger, rows.select(list(LEDGER)))
        self._changed(window)

    def versions(self, window: Window) -> Mapping[datetime, int]:
        """The UTC days the window touches that rows were ever stored in, oldest first, each with a number that is another
        one whenever rows that overlap the day may have become different."""
        query = select(ledger_days.c.day, ledger_days.c.version).where(
            ledger_days.c.day > window.start - DAY, ledger_days.c.day < window.end
        )
        return {day: int(version) for day, version in self._connection.execute(query.order_by("day"))}

    def _changed(self, window: Window) -> None:
        # Random, not counted: a restored or another database never has the number of different rows.
        marked = [{"day": day, "version": secrets.randbits(62)} for day in days_of(window)]
        if marked:
            dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(ledger_days)
            renewed = {"version": statement.excluded.version}
            self._connection.execute(
                statement.on_conflict_do_update(index_elements=["day"], set_=renewed), marked
            )

    def widened(self, equipment: str, window: Window) -> Window:
        """The smallest window around this one that cuts no stored row of the machine."""
        start = self._row_over(equipment, window.start)
        end = self._row_over(equipment, window.end)
        return Window(start.start if start else window.start, end.end if end else window.end)

    def touching(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Whole rows that overlap the window, sorted by equipment and start."""
        pieces = [empty(LEDGER)]
        for machine in self._machines() if equipment is None else sorted(set(equipment)):
            over = self._row_over(machine, window.start)
            query = select_frame(ledger, LEDGER).where(
                ledger.c.equipment == machine,
                ledger.c.start >= (over.start if over else window.start),
                ledger.c.start < window.end,
            )
            pieces.append(fetch(self._connection, query.order_by(ledger.c.start), LEDGER))
        return pl.concat(pieces)

    def parts_of(
        self, equipment: str, window: Window, reasons: Sequence[str] = (), *, flagged: bool = False
    ) -> list[Window]:
        """The rows of a machine that begin in the window, neighbours as one: those with one of these reasons, or those
        with a flagged counter reading."""
        which = ledger.c.flagged > 0 if flagged else ledger.c.reason.in_(reasons)
        query = select(ledger.c.start, ledger.c.end).where(
            ledger.c.equipment == equipment,
            ledger.c.start >= window.start,
            ledger.c.start < window.end,
            which,
        )
        found: list[Window] = []
        for row in self._connection.execute(query.order_by(ledger.c.start)):
            start = found.pop().start if found and found[-1].end == row.start else row.start
            found.append(Window(start, row.end))
        return found

    def of_orders(self, orders: Sequence[str]) -> pl.DataFrame:
        """All rows booked to those orders: what `execution.progress.progress` wants."""
        query = select_frame(ledger, LEDGER).where(ledger.c.order.in_(orders))
        return fetch(self._connection, query.order_by(ledger.c.equipment, ledger.c.start), LEDGER)

    def span(self, equipment: str | None = None) -> Window | None:
        """From the first row's start to the last row's end, of one machine or all; None when there are no rows."""
        query = select(func.min(ledger.c.start), func.max(ledger.c.end))
        if equipment is not None:
            query = query.where(ledger.c.equipment == equipment)
        start, end = self._connection.execute(query).one()
        return None if start is None else Window(start, end)

    def since(self, equipment: str, at: datetime) -> datetime:
        """When what the machine was doing at that time began; that time itself where no row says it."""
        query = select(ledger.c.stop_start, ledger.c.end).where(
            ledger.c.equipment == equipment, ledger.c.start <= at
        )
        row = self._connection.execute(query.order_by(ledger.c.start.desc()).limit(1)).one_or_none()
        return at if row is None or row.end <= at or row.stop_start is None else row.stop_start

    def whole_stops(self, equipment: str, window: Window) -> Window:
        """The window with all stored rows of the stops it touches, also those that only meet it."""
        starts = (self.since(equipment, window.start), self.since(equipment, window.start - _TICK))
        last = self.since(equipment, window.end)
        query = select(ledger.c.end, ledger.c.stop_start).where(
            ledger.c.equipment == equipment, ledger.c.start >= last
        )
        end = window.end
        for row in self._connection.execute(query.order_by(ledger.c.start).limit(1000)):
            if row.stop_start != last and row.end > window.end:
                break
            end = max(end, row.end)
        span = self.span(equipment) or window
        return self.widened(equipment, Window(max(min(starts), span.start), min(end, span.end)))

    def of_stop(self, equipment: str, stop_start: datetime) -> pl.DataFrame:
        """The rows of what the machine began to do then."""
        query = select_frame(ledger, LEDGER).where(
            ledger.c.equipment == equipment,
            ledger.c.start >= stop_start,
            ledger.c.stop_start == stop_start,
        )
        return fetch(self._connection, query.order_by(ledger.c.start), LEDGER)

    def _row_over(self, equipment: str, edge: datetime) -> Window | None:
        """The row of a machine that begins before that instant and ends after it: one index probe, as
        rows of a machine do not overlap."""
        query = select(ledger.c.start, ledger.c.end).where(
            ledger.c.equipment == equipment, ledger.c.start < edge
        )
        row = self._connection.execute(query.order_by(ledger.c.start.desc()).limit(1)).one_or_none()
        return Window(row.start, row.end) if row is not None and row.end > edge else None

    def _machines(self) -> list[str]:
        """Who has rows, by one index probe each."""
        found: list[str] = []
        query = select(func.min(ledger.c.equipment))
        machine = self._connection.execute(query).scalar()
        while machine is not None:
            found.append(machine)
            machine = self._connection.execute(query.where(ledger.c.equipment > machine)).scalar()
        return found


def days_of(window: Window) -> Iterator[datetime]:
    """The UTC days a window touches."""
    day = window.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while day < window.end:
        yield day
        day += DAY
