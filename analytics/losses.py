"""Where the minutes go: Pareto by reason, the list of stops, and a waterfall that closes."""

from collections.abc import Iterable, Sequence

import polars as pl

from analytics.elements import SUMS, with_classes
from plant.model import Convention, Plant
from plant.states import MachineState, TimeCategory

DOWNTIME = (TimeCategory.UNPLANNED_DOWNTIME,)
"""What a downtime Pareto shows."""

_STOPPED = ~pl.col("state").is_in([MachineState.RUNNING.value, MachineState.UNKNOWN.value])


def pareto(
    ledger: pl.DataFrame,
    categories: Iterable[TimeCategory] = DOWNTIME,
    by: Sequence[str] = ("reason",),
) -> pl.DataFrame:
    """The `by` columns (of the ledger), duration (microseconds), count, share and cumulative, longest first.

    count is of distinct stops: one that runs over a shift or hour is one stop. A null reason: nobody
    has said. share and cumulative are of the duration shown, 0..1, null if there is none.
    """
    rows = ledger.filter(pl.col("category").is_in([c.value for c in categories]))
    stop = pl.struct("equipment", "stop_start")
    found = rows.group_by(list(by)).agg(pl.col("duration").sum(), count=stop.n_unique().cast(pl.Int64))
    share = pl.when(pl.col("duration").sum() > 0).then(pl.col("duration") / pl.col("duration").sum())
    return found.sort(
        ["duration", *by], descending=[True, *(False for _ in by)], nulls_last=True
    ).with_columns(share=share, cumulative=share.cum_sum())


def stops(ledger: pl.DataFrame) -> pl.DataFrame:
    """Stops, one row per stop and reason, sorted by start: equipment, line, stop_start, start, end, duration
    (microseconds, of the rows shown), state, raw, reason, category (where most of its time is booked), order,
    material.

    Time outside the shifts is left out.
    """
    rows = ledger.filter(_STOPPED, pl.col("category") != TimeCategory.NOT_SCHEDULED.value)
    main = pl.col("category").sort_by("duration", "start").last()
    return (
        rows.group_by("equipment", "line", "stop_start", "state", "raw", "reason")
        .agg(
            pl.col("start").min(),
            pl.col("end").max(),
            pl.col("duration").sum(),
            main,
            pl.col("order").sort_by("start").drop_nulls().first(),
            pl.col("material").sort_by("start").drop_nulls().first(),
        )
        .select(
            *("equipment", "line", "stop_start", "start", "end", "duration", "state", "raw", "reason"),
            *("category", "order", "material"),
        )
        .sort("start", "equipment")
    )


def waterfall(ledger: pl.DataFrame, plant: Plant, convention: Convention | None = None) -> pl.DataFrame:
    """step, kind ("total" or "loss"), factor, duration (microseconds): from calendar time down to the ideal
    time of good parts. Each total is the total before less the losses between.

    factor is what a loss lowers in this convention: schedule, availability, performance, quality, or unknown
    and unrated, which lower none. Speed loss is the residual, negative where performance is above 1.
    """
    convention = convention or plant.settings.convention
    sums = with_classes(ledger, plant).select([e.alias(name) for name, e in SUMS.items()]).row(0, named=True)
    micro = "performance" if convention is Convention.NAKAJIMA else "availability"
    steps = [
        ("calendar", "total", None, sums["duration"]),
        ("not_scheduled", "loss", "schedule", sums["not_scheduled"]),
        ("planned_downtime", "loss", "schedule", sums["planned_downtime"]),
        ("busy", "total", None, sums["busy"]),
        ("unknown", "loss", "unknown", sums["unknown"]),
        ("unplanned_downtime", "loss", "availability", sums["unplanned_downtime"]),
        ("changeover", "loss", "availability", sums["changeover"]),
        ("starved", "loss", "availability", sums["starved"]),
        ("blocked", "loss", "availability", sums["blocked"]),
        ("micro_stop", "loss", micro, sums["micro_stop"]),
        ("running", "total", None, sums["running"]),
        ("unrated", "loss", "unrated", sums["running"] - sums["rated_running"]),
        ("speed", "loss", "performance", sums["rated_running"] - sums["rated_ideal"]),
        ("ideal", "total", None, sums["rated_ideal"]),
        ("quality", "loss", "quality", sums["rated_ideal"] - sums["rated_ideal_good"]),
        ("ideal_good", "total", None, sums["rated_ideal_good"]),
    ]
    schema = {"step": pl.String, "kind": pl.String, "factor": pl.String, "duration": pl.Int64}
    return pl.DataFrame(steps, schema=schema, orient="row")
