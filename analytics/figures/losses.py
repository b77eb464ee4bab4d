"""Where the minutes and the money go: Pareto by reason, the list of stops, a waterfall that closes, six big losses."""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from analytics.figures.costs import of_scrap, of_time
from analytics.figures.elements import (
    ADDED,
    AMOUNTS,
    CLASS,
    STARTUP_IDEAL,
    from_code,
    startup_ideal,
    with_class,
    with_classes,
)
from plant.model import Convention, Plant
from plant.states import MachineState, TimeCategory

DOWNTIME = (TimeCategory.UNPLANNED_DOWNTIME,)
"""What a downtime Pareto shows."""

_STOPPED = ~pl.col("state").is_in([MachineState.RUNNING.value, MachineState.UNKNOWN.value])


def pareto(
    ledger: pl.DataFrame,
    categories: Iterable[TimeCategory] = DOWNTIME,
    by: Sequence[str] = ("reason",),
    plant: Plant | None = None,
    measure: str = "duration",
) -> pl.DataFrame:
    """The `by` columns (of the ledger), duration (microseconds), count, share and cumulative, and with a `plant` cost
    (money, null where nobody said what an hour costs); largest first.

    count is of distinct stops: one that runs over a shift or hour is one stop. A null reason: nobody
    has said. `measure`: duration, count or cost, by which it is sorted; share and cumulative are of what is shown of it,
    0..1, null if there is none.
    """
    rows = ledger.filter(pl.col("category").is_in([c.value for c in categories]))
    stop = pl.struct("equipment", "stop_start")
    sums = [pl.col("duration").sum(), stop.n_unique().cast(pl.Int64).alias("count")]
    if plant is not None:
        rows = rows.with_columns(cost=of_time(plant, pl.col("duration")))
        sums.append(_total("cost"))
    found = rows.group_by(list(by)).agg(sums)
    amount = pl.col(measure)
    share = pl.when(amount.sum() > 0).then(amount.fill_null(0) / amount.sum())
    return found.sort([measure, *by], descending=[True, *(False for _ in by)], nulls_last=True).with_columns(
        share=share, cumulative=share.cum_sum()
    )


def _total(name: str) -> pl.Expr:
    """Null where all are: no amount is not an amount of nothing."""
    return pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name)


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


def waterfall(
    ledger: pl.DataFrame | pl.LazyFrame, plant: Plant, convention: Convention | None = None
) -> pl.DataFrame:
    """step, kind ("total" or "loss"), factor, duration (microseconds), rows (of the ledger that add to it): from calendar
    time down to the ideal time of good parts. Each total is the total before less the losses between.

    factor is what a loss lowers in this convention: schedule, availability, performance, quality, or unknown
    and unrated, which lower none. Speed loss is the residual, negative where performance is above 1.
    """
    convention = convention or plant.settings.convention
    rows = with_classes(ledger.lazy(), plant).with_columns(startup_ideal=startup_ideal())
    sums = rows.select(
        *(amount.sum().alias(step) for step, (_, amount) in STEPS.items()),
        *((amount != 0).sum().cast(pl.Int64).alias(f"{step} rows") for step, (_, amount) in STEPS.items()),
    )
    found = sums.collect().row(0, named=True)
    steps = [
        (
            step,
            "loss" if factor else "total",
            _lowers(step, factor, convention),
            found[step],
            found[f"{step} rows"],
        )
        for step, (factor, _) in STEPS.items()
    ]
    schema = {
        "step": pl.String,
        "kind": pl.String,
        "factor": pl.String,
        "duration": pl.Int64,
        "rows": pl.Int64,
    }
    return pl.DataFrame(steps, schema=schema, orient="row")


def waterfall_rows(ledger: pl.DataFrame, plant: Plant, step: str) -> pl.DataFrame:
    """The ledger rows that add to a step of the waterfall, each with its `amount` (microseconds); they add up to it."""
    rows = with_classes(ledger, plant).with_columns(startup_ideal=startup_ideal())
    return (
        rows.with_columns(amount=STEPS[step][1])
        .filter(pl.col("amount") != 0)
        .select(*ledger.columns, "amount")
    )


def _lowers(step: str, factor: str | None, convention: Convention) -> str | None:
    if step == TimeCategory.MICRO_STOP.value and convention is Convention.ISO22400:
        return "availability"
    return factor


