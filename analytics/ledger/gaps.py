"""The state of machines that do not tell it, from the time between their parts (`plant.model.CycleGaps`).

After Shoplogix' rule of machine states: the first cycle of a gap between two parts is running; the rest is running
slowly, a micro-stop or idle, by how many ideal cycles the gap is long. It is the ideal cycle of what was being made
when the gap began (if that has none, when it ended), so this happens where order runs are known, in
`analytics.ledger.rows`. Of n parts that one reading shows each has an n-th of the gap; the n cycles at its beginning are
running.

The gap that is still open is judged by its length so far, as one of one part. The first reading begins a gap as if a
part had been finished. Time in which a part could not have been heard is unknown, and so is a gap of which no
ideal cycle is known.
"""

from collections.abc import Mapping
from enum import StrEnum

import polars as pl

from analytics.facts.cycles import parts_made
from analytics.facts.telling import HEARD
from analytics.ledger.attributes import ideal_cycles
from plant.frames import INTERVALS, TIME
from plant.model import Plant, Role
from plant.states import MachineState


class Gap(StrEnum):
    """Raw values of the states told here."""

    RUNNING = "running"
    SLOW = "slow"
    MICRO_STOP = "micro-stop"
    IDLE = "idle"
    UNRATED = "no ideal cycle"


_STATES: Mapping[str, str] = {
    Gap.RUNNING: MachineState.RUNNING.value,
    Gap.SLOW: MachineState.RUNNING.value,
    Gap.MICRO_STOP: MachineState.DOWN.value,
    Gap.IDLE: MachineState.DOWN.value,
    Gap.UNRATED: MachineState.UNKNOWN.value,
}


def states_from_cycles(
    intervals: pl.DataFrame, increments: pl.DataFrame, runs: pl.DataFrame, plant: Plant
) -> pl.DataFrame:
    """Intervals (`plant.frames.INTERVALS`) with the states of machines whose state comes from their cycles.

    `intervals` of such a machine say when its parts can be heard (`analytics.facts.telling.HEARD`); the end of the last
    one is now. `increments` (`INCREMENTS`, of cycle signals too) reach back to the last parts before the time that is
    asked for. `runs`: `ORDER_RUNS`.
    """
    gaps = {m.id: m.cycle_gaps for m in plant.machines() if m.cycle_gaps is not None}
    if not gaps:
        return intervals
    mine = pl.col("equipment").is_in(list(gaps))
    heard = intervals.filter(mine)
    bounds = pl.DataFrame(
        [(machine, gap.running, gap.slow, gap.micro_stop) for machine, gap in gaps.items()],
        schema=["equipment", "up_to_running", "up_to_slow", "up_to_micro"],
        orient="row",
    )
    ends = _ends(increments.filter(mine, pl.col("flag").ne_missing(pl.lit("corrected"))), plant)
    pieces = _judged(_rated(_gaps(ends, heard), runs, plant), bounds)
    return pl.concat([intervals.filter(~mine), _where_heard(pieces, heard)]).sort("equipment", "start")


