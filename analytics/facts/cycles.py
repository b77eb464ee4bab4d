"""Cycle times: how long each part took, not counting the time the machine stood.

ISO 22400-2 calls the planned one PRI; this is what was achieved. From a counter it is the time between two
readings that show parts, shared by the parts of the second.
"""

from collections.abc import Mapping

import polars as pl

from analytics.facts.readings import HAS_VALUE, SAME_SERIES
from plant.frames import BAD, CYCLES, INCREMENTS, TIME
from plant.model import COUNTER_ROLES, CycleKind, Role
from plant.states import MachineState

CYCLED: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,
    "time": TIME,
    "quantity": pl.Int64,
    "cycle": pl.Int64,  # microseconds; null: not measured
}
"""A cycle ended."""


def cycle_ends(readings: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`CYCLED` rows of the cycle signals among the readings.

    A pulse ends a cycle where it leaves 0 (or a text), judged by the usable sample before it. A cycle time ends one with
    every sample above 0 seconds, but for one that says the same as the sample before it sooner than such a cycle
    could be over: it was only read again. So of cycle times every sample is needed, repeated ones too.
    """
    signals = known.filter(pl.col("cycle").is_not_null()).select("code", kind="cycle")
    rows = readings.filter(pl.col("code").is_in(signals["code"].implode()))
    if rows.is_empty():
        return pl.DataFrame(schema=dict(CYCLED))
    rows = rows.join(signals, on="code", maintain_order="left")
    value = pl.col("value")
    pulses = rows.filter(HAS_VALUE, pl.col("kind") == CycleKind.PULSE.value)
    on = value.fill_null(0) != 0
    risen = pulses.filter(SAME_SERIES & on & ~on.shift() & ~pl.col("carried"))
    times = rows.filter(pl.col("kind") == CycleKind.TIME.value).with_columns(
        length=(value * 1e6).round().cast(pl.Int64, strict=False),
        passed=(pl.col("time") - pl.col("time").shift()).dt.total_microseconds(),
        again=SAME_SERIES & (value == value.shift()) & (pl.col("quality").shift() < BAD),
    )
    again = (pl.col("again") & (pl.col("passed") < pl.col("length"))).fill_null(False)
    timed = times.filter(HAS_VALUE & (pl.col("length") > 0) & ~again & ~pl.col("carried"))
    one = pl.lit(1, pl.Int64)
    return pl.concat(
        [
            risen.select("code", "time", quantity=one, cycle=pl.lit(None, pl.Int64)),
            timed.select("code", "time", quantity=one, cycle="length"),
        ]
    )


def signalled(ended: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`CYCLED` rows of cycle signals as `plant.frames.CYCLES`, sorted by equipment and time."""
    signals = known.filter(pl.col("cycle").is_not_null()).select("code", "equipment")
    rows = ended.join(signals, on="code").rename({"quantity": "parts"})
    return rows.select(list(CYCLES)).sort("equipment", "time")


def parts_made(increments: pl.DataFrame) -> pl.DataFrame:
    """equipment, time, parts: how many parts were finished at each instant, sorted.

    `increments` (`plant.frames.INCREMENTS`): of a machine with a total counter that one counts, of others every
    counter. Readings that book nothing are left out.
    """
    counters = [role.value for role in COUNTER_ROLES]
    booked = increments.filter(pl.col("quantity") > 0, pl.col("kind").is_in(counters))
    total = pl.col("kind") == Role.TOTAL.value
    whole = booked.filter(total).select("equipment").unique()
    counts = pl.concat([booked.filter(total), booked.join(whole, on="equipment", how="anti")])
    return counts.group_by("equipment", "time").agg(parts=pl.col("quantity").sum()).sort("equipment", "time")


def cycle_times(
    increments: pl.DataFrame, intervals: pl.DataFrame, signalled: pl.DataFrame | None = None
) -> pl.DataFrame:
    """`plant.frames.CYCLES` of what was made, sorted by equipment and time.

    The running time between two readings that show parts, divided by the parts of the second; so rows are
    few where a counter is read seldom, and say the mean of that while. Time in another state than running is
    not counted. Left out is what nobody can know: the first parts of a machine, those after a time of which
    not everything is known, and readings a counter was reset at or that bridge a gap.

    Args:
        increments: `plant.frames.INCREMENTS`.
        intervals: `plant.frames.INTERVALS` of the same time.
        signalled: `CYCLES` of machines with a signal for their cycles, in place of their counters: `cycle`
            as the machine measured it, or null where it only said that a cycle ended.
    """
    signalled = pl.DataFrame(schema=dict(CYCLES)) if signalled is None else signalled
    flagged = increments.filter(pl.col("flag").is_in(["bridged", "reset"])).select("equipment", "time")
    counted = parts_made(increments.select(list(INCREMENTS)).join(signalled, on="equipment", how="anti"))
    measured = signalled.filter(pl.col("cycle").is_not_null())
    pulses = signalled.filter(pl.col("cycle").is_null()).select("equipment", "time", "parts")
    ends = pl.concat([counted, pulses]).sort("equipment", "time")
    so_far = _spent(ends, intervals)
    same = pl.col("equipment") == pl.col("equipment").shift()
    timed = (
        so_far.with_columns(
            running=pl.col("running") - pl.col("running").shift(),
            unseen=pl.col("unseen") - pl.col("unseen").shift(),
        )
        .filter(same & (pl.col("unseen") == 0) & (pl.col("running") > 0))
        .join(flagged, on=["equipment", "time"], how="anti")
        .select("equipment", "time", cycle=pl.col("running") // pl.col("parts"), parts="parts")
    )
    found = pl.concat([timed, measured.select(timed.columns)])
    return found.select(pl.col(name).cast(kind) for name, kind in CYCLES.items()).sort("equipment", "time")


def _spent(times: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """The times with how long the machine had run up to each, and how long its state had not been known
    (microseconds since its first interval). Times outside the intervals are left out."""
    length = (pl.col("end") - pl.col("start")).dt.total_microseconds()
    until = intervals.sort("equipment", "start").with_columns(
        runs=pl.col("state") == MachineState.RUNNING.value,
        hidden=pl.col("state") == MachineState.UNKNOWN.value,
        apart=pl.col("start") != pl.col("end").shift().over("equipment"),
    )
    # A hole between two intervals is time nobody saw, however long it is.
    before = until.select(
        "equipment",
        "start",
        "end",
        "runs",
        "hidden",
        running=(length * pl.col("runs")).cum_sum().over("equipment") - length * pl.col("runs"),
        unseen=(length * pl.col("hidden") + pl.col("apart").fill_null(False).cast(pl.Int64))
        .cum_sum()
        .over("equipment")
        - length * pl.col("hidden"),
    )
    found = times.sort("time").join_asof(
        before.sort("start"),
        left_on="time",
        right_on="start",
        by="equipment",
        strategy="backward",
        check_sortedness=False,
    )
    into = (pl.min_horizontal("time", "end") - pl.col("start")).dt.total_microseconds()
    return (
        found.filter(pl.col("start").is_not_null())
        .select(
            "equipment",
            "time",
            "parts",
            running=pl.col("running") + into * pl.col("runs"),
            unseen=pl.col("unseen") + into * pl.col("hidden"),
        )
        .sort("equipment", "time")
    )
