"""Shift close: the ledger of an ended shift is stored, and its figures are frozen as reported, exactly once."""

from datetime import datetime, timedelta

import polars as pl

from analytics.losses import pareto
from analytics.summary import summarise
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from infra.shifts import instances
from plant.frames import Window

GRACE = timedelta(minutes=2)
"""Waited after a shift's end for samples on their way."""
TOP = 5
"""Losses kept with the figures."""


def close_shifts(runtime: Runtime, now: datetime) -> int:
    """Close every shift that has ended and is not closed yet, oldest first. How many were closed.

    Rows are replaced and figures are inserted by their natural keys in one transaction: a crash repeats the shift,
    a second run changes nothing.
    """
    closed = 0
    with runtime.database.read() as connection:
        stored = LedgerRows(connection).span()
    since = stored.end if stored else runtime.remembered_since()
    for shift in instances(runtime.plant, Window(since, now)):
        if shift.end <= since or shift.end + GRACE > now:
            continue
        window = Window(since, shift.end)
        rows = runtime.ledger(window, now, [shift.start])
        of_shift = rows.filter(pl.col("start") >= shift.start)
        figures = _figures(runtime, of_shift)
        with runtime.database.begin() as connection:
            for equipment, part in rows.partition_by("equipment", as_dict=True).items():
                LedgerRows(connection).replace(str(equipment[0]), window, part)
            closures = ShiftClosures(connection)
            for line, values in figures.items():
                closures.close(line, shift.shift.id, shift.start, values, now)
        since = shift.end
        closed += 1
    return closed


def _figures(runtime: Runtime, rows: pl.DataFrame) -> dict[str, dict[str, object]]:
    """What is frozen, per line: counts, KPIs with their parts, and the largest losses."""
    plant = runtime.plant
    found: dict[str, dict[str, object]] = {}
    for values in summarise(rows, ["line"], plant).iter_rows(named=True):
        line = values.pop("line")
        top = pareto(rows.filter(pl.col("line") == line)).head(TOP)
        figures = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}
        found[line] = {**figures, "convention": plant.settings.convention.value, "losses": top.to_dicts()}
    return found
