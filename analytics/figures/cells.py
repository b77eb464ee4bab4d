"""Ledger rows added up by plant-local day: a fifth of the rows, and every sum but of hours the same."""

from collections.abc import Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

import polars as pl

from analytics.figures.buckets import bucket
from analytics.figures.elements import ADDED, CLASS, STARTUP_IDEAL, with_class
from analytics.figures.reliability import COUNTED, settled
from plant.frames import LEDGER, Window
from plant.model import Plant

_PLACE = ("equipment", "line", "shift", "shift_start", "order", "material")
_SAME = (*_PLACE, "raw", "state", "reason", "category")
_TICK = timedelta(microseconds=1)

CELLS: Mapping[str, pl.DataType | type[pl.DataType]] = {**LEDGER, **dict.fromkeys(COUNTED, pl.Int64())}
"""A ledger row's columns, and the failures that began in it (`analytics.figures.reliability.settled`)."""


def cells(rows: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """`CELLS`: the rows of a machine, a local day and an ideal cycle that differ in nothing but time are one.

    It lasts from the first start to the last end and need not be the only one there; duration and counts are sums, and it
    belongs to no stop. Rows over a midnight are left out. What adds rows up finds the same in cells, but not by hour and
    not of `uneven` machines.
    """
    day = bucket(rows["start"], zone, "day")
    bad = pl.col("reject") + pl.col("rework")
    made = pl.col("good") + bad
    # Rejects of which the total counter shows nothing yet, with as many good parts too few, tell the cycle too.
    cycle = pl.when(made != 0).then(pl.col("ideal") // made)
    of_bad = pl.when(bad != 0).then((pl.col("ideal") - pl.col("ideal_good")) // bad)
    return (
        rows.lazy()
        .join(settled(rows).lazy(), on=["equipment", "start"], how="left", maintain_order="left")
        .with_columns(
            pl.col(COUNTED).fill_null(0),
            day.alias("day"),
            sign=pl.when(made != 0).then(made.sign()).otherwise(2 * bad.sign()),
            cycle=cycle.otherwise(of_bad),
        )
        .filter(bucket(rows["end"] - _TICK, zone, "day") == day)
        .group_by(*_SAME, "day", "sign", "cycle")
        .agg(pl.col("start").min(), pl.col("end").max(), pl.col(*ADDED, *COUNTED).sum())
        .with_columns(stop_start=pl.lit(None, LEDGER["stop_start"]))
        .select(list(CELLS))
        .sort("equipment", "start", "end")
        .collect()
    )


def classed(rows: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """Cells of a machine, shift, order, material, day and class in one. They have no state, raw value and reason, but
    `CLASS` and `STARTUP_IDEAL`; what adds rows up finds the same in them but by those three."""
    day = bucket(rows["start"], plant.site.zone, "day").alias("day")
    return (
        with_class(rows.lazy(), plant)
        .group_by(*_PLACE, "category", CLASS, day)
        .agg(pl.col("start").min(), pl.col("end").max(), pl.col(*ADDED, *COUNTED, STARTUP_IDEAL).sum())
        .drop("day")
        .collect()
    )


def uneven(plant: Plant, window: Window) -> set[str]:
    """Machines that have their first ideal cycle for a material from within a day of the window on: a cell of that day may
    be made of rows that can be rated and rows that cannot."""
    zone = plant.site.zone
    return {
        machine
        for (machine, _), since in plant.first_cycles.items()
        if since is not None
        and window.start < since < window.end
        and bucket(pl.Series([since]), zone, "day").item() != since
    }
