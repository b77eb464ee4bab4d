"""State samples to state intervals.

The rule is local to a sample and its successor, so it cannot matter how samples were batched: a sample
with a usable, mapped value holds over [t, min(next t, t + stale_after)); all other time is unknown.
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from analytics.readings import HAS_VALUE, SAME_SERIES, codes, raw_text, shortest
from plant.frames import INTERVALS, TIME
from plant.model import Plant, Role
from plant.states import MachineState

EDGES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,
    "time": TIME,
    "raw": pl.String,
    "state": pl.String,
    "reason": pl.String,
}
"""From `time` on the machine is in `state`. Neighbours may be equal."""

LABEL = ("raw", "state", "reason")


def state_map(plant: Plant, known: pl.DataFrame) -> pl.DataFrame:
    """code, raw, state, reason: what the plant file says raw values of state signals mean."""
    rows = [
        (code, raw, mapping.state.value, mapping.reason)
        for code, equipment, signal in known.select("code", "equipment", "signal").iter_rows()
        for raw, mapping in plant.signals[equipment, signal].states.items()
    ]
    schema = {"code": pl.UInt32, "raw": pl.String, "state": pl.String, "reason": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def state_edges(readings: pl.DataFrame, known: pl.DataFrame, mapping: pl.DataFrame) -> pl.DataFrame:
    """Where the state may change (`EDGES`): at samples unlike the one before, and where one went stale.

    `readings` as of `analytics.readings`, `mapping` as of `state_map`. A raw value the mapping lacks is
    unknown, and keeps its raw value so that it can be found.
    """
    states = known.filter(pl.col("role") == Role.STATE.value)
    longest = shortest(states["stale"].to_list())
    went_stale = pl.lit(False) if longest is None else pl.col("time") - pl.col("before") > longest
    rows = readings.filter(pl.col("code").is_in(codes(known, Role.STATE).implode())).with_columns(
        usable=HAS_VALUE, same=SAME_SERIES, before=pl.col("time").shift()
    )
    unchanged = (
        pl.col("same")
        & (pl.col("usable") == pl.col("usable").shift())
        & pl.col("value").eq_missing(pl.col("value").shift())
        & pl.col("text").eq_missing(pl.col("text").shift())
        & ~went_stale
    )
    kept = rows.filter(~unchanged.fill_null(False) & ~pl.col("carried")).join(
        states.select("code", "stale"), on="code", how="left", maintain_order="left"
    )
    begun = (
        kept.select("code", "time", raw=pl.when("usable").then(raw_text(pl.col("value"), pl.col("text"))))
        .join(mapping, on=["code", "raw"], how="left", maintain_order="left")
        .with_columns(pl.col("state").fill_null(MachineState.UNKNOWN.value))
    )
    lapsed = kept.filter(pl.col("same") & (pl.col("time") - pl.col("before") > pl.col("stale"))).select(
        "code", time=pl.col("before") + pl.col("stale")
    )
    return pl.concat([begun.select(list(EDGES)), _unknown(lapsed)])


def intervals(edges: pl.DataFrame, last: pl.DataFrame, known: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """Edges to `plant.frames.INTERVALS`, ended at `until`.

    `last` (code, time) is the newest sample of each series: its value lapses when it is stale by `until`.
    Nothing is said before a machine's first sample.
    """
    tails = last.join(known.filter(pl.col("role") == Role.STATE.value), on="code", how="inner").select(
        "code", time=pl.col("time") + pl.col("stale")
    )
    tails = tails.filter(pl.col("time").is_not_null())
    marks = pl.concat([edges, _unknown(tails)]).filter(pl.col("time") < until).sort("code", "time")
    differs = ~SAME_SERIES
    for name in LABEL:
        differs = differs | pl.col(name).ne_missing(pl.col(name).shift())
    ends = pl.when(SAME_SERIES.shift(-1)).then(pl.col("time").shift(-1)).otherwise(until)
    return (
        marks.filter(differs)
        .with_columns(end=ends.cast(TIME))
        .join(known.select("code", "equipment"), on="code", how="left", maintain_order="left")
        .rename({"time": "start"})
        .select(list(INTERVALS))
        .sort("equipment", "start")
    )


def _unknown(times: pl.DataFrame) -> pl.DataFrame:
    """Edges to UNKNOWN at (code, time)."""
    nothing = pl.lit(None, dtype=pl.String)
    return times.with_columns(raw=nothing, state=pl.lit(MachineState.UNKNOWN.value), reason=nothing).select(
        list(EDGES)
    )
