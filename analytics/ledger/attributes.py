"""What may hold over a span of a machine's time: state runs, calendar segments, ideal cycles, re-codings.

Each function returns spans with equipment, start and end that do not overlap per machine (ideal cycles: per
machine and material); the ledger looks them up. A null end is open.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from plant.calendar import segments
from plant.frames import TIME, Window
from plant.model import Plant
from plant.states import STOPPED, MachineState

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

_EVER = datetime(1, 1, 1, tzinfo=UTC)


def state_runs(intervals: pl.DataFrame) -> pl.DataFrame:
    """Intervals (`plant.frames.INTERVALS`) with stop_start and stop_length of the uncut run of the same state
    they belong to: a stop whose fault code changes while it lasts is one stop, unless people said that another one
    `begins` (`as_said`)."""
    joined = (
        (pl.col("equipment") == pl.col("equipment").shift())
        & (pl.col("state") == pl.col("state").shift())
        & (pl.col("start") == pl.col("end").shift())
    )
    if "begins" in intervals.columns:
        joined = joined & ~pl.col("begins")
    rows = intervals.sort("equipment", "start").with_columns(run=(~joined.fill_null(False)).cum_sum())
    whole = rows.group_by("run").agg(
        stop_start=pl.col("start").min(), stop_length=pl.col("end").max() - pl.col("start").min()
    )
    return rows.join(whole, on="run", how="left", maintain_order="left").drop("run")


def without_blips(intervals: pl.DataFrame, increments: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """Intervals (`plant.frames.INTERVALS`) in which running for less than `min_running` between two stops has the state
    and the reason of the stop before it. The raw value stays.

    Running in which a counter showed anything, from its start to its very end, stays running.
    """
    limits = min_running(plant)
    mine = pl.col("equipment").is_in(list(limits))
    rows = state_runs(intervals.filter(mine)) if limits else intervals.clear()
    if rows.is_empty():
        return intervals
    whole = (
        rows.group_by("equipment", "stop_start")
        .agg(pl.col("state").first(), pl.col("reason").last(), pl.col("end").last())
        .sort("equipment", "stop_start")
        .with_columns(
            limit=pl.col("equipment").replace_strict(limits, return_dtype=pl.Duration("us")),
            before=_neighbour(1),
            reason=pl.col("reason").shift(),
            after=_neighbour(-1),
        )
    )
    running, stopped = MachineState.RUNNING.value, [s.value for s in STOPPED]
    blips = whole.filter(
        pl.col("state") == running,
        pl.col("before").is_in(stopped),
        pl.col("after").is_in(stopped),
        pl.col("end") - pl.col("stop_start") < pl.col("limit"),
    )
    seen = increments.filter(pl.col("quantity") > 0, pl.col("flag").ne_missing(pl.lit("corrected")))
    blips = (
        blips.sort("stop_start")
        .join_asof(
            seen.select("equipment", "time", shown="time").sort("time"),
            left_on="stop_start",
            right_on="time",
            by="equipment",
            strategy="forward",
            check_sortedness=False,
        )
        .filter(pl.col("shown").is_null() | (pl.col("shown") > pl.col("end")))
        .select("equipment", "stop_start", "before", because="reason")
    )
    blip = pl.col("before").is_not_null()
    told = rows.join(blips, on=["equipment", "stop_start"], how="left").with_columns(
        state=pl.coalesce("before", "state"), reason=pl.when(blip).then("because").otherwise("reason")
    )
    return pl.concat([intervals.filter(~mine), told.select(intervals.columns)]).sort("equipment", "start")


def min_running(plant: Plant) -> dict[str, timedelta]:
    """The minimum running time of each machine that has one."""
    default = plant.settings.min_running
    each = {m.id: default if m.min_running is None else m.min_running for m in plant.machines()}
    return {machine: limit for machine, limit in each.items() if limit}


def _neighbour(step: int) -> pl.Expr:
    """The state of the run before (1) or after (-1), where it is of the same machine and adjoins."""
    near = (pl.col("equipment") == pl.col("equipment").shift(step)) & (
        (pl.col("stop_start") == pl.col("end").shift(step))
        if step > 0
        else (pl.col("end") == pl.col("stop_start").shift(step))
    )
    return pl.when(near).then(pl.col("state").shift(step))


def calendar_segments(plant: Plant, machines: Sequence[str], window: Window) -> pl.DataFrame:
    """`plant.calendar.segments` of each machine's calendar over the window, with equipment."""
    return pl.concat(
        segments(calendar, plant.site.zone, window).join(pl.DataFrame({"equipment": members}), how="cross")
        for calendar, members in plant.by_calendar(machines)
    )


def ideal_cycles(plant: Plant) -> pl.DataFrame:
    """equipment, material, start, end, cycle (microseconds per part): ideal cycles, each until
    the next one of the same material and machine takes over."""
    rows = [
        (c.equipment, material.id, c.valid_from or _EVER, c.cycle // timedelta(microseconds=1))
        for material in plant.materials.values()
        for c in material.ideal_cycles
    ]
    schema: Schema = {"equipment": pl.String, "material": pl.String, "start": TIME, "cycle": pl.Int64}
    key = ["equipment", "material"]
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .sort(*key, "start")
        .with_columns(end=pl.col("start").shift(-1).over(key))
    )


