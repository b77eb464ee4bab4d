"""Shift close: the ledger of an ended shift is stored, and its figures are frozen as reported, exactly once."""

from datetime import datetime, timedelta

import polars as pl
from sqlalchemy import Connection

from infra.ledger.reported import figures
from infra.ledger.restating import Why, restate_published
from infra.records.jobs import ShiftClosure, ShiftClosures
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from infra.shifts import LONGEST, lines_without_calendar, named, running_shifts, shift_edges, shift_ends
from plant.frames import TIME, Window
from plant.model import Plant

Key = tuple[str, str, datetime]
"""Line, shift and shift start."""
GRACE = timedelta(minutes=2)
"""Waited after a shift's end for samples on their way."""


def close_shifts(runtime: Runtime, now: datetime) -> int:
    """Close every shift of every line that has ended and is not closed yet, oldest first. How many were closed.

    A shift of a line is the ledger rows that name it (`infra.shifts.named`), so every scheduled row is in one closure
    whatever calendars its machines have. It is closed when none of them works in it any more. Rows are replaced and
    figures are inserted by their natural keys in one transaction: a crash repeats the shift, a second run changes nothing.
    """
    closed = 0
    with runtime.database.read() as connection:
        stored = LedgerRows(connection).span()
    since = stored.end if stored else runtime.remembered_since()
    # What was stored as still running may have ended by another plant file since.
    ends = [since] if stored else []
    for end in [*ends, *shift_ends(runtime.plant, since, now - GRACE)]:
        with runtime.alone():  # what people say meanwhile comes after
            plant, window = runtime.plant, Window(since, end)
            rows = runtime.ledger(window, now, shift_edges(plant, window))
            with runtime.database.begin() as connection:
                for equipment, part in rows.partition_by("equipment", as_dict=True).items():
                    LedgerRows(connection).replace(str(equipment[0]), window, part)
                closed += _close(connection, plant, window, now)
        since = end
    return closed


def _close(connection: Connection, plant: Plant, stored: Window, now: datetime) -> int:
    """Close what is in the rows just stored, or went on when they begin, and is over at their end."""
    kept, closures = LedgerRows(connection), ShiftClosures(connection)
    seen = named(plant, kept.touching(Window(stored.start - timedelta(microseconds=1), stored.end)))
    keys = seen.select("line", "shift", "shift_start").drop_nulls("shift").unique()
    due = set(keys.iter_rows()) - running_shifts(plant, stored.end)
    if not due:
        return 0
    begun = Window(min(start for *_, start in due), stored.end)
    before = closures.begun_in(Window(begun.start - LONGEST, begun.end))
    closed_before = {(c.equipment, c.shift, c.shift_start) for c in before}
    fresh = seen.filter(pl.col("start") >= stored.start).select("line", "shift", "shift_start").unique()
    _go_on(connection, plant, due & closed_before & set(fresh.iter_rows()), stored, now)
    due -= closed_before
    machines = [m.id for m in plant.machines() if plant.line_of(m.id) in {line for line, *_ in due}]
    rows = named(plant, kept.touching(begun, machines))
    # Where the rows do not say the shift, another plant file may name it anew: what was closed stays closed.
    for line in lines_without_calendar(plant):
        until = max((_end(c) for c in before if c.equipment == line), default=begun.start)
        rows = rows.filter((pl.col("line") != line) | (pl.col("start") >= until))
    return _published(connection, plant, due, rows, now)


def _published(connection: Connection, plant: Plant, due: set[Key], rows: pl.DataFrame, now: datetime) -> int:
    """Freeze the figures of these shifts. How many were not frozen before."""
    closed = 0
    for line, shift, start in sorted(due, key=lambda key: (key[2], key[0])):
        of_shift = rows.filter(
            pl.col("line") == line, pl.col("shift") == shift, pl.col("shift_start") == start
        )
        for values in figures(plant, of_shift).values():
            closed += ShiftClosures(connection).close(line, shift, start, values, now)
    return closed


def _end(closure: ShiftClosure) -> datetime:
    return datetime.fromisoformat(str(closure.figures["end"]))


def close_added(connection: Connection, plant: Plant, window: Window, now: datetime) -> int:
    """Close shifts that another plant file put into stored time of this window which no shift had: overtime nobody had
    entered. How many were closed.

    Only between shifts of the line that were closed before: older time, of a backfill, was never reported. A shift that
    was moved is not closed anew where it was reported as it was; that one has restatements.
    """
    kept = LedgerRows(connection)
    stored = kept.span()
    if stored is None:
        return 0
    rows = named(plant, kept.touching(Window(window.start - LONGEST, window.end + LONGEST)))
    shifts = (
        rows.drop_nulls("shift")
        .filter(~pl.col("line").is_in(sorted(lines_without_calendar(plant))))
        .group_by("line", "shift", "shift_start")
        .agg(pl.col("start").min(), pl.col("end").max())
        .filter(pl.col("shift_start") >= window.start - LONGEST)
    )
    closures = ShiftClosures(connection).begun_in(Window(stored.start - LONGEST, stored.end))
    published = pl.DataFrame(
        [(c.equipment, c.shift_start, _end(c)) for c in closures],
        schema={"line": pl.String, "begun": TIME, "over": TIME},
        orient="row",
    )
    overlaps = (pl.col("start") < pl.col("over")) & (pl.col("end") > pl.col("begun"))
    free = (
        shifts.join(published, on="line")
        .group_by("line", "shift", "shift_start")
        .agg(taken=overlaps.any(), between=(pl.col("begun") < pl.col("start")).any())
        .filter(~pl.col("taken"), pl.col("between"))
        .select("line", "shift", "shift_start")
    )
    due = set(free.iter_rows()) - running_shifts(plant, stored.end)
    return _published(connection, plant, due, rows, now)


def _go_on(
    connection: Connection,
    plant: Plant,
    longer: set[Key],
    stored: Window,
    now: datetime,
) -> None:
    """Restate shifts that were closed before, but by another plant file went on in the time just stored."""
    for line in sorted({line for line, *_ in longer}):
        machines = [(m.id, stored) for m in plant.machines() if plant.line_of(m.id) == line]
        end = f"{stored.end.astimezone(plant.site.zone):%Y-%m-%d %H:%M}"
        why = Why("", "plant", f"the shift went on to {end} by the plant file")
        restate_published(connection, plant, machines, now, why)
