"""The ledger: every microsecond of every machine's calendar in exactly one row, with its parts.

All edges of a machine (window, state, shift and break, order, re-coding, ideal cycle, and any the caller
adds) are united and sorted; each span between two edges is a row and looks up what holds at its start.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import polars as pl
from polars.expr.whenthen import ChainedThen, Then

from analytics.ledger.attributes import (
    as_said,
    calendar_segments,
    ideal_cycles,
    resolve_recodes,
    state_runs,
    without_blips,
)
from analytics.ledger.changeover import changeovers, rules
from analytics.ledger.gaps import Gap, states_from_cycles
from plant.calendar import BREAK, OFF
from plant.frames import LEDGER, TIME, Window, empty
from plant.model import BreakRule, ChangeoverRule, Plant, Role
from plant.states import CATEGORY_OF_STATE, MachineState, TimeCategory


class LedgerError(AssertionError):
    """The rows of a machine do not add up to the window: a defect here, never the data's fault."""


def ledger(
    intervals: pl.DataFrame,
    increments: pl.DataFrame,
    runs: pl.DataFrame,
    recodes: pl.DataFrame,
    plant: Plant,
    window: Window,
    edges: Iterable[datetime] = (),
    since: Mapping[str, datetime] | None = None,
) -> pl.DataFrame:
    """`plant.frames.LEDGER` of all machines over the window.

    `intervals`, `increments`, `runs`, `recodes`: frames of those names in `plant.frames`, not cut to the
    window (a stop is judged by its whole length). `edges`: extra instants to cut at, such as those of
    `analytics.figures.buckets`; they change no sum. `since`: machines whose rows are wanted from an instant in the
    window on. Raises LedgerError if the rows do not cover the window once.
    """
    machines = sorted(m.id for m in plant.machines())
    if not machines or window.start == window.end:
        return empty(LEDGER)
    since = since or {}
    begins = pl.DataFrame(
        [(machine, since.get(machine, window.start)) for machine in machines],
        schema={"equipment": pl.String, "begin": TIME},
        orient="row",
    )
    signal = states_from_cycles(intervals, increments, runs, plant)
    stops = state_runs(as_said(without_blips(signal, increments, plant), recodes))
    parts = _parts(increments, plant)
    changing = changeovers(stops, runs, parts, plant)
    starting = _starting(changing, plant)
    shifts = calendar_segments(plant, machines, window)
    cycles = ideal_cycles(plant)
    recoded = resolve_recodes(recodes, stops)
    marks = [
        begins.select("equipment", time="begin"),
        begins.select("equipment").join(
            pl.DataFrame({"time": list(edges)}, schema={"time": TIME}), how="cross"
        ),
        *(frame.select("equipment", time="start") for frame in (stops, shifts, runs, recoded, cycles)),
        *(frame.select("equipment", time="end") for frame in (stops, runs, recoded, changing, starting)),
    ]
    rows = _holding(_pieces(pl.concat(marks), begins, window), stops)
    rows = _holding(rows, shifts.select("equipment", "start", "end", "kind", "shift", "shift_start"))
    rows = _as_usual(_holding(rows, runs), plant)
    rows = _holding(rows, recoded.rename({"reason": "recoded"}))
    rows = _holding(rows, cycles, "material")
    rows = _holding(rows, changing.with_columns(changing=pl.lit(True)))
    rows = _holding(rows, starting.with_columns(starting=pl.lit(True)))
    rows = _book(_categorise(rows, plant), parts, stops, begins, window)
    lines = {m: plant.line_of(m) for m in machines}
    rows = rows.with_columns(
        line=pl.col("equipment").replace_strict(lines, return_dtype=pl.String),
        duration=(pl.col("end") - pl.col("start")).dt.total_microseconds(),
    ).select(pl.col(name).cast(kind) for name, kind in LEDGER.items())
    check(rows, begins, window)
    return rows


def check(rows: pl.DataFrame, begins: pl.DataFrame, window: Window) -> None:
    """Raise LedgerError unless the rows cover the window once from the beginning of each machine
    (`begins`: equipment, begin; one that begins at the window's end has no rows)."""
    end = pl.lit(window.end, TIME)
    lengths = begins.filter(pl.col("begin") < end).select(
        "equipment", length=(end - pl.col("begin")).dt.total_microseconds()
    )
    found = rows.group_by("equipment").agg(pl.col("duration").sum(), shortest=pl.col("duration").min())
    joined = (pl.col("start") == pl.col("end").shift()) | (pl.col("equipment") != pl.col("equipment").shift())
    both = lengths.join(found, on="equipment", how="full", coalesce=True)
    whole = (
        both.select(
            (
                pl.col("duration").eq_missing(pl.col("length")) & (pl.col("shortest") > 0).fill_null(False)
            ).all()
        ).item()
        and rows.select(joined.fill_null(True).all()).item()
    )
    if not whole:
        raise LedgerError(f"ledger rows do not cover {window.start} to {window.end} once: {found.rows()}")


