"""Deriving a past window again, from what is stored: samples, booked orders, what people said and corrected."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl
from sqlalchemy import Connection

from analytics.facts.counters import COUNT_READ
from analytics.facts.readings import HAS_VALUE
from analytics.ledger.changeover import detecting
from analytics.ledger.rows import ledger
from execution.running import machine_runs
from infra.historians.waiting import History
from infra.records.corrections import CountCorrections
from infra.records.database import Database
from infra.records.orders import OrderRuns, Orders
from infra.records.recodes import Recodes
from pipelines.derive import Facts, corrected, facts
from plant.frames import Window
from plant.model import COUNTER_ROLES, Plant, Role

AHEAD = timedelta(hours=1)
"""Samples after a window that are read with it: they say how long its last stop was."""

BEHIND = timedelta(days=2)
"""How long before a window what people said may have ended that still tells when what goes on in it began."""

LOOK_BACK = timedelta(days=40)
"""How far back the last usable reading of a counter is looked for."""

_NAMES = HAS_VALUE & (pl.col("text").is_null() | (pl.col("text").str.strip_chars() != ""))
"""The sample names an order or a product. It holds through samples without a value, and where none follows it is the last
one: a changeover is told by it."""


def discrete_signals(plant: Plant) -> list[str]:
    """Ids of the signals the ledger is derived from."""
    return sorted({s.id for s in plant.derived_signals()})


class Said(NamedTuple):
    """What people and orders say of a window."""

    runs: pl.DataFrame
    """`plant.frames.ORDER_RUNS`."""
    recodes: pl.DataFrame
    """`plant.frames.RECODES`, also `BEHIND` it."""
    corrections: pl.DataFrame
    """`plant.frames.CORRECTIONS`."""


def stored_samples(
    history: History,
    signals: list[str],
    window: Window,
    now: datetime,
    equipment: Sequence[str] | None = None,
    look_back: timedelta = timedelta(0),
) -> pl.DataFrame:
    """Samples to derive a window from; each series starts with the value it had before. Raises HistorianError.

    `look_back`: of the plant (`plant.model.Plant.look_back`).
    """
    start = window.start - look_back
    before = history.last(start, equipment)
    stored = history.read(Window(start, min(window.end + AHEAD, now)), equipment, signals)
    return pl.concat([before, stored])


def whole_samples(
    history: History, plant: Plant, since: Mapping[str, datetime], end: datetime, now: datetime
) -> pl.DataFrame:
    """`stored_samples` of each machine from its own time on, with the reading each counter counts on from and the last order
    and product, however much that says nothing came after it. Raises HistorianError."""
    found: list[pl.DataFrame] = []
    for machine, start in since.items():
        signals = [s.id for s in plant.derived_signals() if s.equipment == machine]
        start -= plant.look_back if plant.equipment[machine].cycle_gaps is not None else timedelta(0)
        found.append(stored_samples(history, signals, Window(start, end), now, [machine]))
        before = found[-1].filter(pl.col("time") < start)
        for roles, tells in ((COUNTER_ROLES, COUNT_READ), ((Role.ORDER, Role.MATERIAL), _NAMES)):
            of_role = [s.id for s in plant.signals_of(machine, *roles)]
            useless = before.filter(pl.col("signal").is_in(of_role), ~tells)["signal"].to_list()
            back = AHEAD
            while useless and back < LOOK_BACK:
                older = history.read(Window(start - back, start), [machine], useless)
                found.append(older)
                useless = [s for s in useless if s not in set(older.filter(tells)["signal"])]
                back *= 4
    return pl.concat(found)


def stored_facts(samples: pl.DataFrame, plant: Plant, window: Window, now: datetime) -> Facts:
    """Facts around a window from `stored_samples`."""
    return facts(samples, plant, min(window.end + AHEAD, now))


def said(database: Database, plant: Plant, window: Window, reported: pl.DataFrame) -> Said:
    """What is said of the window; `reported`: the order runs the machines' own order signals show."""
    with database.read() as connection:
        return said_on(connection, plant, window, reported)


def said_on(connection: Connection, plant: Plant, window: Window, reported: pl.DataFrame) -> Said:
    """`said` within a transaction, with what it has written itself."""
    booked = OrderRuns(connection).touching(window, before=bool(detecting(plant)))
    named = {order for order in reported["order"].unique() if order is not None}
    orders = Orders(connection).find(named)
    return Said(
        runs=machine_runs(plant, booked, reported, orders),
        recodes=Recodes(connection).touching(Window(window.start - BEHIND, window.end)),
        corrections=CountCorrections(connection).made_in(window),
    )


def ledger_of(
    found: Facts, database: Database, plant: Plant, window: Window, edges: Iterable[datetime] = ()
) -> pl.DataFrame:
    """`plant.frames.LEDGER` of a window from its facts."""
    return ledger_said(found, said(database, plant, window, found.runs), plant, window, edges)


def ledger_said(
    found: Facts,
    of_people: Said,
    plant: Plant,
    window: Window,
    edges: Iterable[datetime] = (),
    since: Mapping[str, datetime] | None = None,
) -> pl.DataFrame:
    """The same, with what people said given."""
    counted = corrected(found.increments, of_people.corrections)
    return ledger(found.intervals, counted, of_people.runs, of_people.recodes, plant, window, edges, since)