def _ends(increments: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """equipment, time, parts: when parts were finished, by the cycle signal where there is one."""
    signals = [m.id for m in plant.machines() if plant.signals_of(m.id, Role.CYCLE)]
    by_signal = pl.col("equipment").is_in(signals)
    cycles = increments.filter(by_signal, pl.col("kind") == Role.CYCLE.value)
    ended = cycles.group_by("equipment", "time").agg(parts=pl.col("quantity").sum())
    return pl.concat([ended, parts_made(increments.filter(~by_signal))])


def _gaps(ends: pl.DataFrame, heard: pl.DataFrame) -> pl.DataFrame:
    """equipment, start, end, parts: from one end of a cycle to the next; the last one is open."""
    span = heard.filter(pl.col("raw") == HEARD).group_by("equipment").agg(time=pl.col("start").min())
    first = ends.group_by("equipment").agg(first=pl.col("time").min())
    begins = span.join(first, on="equipment", how="left").filter(
        (pl.col("first") > pl.col("time")).fill_null(True)
    )
    until = heard.group_by("equipment").agg(until=pl.col("end").max())
    times = pl.concat([ends, begins.select("equipment", "time", parts=pl.lit(0, pl.Int64))]).join(
        until, on="equipment"
    )
    times = times.filter(pl.col("time") < pl.col("until")).sort("equipment", "time")
    same = pl.col("equipment") == pl.col("equipment").shift(-1)
    return times.select(
        "equipment",
        start="time",
        end=pl.when(same).then(pl.col("time").shift(-1)).otherwise("until"),
        parts=pl.when(same).then(pl.col("parts").shift(-1)).otherwise(1),
    )


def _rated(gaps: pl.DataFrame, runs: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """Gaps with `cycle`, the ideal cycle when they began, else when they ended."""
    usual = {m.id: m.material for m in plant.machines() if m.material is not None}
    makes = pl.col("equipment").replace_strict(usual, default=None, return_dtype=pl.String)
    key = gaps.select("equipment", "start")

    def then(times: pl.DataFrame) -> pl.DataFrame:
        made = _at(times, runs.select("equipment", "start", "end", "material"))
        return _at(
            made.with_columns(material=pl.coalesce("material", makes)), ideal_cycles(plant), "material"
        )

    begun = then(key.with_columns(begin="start"))
    ended = then(gaps.select("equipment", begin="start", start="end"))
    return (
        gaps.join(begun.select("equipment", start="begin", cycle="cycle"), on=["equipment", "start"])
        .join(ended.select("equipment", start="begin", later="cycle"), on=["equipment", "start"])
        .with_columns(cycle=pl.coalesce("cycle", "later"))
    )


def _at(rows: pl.DataFrame, spans: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Add what the span that holds at each row's start says; null where none does."""
    keys = ["equipment", *by]
    said = [c for c in spans.columns if c not in (*keys, "start", "end")]
    found = rows.sort("start").join_asof(
        spans.rename({"end": "until"}).sort("start"),
        on="start",
        by=keys,
        strategy="backward",
        check_sortedness=False,  # sorted within each key, which polars cannot check
    )
    over = (pl.col("until") <= pl.col("start")).fill_null(False)
    return found.with_columns(pl.when(~over).then(pl.col(c)).alias(c) for c in said).drop("until")


def _judged(gaps: pl.DataFrame, bounds: pl.DataFrame) -> pl.DataFrame:
    """equipment, start, raw: from `start` on the machine is that, in order."""
    ideal = pl.col("cycle") * pl.col("parts")
    length = (pl.col("end") - pl.col("start")).dt.total_microseconds()

    def up_to(bound: str) -> pl.Expr:
        return length <= (pl.col(bound) * ideal).round().cast(pl.Int64)

    rest = (
        pl.when(pl.col("cycle").is_null())
        .then(pl.lit(Gap.UNRATED.value))
        .when(up_to("up_to_running"))
        .then(pl.lit(Gap.RUNNING.value))
        .when(up_to("up_to_slow"))
        .then(pl.lit(Gap.SLOW.value))
        .when(up_to("up_to_micro"))
        .then(pl.lit(Gap.MICRO_STOP.value))
        .otherwise(pl.lit(Gap.IDLE.value))
    )
    told = gaps.join(bounds, on="equipment").with_columns(rest=rest, ideal=ideal, length=length)
    first = told.select(
        "equipment",
        "start",
        raw=pl.when(pl.col("cycle").is_null()).then("rest").otherwise(pl.lit(Gap.RUNNING.value)),
    )
    after = told.filter(pl.col("cycle").is_not_null(), pl.col("length") > pl.col("ideal")).select(
        "equipment", start=pl.col("start") + pl.duration(microseconds="ideal"), raw="rest"
    )
    return pl.concat([first, after]).sort("equipment", "start")


def _where_heard(pieces: pl.DataFrame, heard: pl.DataFrame) -> pl.DataFrame:
    """INTERVALS: what the pieces say where the machine was heard, unknown elsewhere; neighbours differ."""
    until = heard.group_by("equipment").agg(until=pl.col("end").max())
    marks = pl.concat([heard.select("equipment", "start"), pieces.select("equipment", "start")])
    begun = heard.group_by("equipment").agg(begin=pl.col("start").min())
    laid = marks.unique().join(begun, on="equipment").filter(pl.col("start") >= pl.col("begin"))
    hears = heard.select("equipment", "start", "end", hears=pl.col("raw") == HEARD)
    said = _at(laid.select("equipment", "start"), hears)
    said = _at(said, pieces.with_columns(end=pl.lit(None, TIME))).sort("equipment", "start")
    raw = pl.when(pl.col("hears").fill_null(False)).then("raw")
    said = said.select("equipment", "start", raw=raw)
    differs = (pl.col("equipment") != pl.col("equipment").shift()) | pl.col("raw").ne_missing(
        pl.col("raw").shift()
    )
    said = said.filter(differs.fill_null(True)).join(until, on="equipment", maintain_order="left")
    same = pl.col("equipment") == pl.col("equipment").shift(-1)
    state = pl.col("raw").replace_strict(
        dict(_STATES), default=MachineState.UNKNOWN.value, return_dtype=pl.String
    )
    return said.with_columns(
        end=pl.when(same).then(pl.col("start").shift(-1)).otherwise("until"),
        state=state,
        reason=pl.lit(None, pl.String),
    ).select(pl.col(name).cast(kind) for name, kind in INTERVALS.items())
