"""Failures: how many, how long they last, and how long nobody takes notice (ISO 22400-2, EN 13306).

A failure is a stop (`stop_start`) with unplanned downtime, however many rows, reasons or breaks it has. It is counted once,
in the group it began in. One whose beginning or end nobody saw is counted, but its length is not known: it is in no mean.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from plant.frames import TIME
from plant.states import TimeCategory

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
FAILING = (_FAILED, *_PAUSED, TimeCategory.UNKNOWN.value)
"""Categories of the rows that tell failures."""


def failure_events(
    rows: pl.DataFrame | pl.LazyFrame,
    keys: Sequence[str] = (),
    failing: pl.DataFrame | pl.LazyFrame | None = None,
) -> pl.DataFrame:
    """`FAILURE`, and the columns `keys` as they were where it began, by its beginning. `rows`: a ledger, in any order.
    `failing`: those of its rows that are `FAILING`, where it is given in cells (`analytics.figures.cells`)."""
    category = pl.col("category")
    down = category == _FAILED
    columns = {"category", "start", "end", "duration", *_STOP, *keys}
    few = (
        (rows if failing is None else failing)
        .lazy()
        .filter(category.is_in(FAILING))
        .select(columns)
        .collect()
    )
    last = rows.lazy().group_by("equipment").agg(last=pl.col("end").max()).collect()
    unknown = few.filter(category == TimeCategory.UNKNOWN.value)
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
            few.filter(category != TimeCategory.UNKNOWN.value)
            .group_by(_STOP)
            .agg(began=pl.col("start").min(), ended=pl.col("end").max()),
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
    )


def failures(
    rows: pl.LazyFrame, by: Sequence[str], failing: pl.DataFrame | pl.LazyFrame | None = None
) -> pl.DataFrame:
    """Per group: failures that began in it, those of them that ended and were seen whole (repairs), and how long these
    took together (microseconds). Null where `by` parts failures from running time."""
    if set(by) & set(SPLITTING):
        empty = rows.select(by).unique().collect()
        return empty.with_columns(pl.lit(None, pl.Int64).alias(name) for name in _COUNTED)
    sums = [
        pl.len().cast(pl.Int64).alias("failures"),
        pl.col("seen").sum().cast(pl.Int64).alias("repairs"),
        pl.col("duration").filter("seen").sum().alias("repair_time"),
    ]
    events = failure_events(rows, by, failing)
    return events.group_by(by).agg(sums) if by else events.select(sums)


_COUNTED = ("failures", "repairs", "repair_time")


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
