"""The ledger of the past follows the plant file: what a changed one makes different is derived again."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from infra.ledger.closing import close_added
from infra.ledger.restating import Why
from infra.records.audit import Audit
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from plant.basis import Basis, Dirty, basis, dirtied
from plant.frames import Window
from plant.model import Plant

ACTION, SUBJECT = "plant.derive", "ledger"
"""Of the audit entries that say by what the ledger was derived."""
STEP = timedelta(days=1)
"""Derived and stored in one go; others go on between two."""


def follow_plant(runtime: Runtime, now: datetime) -> int:
    """Derive closed time again where the plant file in use makes it different. How many windows were derived.

    What the ledger was derived by is in the audit trail, first with the old and the new, then with the new alone: a crash
    between the two repeats the work, and so does another change. Raises HistorianError, RecordsError.
    """
    plant = runtime.plant
    present = basis(plant)
    with runtime.database.read() as connection:
        used = derived_by(connection)
    if used == [present]:
        return 0
    bases = [*(b for b in used if b != present), present]
    with runtime.database.begin() as connection:
        if bases != used:
            _note(connection, now, bases)
        due = [d for before in bases[:-1] for d in dirty(connection, before, plant, now)]
    for one in due:
        for window in _steps(one.window):
            with runtime.alone(), runtime.database.begin() as connection:
                name = plant.equipment[one.equipment].name
                why = Why("", one.cause, f"{name}: {one.what} is another one in the plant file")
                runtime.restate(connection, one.equipment, window, now, why)
    if due:
        around = Window(min(one.window.start for one in due), max(one.window.end for one in due))
        with runtime.alone(), runtime.database.begin() as connection:
            close_added(connection, plant, around, now)
    if used:
        with runtime.database.begin() as connection:
            _note(connection, now, [present])
    return len(due)


def derived_by(connection: Connection) -> list[Basis]:
    """What the stored ledger was derived by; several while a change is being followed, none at first."""
    entries = Audit(connection).of(SUBJECT, 1)
    found: list[Basis] = entries[-1].detail["bases"] if entries else []  # type: ignore[assignment]
    return found


def dirty(connection: Connection, before: Basis, plant: Plant, now: datetime) -> Iterator[Dirty]:
    """Closed time that plant makes different, as far back as samples are kept."""
    rows = LedgerRows(connection)
    stored = rows.span()
    if stored is None:
        return
    keep = plant.historian.keep
    start = stored.start if keep is None else max(stored.start, now - keep + STEP)
    if start >= stored.end:
        return
    for one in dirtied(before, basis(plant), Window(start, stored.end)):
        if one.reasons or one.flagged:
            for window in rows.parts_of(one.equipment, one.window, one.reasons, flagged=one.flagged):
                yield Dirty(one.equipment, window, one.cause, one.what)
        else:
            yield one


def _note(connection: Connection, now: datetime, bases: Sequence[Basis]) -> None:
    Audit(connection).add(now, "plant file", ACTION, SUBJECT, {"bases": list(bases)})


def _steps(window: Window) -> Iterator[Window]:
    start = window.start
    while start < window.end:
        yield Window(start, min(start + STEP, window.end))
        start += STEP
