"""Deriving a past window again, from what is stored: samples, booked orders, what people said."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from analytics.ledger import ledger
from execution.running import machine_runs
from infra.historians.waiting import History
from infra.records.database import Database
from infra.records.orders import OrderRuns, Orders
from infra.records.recodes import Recodes
from pipelines.derive import Facts, facts
from plant.frames import Window
from plant.model import DISCRETE_ROLES, Plant

AHEAD = timedelta(hours=1)
"""Samples after a window that are read with it: they say how long its last stop was."""


def discrete_signals(plant: Plant) -> list[str]:
    """Ids of the signals the ledger is derived from."""
    return sorted({s.id for s in plant.signals.values() if s.role in DISCRETE_ROLES})


def stored_samples(history: History, signals: list[str], window: Window, now: datetime) -> pl.DataFrame:
    """Samples to derive a window from; each series starts with the value it had before. Raises HistorianError."""
    before = history.last(window.start)
    stored = history.read(Window(window.start, min(window.end + AHEAD, now)), signals=signals)
    return pl.concat([before, stored])


def stored_facts(samples: pl.DataFrame, plant: Plant, window: Window, now: datetime) -> Facts:
    """Facts around a window from `stored_samples`."""
    return facts(samples, plant, min(window.end + AHEAD, now))


def said(
    database: Database, plant: Plant, window: Window, reported: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Order runs and re-codings that touch the window; `reported`: the runs the machines' own order signals show."""
    with database.read() as connection:
        booked = OrderRuns(connection).touching(window)
        named = {order for order in reported["order"].unique() if order is not None}
        orders = Orders(connection).find(named)
        recodes = Recodes(connection).touching(window)
    return machine_runs(plant, booked, reported, orders), recodes


def ledger_of(
    found: Facts, database: Database, plant: Plant, window: Window, edges: Iterable[datetime] = ()
) -> pl.DataFrame:
    """`plant.frames.LEDGER` of a window from its facts."""
    runs, recodes = said(database, plant, window, found.runs)
    return ledger(found.intervals, found.increments, runs, recodes, plant, window, edges)
