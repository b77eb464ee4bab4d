"""Inspections people record: units looked at and what was found, or the values measured (ISA-95: test results of a quality
operations request; ISO 7870-2: samples). Entries are added, never changed: one that was wrong is withdrawn by a later one.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from analytics.spc.charts import POINTS
from plant.model import ChartKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """An entry: an inspection, or that one is withdrawn."""

    number: int = 0
    """Given when it is kept."""
    test: str
    """The test specification: a process value of the machine, or a name that units are counted under."""
    time: datetime
    """When the sample was taken."""
    inspected: int
    """Units; of measurements, values."""
    nonconforming: int | None = None
    """Nonconforming units. None: not counted."""
    defects: int | None = None
    """Nonconformities, of which a unit may have several. None: not counted."""
    values: tuple[float, ...] = ()
    at: datetime
    user: str
    note: str = ""
    withdraws: int | None = None
    """The number of the inspection that does not count any more; test, time and amounts are that one's."""


def standing(entries: Sequence[Inspection]) -> list[Inspection]:
    """The inspections that are not withdrawn, by time."""
    gone = {entry.withdraws for entry in entries}
    found = [entry for entry in entries if entry.withdraws is None and entry.number not in gone]
    return sorted(found, key=lambda entry: (entry.time, entry.number))


def counted(found: Sequence[Inspection], kind: ChartKind) -> pl.DataFrame:
    """`analytics.spc.charts.POINTS` of inspections: nonconforming units for p and np, nonconformities for c and u. Those
    that did not count them are no points."""
    units = kind in (ChartKind.P, ChartKind.NP)
    counts = [(one, one.nonconforming if units else one.defects) for one in found]
    rows = [
        {"time": one.time, "end": one.time, "n": one.inspected, "count": count}
        for one, count in counts
        if count is not None
    ]
    return pl.DataFrame(rows, schema=POINTS)


def measured(found: Sequence[Inspection]) -> pl.DataFrame:
    """`analytics.spc.charts.POINTS` of inspections: each is a subgroup of its own."""
    rows = [
        {
            "time": one.time,
            "end": one.time,
            "n": len(one.values),
            "mean": statistics.fmean(one.values),
            "range": max(one.values) - min(one.values),
            "sd": statistics.stdev(one.values) if len(one.values) > 1 else None,
        }
        for one in found
        if one.values
    ]
    return pl.DataFrame(rows, schema=POINTS)
