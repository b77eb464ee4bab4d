"""Stored samples that facts follow from, of any span and any number of machines, in bounded memory."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from infra.historians.waiting import History
from infra.ledger.rederive import discrete_signals
from pipelines.thin import thin
from plant.frames import SAMPLES, Window, empty
from plant.model import Plant

READ_ROWS = 1_000_000
"""About the most samples read at once."""


def thinned_samples(
    history: History, plant: Plant, window: Window, done: Callable[[float], None] = lambda _share: None
) -> pl.DataFrame:
    """Stored samples of the plant in the window, thinned out (`pipelines.thin`), by UTC day and machine.

    Facts of them are those of all (`plant.frames.SAMPLES`, not sorted). `done` is told the share of the work done,
    0..1. Raises HistorianError.
    """
    signals = discrete_signals(plant)
    machines = sorted({s.equipment for s in plant.derived_signals()})
    days = _days(window)
    kept, most = [empty(SAMPLES)], 1
    for number, day in enumerate(days):
        first = 0
        while first < len(machines):
            of = machines[first : first + most]
            rows = history.read(day, of, signals)
            kept.append(thin(rows.lazy(), plant).collect())
            first += len(of)
            done((number + first / len(machines)) / len(days))
            most = _fitting(most, rows.height)
    return pl.concat(kept)


def _fitting(machines: int, rows: int) -> int:
    """How many machines to read at once, when so many had so many rows."""
    if rows > READ_ROWS:
        return max(machines // 2, 1)
    return machines * 2 if rows < READ_ROWS // 4 else machines


def _days(window: Window) -> list[Window]:
    """The window cut at UTC midnights, where stored files end."""
    found, start = [], window.start.astimezone(UTC)
    while start < window.end:
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=1)
        found.append(Window(start, min(midnight, window.end)))
        start = midnight
    return found