def _pieces(marks: pl.DataFrame, begins: pl.DataFrame, window: Window) -> pl.DataFrame:
    """equipment, start, end: the window of each machine between its edges."""
    marks = (
        marks.filter(pl.col("time") < window.end)
        .join(begins, on="equipment")
        .filter(pl.col("time") >= pl.col("begin"))
        .drop("begin")
        .unique()
        .sort("equipment", "time")
    )
    following = pl.when(pl.col("equipment") == pl.col("equipment").shift(-1)).then(pl.col("time").shift(-1))
    return marks.select("equipment", start="time", end=following.fill_null(pl.lit(window.end, TIME)))


def _holding(rows: pl.DataFrame, spans: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Add what the span that holds at each row's start says; null where none does."""
    keys = ["equipment", *by]
    said = [c for c in spans.columns if c not in (*keys, "start", "end")]
    found = rows.join_asof(
        spans.select(*keys, *said, since="start", until="end").sort("since"),
        left_on="start",
        right_on="since",
        by=keys,
        strategy="backward",
        check_sortedness=False,  # rows are sorted within each key, which polars cannot check
    )
    holds = pl.col("since").is_not_null() & (pl.col("until").is_null() | (pl.col("until") > pl.col("start")))
    return found.with_columns(pl.when(holds).then(pl.col(c)).alias(c) for c in said).drop("since", "until")


def _as_usual(rows: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """What a machine makes where no order says it, if the plant file does."""
    usual = {m.id: m.material for m in plant.machines() if m.material is not None}
    makes = pl.col("equipment").replace_strict(usual, default=None, return_dtype=pl.String)
    return rows.with_columns(material=pl.coalesce("material", makes))


def startup_times(plant: Plant) -> dict[str, timedelta]:
    """How long after a changeover the rejects of each machine are those of starting up."""
    default = plant.settings.startup
    return {m.id: default if m.startup is None else m.startup for m in plant.machines()}


def _starting(changing: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """equipment, start, end: changeovers with the start-up after them."""
    lasts = pl.col("equipment").replace_strict(startup_times(plant), return_dtype=pl.Duration("us"))
    return changing.with_columns(end=pl.col("end") + lasts)


def _categorise(rows: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """Fill state, reason and category: the rules of docs/time-model.md, from the strongest down."""
    default = plant.settings.micro_stop
    short = {m.id: default if m.micro_stop is None else m.micro_stop for m in plant.machines()}
    planned = [r.id for r in plant.reasons.values() if r.planned]
    state = pl.col("state")
    stopped = ~state.is_in([MachineState.RUNNING.value, MachineState.UNKNOWN.value])
    rows = rows.with_columns(state.fill_null(MachineState.UNKNOWN.value)).with_columns(
        recoded=pl.when(stopped).then(pl.col("recoded")),
        threshold=pl.col("equipment").replace_strict(short, return_dtype=pl.Duration("us")),
    )
    rows = rows.with_columns(reason=pl.coalesce("recoded", "reason"))
    in_break = pl.col("kind") == BREAK
    if plant.settings.breaks is BreakRule.UNLESS_RUNNING:
        in_break = in_break & (state != MachineState.RUNNING.value)
    meant = state.is_in([MachineState.PLANNED_STOP.value, MachineState.MAINTENANCE.value])
    none = [m for m, rule in rules(plant).items() if rule is ChangeoverRule.OFF]
    no_setup = (state == MachineState.SETUP.value) & pl.col("equipment").is_in(none)
    down = (state == MachineState.DOWN.value) | (meant & pl.col("recoded").is_not_null()) | no_setup
    changing = pl.col("changing").fill_null(False) & pl.col("recoded").is_null()
    by_cycles = pl.col("equipment").is_in([m.id for m in plant.machines() if m.cycle_gaps is not None])
    by_cycles = by_cycles & pl.col("raw").is_in([Gap.MICRO_STOP.value, Gap.IDLE.value])
    brief = (
        pl.when(by_cycles)
        .then(pl.col("raw") == Gap.MICRO_STOP.value)
        .otherwise(pl.col("stop_length") < pl.col("threshold"))
    )
    by_state = {s.value: c.value for s, c in CATEGORY_OF_STATE.items()}
    return rows.with_columns(
        category=pl.when(pl.col("kind") == OFF)
        .then(pl.lit(TimeCategory.NOT_SCHEDULED.value))
        .when(in_break | (stopped & pl.col("reason").is_in(planned)))
        .then(pl.lit(TimeCategory.PLANNED_DOWNTIME.value))
        .when(down & changing)
        .then(pl.lit(TimeCategory.CHANGEOVER.value))
        .when(down & brief)
        .then(pl.lit(TimeCategory.MICRO_STOP.value))
        .when(down)
        .then(pl.lit(TimeCategory.UNPLANNED_DOWNTIME.value))
        .otherwise(state.replace_strict(by_state, return_dtype=pl.String))
    )


def _book(
    rows: pl.DataFrame, parts: pl.DataFrame, stops: pl.DataFrame, begins: pl.DataFrame, window: Window
) -> pl.DataFrame:
    """Add good, reject, rework, startup, flagged and the ideal time of the parts to the rows they were made in.

    That is the row the reading lies in. But what a reading at the very end of unknown time shows was made in
    that time: it counts, and must not rate the time after.
    """
    tick = timedelta(microseconds=1)
    before = begins.select("equipment", start=pl.col("begin") - tick, end="begin")
    before = _holding(before, stops.select("equipment", "state", "start", "end"))
    pieces = pl.concat([before, rows.select(before.columns)]).select(
        "equipment",
        piece="start",
        over="end",
        unseen=pl.col("state").fill_null(MachineState.UNKNOWN.value) == MachineState.UNKNOWN.value,
    )
    counts = parts.filter(pl.col("time").is_between(window.start, window.end)).sort("time")
    sums = (
        counts.with_columns(before=pl.col("time") - tick)
        .join_asof(
            pieces.sort("piece"),
            left_on="before",
            right_on="piece",
            by="equipment",
            strategy="backward",
            check_sortedness=False,
        )
        .with_columns(
            start=pl.when(pl.col("unseen") | (pl.col("time") < pl.col("over")))
            .then("piece")
            .otherwise("over")
        )
        .group_by("equipment", "start")
        .agg(pl.col("good", "reject", "rework", "flagged").sum())
    )
    made = pl.col("good") + pl.col("reject") + pl.col("rework")
    rated = pl.col("cycle").is_not_null()
    return (
        rows.join(sums, on=["equipment", "start"], how="left", maintain_order="left")
        .with_columns(pl.col("good", "reject", "rework", "flagged").fill_null(0))
        .with_columns(
            ideal=pl.when(rated).then(made * pl.col("cycle")).otherwise(0),
            ideal_good=pl.when(rated).then(pl.col("good") * pl.col("cycle")).otherwise(0),
            unrated=pl.when(rated).then(0).otherwise(made),
            startup=pl.when(pl.col("starting")).then("reject").otherwise(0),
        )
    )


def _parts(increments: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """Increments as good, reject and rework. A total counter gives the missing one of good and reject; what people
    corrected is meant as they said it."""
    roles = plant.roles()
    corrected = pl.col("flag").eq_missing(pl.lit("corrected"))
    total = pl.col("kind") == Role.TOTAL.value
    no_good = pl.col("equipment").is_in([m for m, has in roles.items() if Role.GOOD not in has])
    no_reject = pl.col("equipment").is_in([m for m, has in roles.items() if Role.REJECT not in has])
    derived = ~corrected & pl.col("equipment").is_in([m for m, has in roles.items() if Role.TOTAL in has])
    sign: dict[str, ChainedThen | Then] = {
        "good": pl.when((pl.col("kind") == Role.GOOD.value) | (total & no_good))
        .then(1)
        .when((pl.col("kind") == Role.REJECT.value) & derived & no_good)
        .then(-1),
        "reject": pl.when((pl.col("kind") == Role.REJECT.value) | (total & ~no_good & no_reject))
        .then(1)
        .when((pl.col("kind") == Role.GOOD.value) & derived & no_reject)
        .then(-1),
        "rework": pl.when(pl.col("kind") == Role.REWORK.value).then(1),
    }
    return increments.select(
        "equipment",
        "time",
        *((pl.col("quantity") * expression.otherwise(0)).alias(name) for name, expression in sign.items()),
        flagged=(pl.col("flag").is_not_null() & ~corrected).cast(pl.Int64),
    )