STEPS: Mapping[str, tuple[str | None, pl.Expr]] = {
    "calendar": (None, pl.col("duration")),
    "not_scheduled": ("schedule", AMOUNTS["not_scheduled"]),
    "planned_downtime": ("schedule", AMOUNTS["planned_downtime"]),
    "busy": (None, AMOUNTS["busy"]),
    "unknown": ("unknown", AMOUNTS["unknown"]),
    "unplanned_downtime": ("availability", AMOUNTS["unplanned_downtime"]),
    "changeover": ("availability", AMOUNTS["changeover"]),
    "starved": ("availability", AMOUNTS["starved"]),
    "blocked": ("availability", AMOUNTS["blocked"]),
    "micro_stop": ("performance", AMOUNTS["micro_stop"]),
    "running": (None, AMOUNTS["running"]),
    "unrated": ("unrated", AMOUNTS["running"] - AMOUNTS["rated_running"]),
    "speed": ("performance", AMOUNTS["rated_running"] - AMOUNTS["rated_ideal"]),
    "ideal": (None, AMOUNTS["rated_ideal"]),
    "startup_rejects": ("quality", pl.col("startup_ideal")),
    "process_defects": (
        "quality",
        AMOUNTS["rated_ideal"] - AMOUNTS["rated_ideal_good"] - pl.col("startup_ideal"),
    ),
    "ideal_good": (None, AMOUNTS["rated_ideal_good"]),
}
"""Of the waterfall, in its order: what a loss lowers (Nakajima; None: a total), and what a row with classes and
`startup_ideal`, the ideal time of its start-up rejects, adds to it."""


SIX_BIG_LOSSES: Mapping[str, tuple[str, str]] = {
    "breakdowns": ("Breakdowns", "unplanned downtime"),
    "setup_adjustment": ("Setup and adjustment", "changeover"),
    "minor_stops_idling": ("Minor stops and idling", "micro-stops, starved and blocked"),
    "reduced_speed": ("Reduced speed", "running less the ideal time of what was made"),
    "process_defects": ("Process defects", "ideal time of rejects and rework, but those of starting up"),
    "startup_rejects": ("Start-up rejects", "ideal time of rejects of starting up"),
}
"""The six big losses (Nakajima 1988): name, and what of the ledger they are."""


def six_big_losses(ledger: pl.DataFrame | pl.LazyFrame, plant: Plant) -> pl.DataFrame:
    """loss, duration (microseconds), parts (scrapped), cost (money; null where nobody said): the six of `SIX_BIG_LOSSES`,
    and `unrated` and `ideal_good`, with which they add up to known planned busy time.

    `reduced_speed` is negative where performance is above 1. Cost is that of the time and of the parts scrapped; what is
    reworked is not scrapped.
    """
    rows = (
        with_class(ledger.lazy(), plant)
        .group_by("equipment", "material", CLASS)
        .agg(pl.col(*ADDED, STARTUP_IDEAL).sum())
        .with_columns(from_code())
        .collect()
        .lazy()
    )
    known = AMOUNTS["known"] > 0
    rejects = AMOUNTS["known_reject"] - pl.when(known).then("startup").otherwise(0)
    startup = pl.col(STARTUP_IDEAL)
    losses: Mapping[str, tuple[pl.Expr, pl.Expr]] = {
        "breakdowns": (AMOUNTS["unplanned_downtime"], _NO_PARTS),
        "setup_adjustment": (AMOUNTS["changeover"], _NO_PARTS),
        "minor_stops_idling": (AMOUNTS["micro_stop"] + AMOUNTS["starved"] + AMOUNTS["blocked"], _NO_PARTS),
        "reduced_speed": (AMOUNTS["rated_running"] - AMOUNTS["rated_ideal"], _NO_PARTS),
        "process_defects": (AMOUNTS["rated_ideal"] - AMOUNTS["rated_ideal_good"] - startup, rejects),
        "startup_rejects": (startup, pl.when(known).then("startup").otherwise(0)),
        "unrated": (AMOUNTS["running"] - AMOUNTS["rated_running"], _NO_PARTS),
        "ideal_good": (AMOUNTS["rated_ideal_good"], _NO_PARTS),
    }
    lost = [
        rows.select(
            pl.lit(name).alias("loss"),
            duration=duration,
            parts=parts,
            cost=pl.sum_horizontal(of_time(plant, duration), of_scrap(plant, parts), ignore_nulls=True),
            said=of_time(plant, pl.lit(1)).is_not_null()
            | (of_scrap(plant, pl.lit(1)).is_not_null() & (parts != 0)),
        )
        .select(
            pl.col("loss").first(),
            pl.col("duration", "parts").sum(),
            cost=pl.when(pl.col("said").any(), pl.lit(name in SIX_BIG_LOSSES)).then(pl.col("cost").sum()),
        )
        .with_columns(loss=pl.lit(name))
        for name, (duration, parts) in losses.items()
    ]
    return pl.concat(pl.collect_all(lost))


_NO_PARTS = pl.lit(0, pl.Int64)
