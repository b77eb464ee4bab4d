"""What a trend shows: which signals, buckets of what length, and where there is no data."""

import math
from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from dashboards.ports import Refused
from plant.frames import Window
from plant.model import Equipment, Plant, Role, Signal

ROLES = (Role.PROCESS_VALUE, Role.CYCLE)
"""Signals whose numbers mean something by themselves; counters and states have pages of their own."""

POINTS = 600
"""About as many points as a screen can show."""

MOST_ROWS = 100_000
"""One request may ask for."""

_SECONDS = (1, 2, 5, 10, 15, 30)
LENGTHS = tuple(
    timedelta(seconds=seconds)
    for seconds in (*_SECONDS, *(60 * s for s in _SECONDS), *(3600 * h for h in (1, 2, 3, 6, 12, 24)))
)
"""Lengths of a bucket that people can name."""


def signals(plant: Plant, machine: str) -> tuple[Signal, ...]:
    """The signals of a machine that a trend can show."""
    return plant.signals_of(machine, *ROLES)


def machines(plant: Plant) -> tuple[Equipment, ...]:
    """The machines that have any, in plant-file order."""
    return tuple(machine for machine in plant.machines() if signals(plant, machine.id))


def bucket(window: Window) -> timedelta:
    """The length of which the window holds about POINTS."""
    wanted = (window.end - window.start).total_seconds() / POINTS or 1.0
    return min(LENGTHS, key=lambda length: abs(math.log(length.total_seconds() / wanted)))


def check_size(window: Window, every: timedelta, asked: Sequence[Signal]) -> None:
    """Raises Refused when the answer could have more than MOST_ROWS."""
    rows = (window.end - window.start) / every * len(asked)
    if rows > MOST_ROWS:
        raise Refused(
            f"every: that is up to {rows:.0f} rows; ask for at most {MOST_ROWS}, with a longer step"
        )


def pieces(series: pl.DataFrame, every: timedelta) -> list[pl.DataFrame]:
    """One signal's rows of `plant.frames.TREND` cut where data is missing.

    A signal that usually comes less often than once a bucket is not cut between its samples: missing is what
    is longer than its usual step. Nor is one cut that comes once a bucket, now a little early and now a little late.
    Each row gets its `end`: the next row of the piece, or its usual step later.
    """
    step = series["time"].diff()
    median = step.median()
    usual = max(every, median) if isinstance(median, timedelta) else every
    single = series["count"].median() == 1
    longest = max(1.5 * usual, 2 * every) if single else 1.5 * usual
    cut = series.with_columns(piece=(step.fill_null(timedelta(0)) > longest).cum_sum())
    after = pl.col("time").shift(-1).over("piece").fill_null(pl.col("time") + usual)
    return cut.with_columns(end=after).partition_by("piece", include_key=False, maintain_order=True)