def as_said(intervals: pl.DataFrame, recodes: pl.DataFrame) -> pl.DataFrame:
    """Intervals (`plant.frames.INTERVALS`) with what people said the machine was doing (`RECODES` with a state) laid
    over them, and `begins`: here begins a stop because somebody said so.

    The raw value stays. The mapping's reason goes where the state is another one.
    """
    signal = intervals.with_columns(begins=pl.lit(False))
    speaking = (
        recodes.filter(pl.col("state").is_not_null()).select("equipment").unique().get_column("equipment")
    )
    if speaking.is_empty():
        return signal
    about = pl.col("equipment").is_in(speaking.implode())
    raw = state_runs(intervals.filter(about))
    entries = recodes.filter(about, pl.col("state").is_not_null() | pl.col("reason").is_null())
    said = _newest(_ended(entries, raw), "state", "since")
    marks = [frame.select("equipment", time=end) for frame in (raw, said) for end in ("start", "end")]
    pieces = _between(pl.concat(marks))
    pieces = _at(pieces, raw.select("equipment", "start", "end", "raw", "state", "reason"))
    pieces = _at(pieces, said.rename({"state": "said"}))
    same = pl.col("said").is_null() | pl.col("said").eq_missing(pl.col("state"))
    over = pieces.filter(pl.col("state").is_not_null() | pl.col("said").is_not_null()).with_columns(
        state=pl.coalesce("said", "state"),
        reason=pl.when(same).then("reason"),
        begins=(pl.col("since") == pl.col("start")).fill_null(False),
    )
    return pl.concat([signal.filter(~about), over.select(signal.columns)]).sort("equipment", "start")


def resolve_recodes(recodes: pl.DataFrame, stops: pl.DataFrame) -> pl.DataFrame:
    """equipment, start, end, reason without overlap: where entries overlap, the one made last holds.

    An entry without an end covers the rest of the stop it begins in (`stops` as of `state_runs`); one without
    a reason takes earlier entries back, unless it says a state.
    """
    if recodes.is_empty():
        return recodes.select("equipment", "start", "end", "reason")
    entries = recodes.filter(pl.col("reason").is_not_null() | pl.col("state").is_null())
    return _newest(_ended(entries, stops), "reason").select("equipment", "start", "end", "reason")


def _ended(entries: pl.DataFrame, stops: pl.DataFrame) -> pl.DataFrame:
    """Entries in the order they were made (`rank`), each with an end: its own, else that of the stop it begins in."""
    numbered = entries.with_row_index("given")
    open_ends = numbered.sort("start").join_asof(
        stops.select("equipment", "start", stop_end=pl.col("stop_start") + pl.col("stop_length")).sort(
            "start"
        ),
        on="start",
        by="equipment",
        strategy="backward",
        check_sortedness=False,
    )
    whole = open_ends.with_columns(end=pl.coalesce("end", "stop_end")).filter(pl.col("end") > pl.col("start"))
    return whole.sort("at", "given").drop("given", "stop_end").with_row_index("rank")


def _newest(entries: pl.DataFrame, value: str, since: str | None = None) -> pl.DataFrame:
    """equipment, start, end without overlap, with the value of the entry that was made last of those that cover it, if it
    has one; and as `since` where that entry begins."""
    spans = _between(
        pl.concat([entries.select("equipment", time="start"), entries.select("equipment", time="end")])
    )
    covering = spans.join_where(
        entries.select("rank", value, by="equipment", begin="start", until="end"),
        pl.col("equipment") == pl.col("by"),
        pl.col("begin") <= pl.col("start"),
        pl.col("until") > pl.col("start"),
    )
    found = covering.sort("equipment", "start", "rank").unique(
        ["equipment", "start"], keep="last", maintain_order=True
    )
    other = (pl.col("rank") != pl.col("rank").shift()) | (pl.col("start") != pl.col("end").shift())
    named = {} if since is None else {since: pl.col("begin").first()}
    whole = found.filter(pl.col(value).is_not_null()).group_by(
        "equipment", part=other.fill_null(True).cum_sum(), maintain_order=True
    )
    return whole.agg(pl.col("start").first(), pl.col("end").last(), pl.col(value).first(), **named).drop(
        "part"
    )


def _between(marks: pl.DataFrame) -> pl.DataFrame:
    """equipment, start, end: the spans between neighbouring marks (equipment, time) of a machine."""
    return (
        marks.unique()
        .sort("equipment", "time")
        .select("equipment", start="time", end=pl.col("time").shift(-1).over("equipment"))
        .filter(pl.col("end").is_not_null())
    )


def _at(pieces: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Add what the span that covers each piece says; null where none does."""
    said = [c for c in spans.columns if c not in ("equipment", "start", "end")]
    found = pieces.join_asof(
        spans.rename({"end": "until"}).sort("start"),
        on="start",
        by="equipment",
        strategy="backward",
        check_sortedness=False,  # sorted within each machine, which polars cannot check
    )
    covers = pl.col("until") > pl.col("start")
    return found.with_columns(pl.when(covers).then(pl.col(c)).alias(c) for c in said).drop("until")
