"""State samples to state intervals.

The rule is local to a sample and its successor, so it cannot matter how samples were batched: a sample
with a usable, mapped value holds over [t, min(next t, t + stale_after)); all other time is unknown.
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from analytics.facts.readings import HAS_VALUE, SAME_SERIES, codes, raw_text, shortest
from plant.frames import INTERVALS, TIME
from plant.model import Plant, Role, StateMapping
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


STATE_MAP: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,
    "raw": pl.String,  # a single value
    "low": pl.Float64,  # or a range of numbers, both ends included
    "high": pl.Float64,
    "bit": pl.Int64,  # or a bit that is set, 0 the lowest
    "rank": pl.Int64,  # of bits, the lowest decides
    "state": pl.String,
    "reason": pl.String,
}
"""What values of state signals mean; a row with neither value, range nor bit is for all others."""


def state_map(plant: Plant, known: pl.DataFrame) -> pl.DataFrame:
    """`STATE_MAP`: what the plant file says raw values of state signals mean."""
    rows: list[tuple[object, ...]] = []
    for code, equipment, signal_id in known.select("code", "equipment", "signal").iter_rows():
        signal = plant.signals.get((equipment, signal_id))
        if signal is None:
            continue
        found: list[tuple[tuple[object, ...], StateMapping]] = [
            ((raw, None, None, None, None), means) for raw, means in signal.states.items()
        ]
        found += [((None, each.low, each.high, None, None), each.means) for each in signal.ranges]
        found += [((None, None, None, e.bit, rank), e.means) for rank, e in enumerate(signal.bits)]
        if signal.otherwise is not None:
            found.append(((None,) * 5, signal.otherwise))
        rows += [(code, *where, means.state.value, means.reason) for where, means in found]
    return pl.DataFrame(rows, schema=dict(STATE_MAP), orient="row")


def _meanings(begun: pl.DataFrame, mapping: pl.DataFrame) -> pl.DataFrame:
    """Rows (code, value, raw, ...) with state and reason: of the value itself, else of its range, else of its first bit
    that is set, else of all others. `raw` of a bit is "bit 3": the others do not matter."""
    exact = mapping.filter(pl.col("raw").is_not_null()).select("code", "raw", "state", "reason")
    if exact.height == mapping.height:
        return begun.join(exact, on=["code", "raw"], how="left", maintain_order="left")
    key = ["code", "value", "raw"]
    seen = begun.select(key).filter(pl.col("raw").is_not_null()).unique()
    value = pl.col("value").cast(pl.Int64, strict=False)
    whole = (pl.col("value") == pl.col("value").floor()) & pl.col("value").is_between(0, 2**53)
    is_set = whole & ((value // (2 ** pl.col("bit"))) % 2 == 1)
    set_bit = pl.when(pl.col("bit").is_not_null()).then(is_set)
    single = pl.col("raw_right") == pl.col("raw")
    ranged = pl.col("value").is_between("low", "high")
    rest = pl.all_horizontal(pl.col(name).is_null() for name in ("raw_right", "low", "bit"))
    fits = pl.coalesce(single, ranged, set_bit, rest)
    order = (
        pl.when(single).then(0).when(ranged).then(1).when(set_bit).then(2 + pl.col("rank")).otherwise(1000)
    )
    named = pl.when(set_bit).then("bit " + pl.col("bit").cast(pl.String)).otherwise("raw")
    # Few values are unlike: each is looked up once.
    found = (
        seen.join(mapping, on="code")
        .filter(fits)
        .sort(*key, order, nulls_last=True)
        .unique(key, keep="first", maintain_order=True)
        .select(*key, "state", "reason", named=named)
    )
    joined = begun.join(found, on=key, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(raw=pl.coalesce("named", "raw")).drop("named")


def state_edges(readings: pl.DataFrame, known: pl.DataFrame, mapping: pl.DataFrame) -> pl.DataFrame:
    """Where the state may change (`EDGES`): at samples unlike the one before, and where one went stale.

    `readings` as of `analytics.facts.readings`, `mapping` as of `state_map`. A raw value the mapping lacks is
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
        kept.select(
            "code",
            "time",
            "value",
            raw=pl.when("usable").then(raw_text(pl.col("value"), pl.col("text"))),
        )
        .pipe(_meanings, mapping)
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
