"""Micro-stop clusters: where short stops come in swarms, which is where they are worth looking at."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from plant.frames import TIME
from plant.states import TimeCategory

CLUSTERS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,  # of the first micro-stop
    "end": TIME,  # of the last one
    "count": pl.Int64,  # micro-stops in it
    "lost": pl.Int64,  # microseconds in them
    "per_hour": pl.Float64,  # micro-stops per hour of the cluster
    "reason": pl.String,  # of most of the time lost; null: nobody has said
    "raw": pl.String,  # raw state of most of the time lost; null: the machine said none
    "order": pl.String,  # during most of the time lost
    "material": pl.String,
}

APART = timedelta(minutes=10)
"""Micro-stops further apart than this, end to start, belong to different clusters."""
FEWEST = 3
"""Micro-stops a cluster has at least."""


def clusters(ledger: pl.DataFrame, apart: timedelta = APART, fewest: int = FEWEST) -> pl.DataFrame:
    """`CLUSTERS` of a ledger, most time lost first: micro-stops of one machine no further than `apart` from the one
    before, `fewest` or more of them."""
    pieces = ledger.filter(pl.col("category") == TimeCategory.MICRO_STOP.value).sort("equipment", "start")
    stops = pieces.group_by("equipment", "stop_start", maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max()
    )
    near = (pl.col("equipment") == pl.col("equipment").shift()) & (
        pl.col("start") - pl.col("end").shift() <= apart
    )
    numbered = stops.select("equipment", "stop_start", cluster=(~near.fill_null(False)).cum_sum())
    rows = pieces.join(numbered, on=["equipment", "stop_start"], how="left", maintain_order="left")
    mostly = [_mostly(rows, name) for name in ("reason", "raw", "order", "material")]
    found = (
        rows.group_by("cluster", maintain_order=True)
        .agg(
            pl.col("equipment").first(),
            pl.col("start").min(),
            pl.col("end").max(),
            count=pl.col("stop_start").n_unique().cast(pl.Int64),
            lost=pl.col("duration").sum(),
        )
        .filter(pl.col("count") >= fewest)
        .with_columns(
            per_hour=pl.col("count") * 3.6e9 / (pl.col("end") - pl.col("start")).dt.total_microseconds()
        )
    )
    for most in mostly:
        found = found.join(most, on="cluster", how="left", maintain_order="left")
    return found.select(list(CLUSTERS)).sort("lost", "equipment", "start", descending=[True, False, False])


def _mostly(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """cluster and the value that stands for most of its time lost."""
    return (
        rows.group_by("cluster", name)
        .agg(pl.col("duration").sum())
        .sort("cluster", "duration", name, descending=[False, True, False], nulls_last=True)
        .unique("cluster", keep="first", maintain_order=True)
        .select("cluster", name)
    )
