"""Failures: how many, how long they last, and how long nobody takes notice (ISO 22400-2, EN 13306).

A failure is a stop (`stop_start`) with unplanned downtime, however many rows, reasons or breaks it has. It is counted once,
in the group it began in. One whose beginning or end nobody saw is counted, but its length is not known: it is in no mean.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from plant.frames import TIME
from plant.states import MachineState, TimeCategory

WAITS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "line": pl.String,
    "raised": TIME,
    "acknowledged": TIME,  # null: nobody has
}
"""Alerts and when somebody took notice of them."""

FAILURE: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "stop_start": TIME,
    "start": TIME,  # of its unplanned downtime
    "end": TIME,
    "duration": pl.Int64,  # microseconds of unplanned downtime
    "seen": pl.Boolean,  # both its beginning and its end
}

SPLITTING = ("state", "category", "reason", "raw")
"""Dimensions that part a failure from the time the machine ran before it."""

_STOP = ["equipment", "stop_start"]
_FAILED = TimeCategory.UNPLANNED_DOWNTIME.value
_PAUSED = (
    TimeCategory.PLANNED_DOWNTIME.value,
    TimeCategory.NOT_SCHEDULED.value,
    TimeCategory.CHANGEOVER.value,
    TimeCategory.MICRO_STOP.value,
)
"""A failure may go on over a break or a night, or begin as a changeover; that time is not repair time."""
_FAILING = (_FAILED, *_PAUSED, TimeCategory.UNKNOWN.value)
_BLIND = (pl.col("category") == TimeCategory.UNKNOWN.value) | (
    pl.col("state").cast(pl.String) == MachineState.UNKNOWN.value
)
"""Time without data, also in a break or at night."""
COUNTED = ("failures", "repairs", "repair_time")
"""Failures, those of them that ended and were seen whole, and how long these took together (microseconds)."""


def failure_events(
    rows: pl.DataFrame | pl.LazyFrame,
    keys: Sequence[str] = (),
    failing: pl.DataFrame | pl.LazyFrame | None = None,
) -> pl.DataFrame:
    """`FAILURE`, and the columns `keys` as they were where it began, by its beginning. `rows`: a ledger, in any order.
    `failing`: those of its rows whose failures are asked for; by default all."""
    category = pl.col("category")
    down = category == _FAILED
    columns = {"category", "state", "start", "end", "duration", *_STOP, *keys}
    few = (
        (rows if failing is None else failing)
        .lazy()
        .filter(category.is_in(_FAILING))
        .select(columns)
        .collect()
        .lazy()
    )
    last = rows.lazy().group_by("equipment").agg(last=pl.col("end").max())
    unknown = few.filter(_BLIND)
    blind_before = unknown.select("equipment", stop_start="end", blind_before=True)
    blind_after = unknown.select("equipment", ended="start", blind_after=True)
    inside = few.filter(down)
    events = (
        inside.group_by(_STOP)
        .agg(
            pl.col("start").min(),
            pl.col("end").max(),
            pl.col("duration").sum(),
            *(pl.col(key).min_by("start") for key in keys if key not in _STOP),
        )
        .join(
            few.filter(~_BLIND).group_by(_STOP).agg(began=pl.col("start").min(), ended=pl.col("end").max()),
            on=_STOP,
        )
        .join(last, on="equipment")
        .join(blind_before, on=_STOP, how="left")
        .join(blind_after, on=["equipment", "ended"], how="left")
    )
    return (
        events.with_columns(
            seen=(pl.col("began") == pl.col("stop_start"))
            & (pl.col("ended") < pl.col("last"))
            & pl.col("blind_before").is_null()
            & pl.col("blind_after").is_null()
        )
        .select(list(dict.fromkeys([*FAILURE, *keys])))
        .sort("start", "equipment")
        .collect()
    )


def failures(
    rows: pl.LazyFrame, by: Sequence[str], failing: pl.DataFrame | pl.LazyFrame | None = None
) -> pl.DataFrame:
    """Per group: `COUNTED` of failures that began in it. Null where `by` parts failures from running time. `failing`: if
    `rows` are in part cells (`analytics.figures.cells`), the rows that are not, and `loose` ones of the cells."""
    if set(by) & set(SPLITTING):
        empty = rows.select(by).unique().collect()
        return empty.with_columns(pl.lit(None, pl.Int64).alias(name) for name in COUNTED)
    sums = [
        pl.len().cast(pl.Int64).alias("failures"),
        pl.col("seen").sum().cast(pl.Int64).alias("repairs"),
        pl.col("duration").filter("seen").sum().alias("repair_time"),
    ]
    found = failure_events(rows, by, failing)
    found = found.group_by(by).agg(sums) if by else found.select(sums)
    if failing is None:
        return found
    in_cells = rows.filter(pl.col("failures") > 0).select(*by, *COUNTED).collect()
    every, added = pl.concat([found, in_cells]), pl.col(COUNTED).sum()
    return every.group_by(by).agg(added) if by else every.select(added)


def settled(rows: pl.DataFrame) -> pl.DataFrame:
    """equipment, start and `COUNTED` of each failure that more rows, before or after these, cannot make another one: of
    stops that have others of their machine on both sides."""
    sides = rows.group_by("equipment").agg(first=pl.col("stop_start").min(), final=pl.col("stop_start").max())
    inside = pl.col("stop_start").is_between("first", "final", closed="none")
    return (
        failure_events(rows)
        .join(sides, on="equipment")
        .filter(inside)
        .select(
            *("equipment", "start"),
            failures=pl.lit(1, pl.Int64),
            repairs=pl.col("seen").cast(pl.Int64),
            repair_time=pl.when("seen").then("duration").otherwise(0),
        )
    )


def loose(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that tell the failures that are not `settled`."""
    stop = pl.col("stop_start")
    first, final = stop.min().over("equipment"), stop.max().over("equipment")
    return rows.filter(pl.col("category").is_in(_FAILING), (stop == first) | (stop == final) | _BLIND)


def attended(alerts: pl.DataFrame | None, by: Sequence[str]) -> pl.DataFrame:
    """Per group: alerts somebody acknowledged, and how long that took together (microseconds). Alerts (`WAITS`) are of a
    machine: where `by` asks for more than machine and line, or there are none, nobody can say."""
    waits = (
        alerts
        if alerts is not None and set(by) <= {"equipment", "line"}
        else pl.DataFrame(schema=dict(WAITS))
    )
    done = waits.filter(pl.col("acknowledged").is_not_null())
    sums = [
        pl.len().cast(pl.Int64).alias("acknowledged"),
        (pl.col("acknowledged") - pl.col("raised")).dt.total_microseconds().sum().alias("wait"),
    ]
    if by and not set(by) <= set(WAITS):
        return pl.DataFrame(
            schema={
                **{n: waits.schema.get(n, pl.String) for n in by},
                "acknowledged": pl.Int64,
                "wait": pl.Int64,
            }
        )
    return done.group_by(by).agg(sums) if by else done.select(sums)
