"""The account of a line: each minute of it charged once (docs/adr/0014).

A line does what its constraint does: its time is that machine's time, and never the sum over machines. What the
constraint waited for is charged to the first causes of its waiting (`analytics.ledger.firstcause`).
"""

from datetime import datetime, timedelta

import polars as pl

from analytics.ledger.firstcause import WAITING, Topology
from analytics.ledger.rows import LedgerError
from plant.frames import LINE_ACCOUNT, Window
from plant.model import Plant
from plant.states import TimeCategory

RUNNING, PLANNED, OWN, CHARGED = KINDS = ("running", "planned", "own", "charged")
"""The kinds of `plant.frames.LINE_ACCOUNT`, in its order."""

_KIND = {
    TimeCategory.RUNNING.value: RUNNING,
    TimeCategory.NOT_SCHEDULED.value: PLANNED,
    TimeCategory.PLANNED_DOWNTIME.value: PLANNED,
}


def constraint(plant: Plant, line: str, at: datetime) -> str:
    """The machine that sets the pace of a line: the plant file's `constraint`, else the one with the slowest ideal cycle
    that holds at that time, else the last of the flow. Raises KeyError if the line has no machines."""
    members = [m.id for m in plant.machines() if plant.line_of(m.id) == line]
    if not members:
        raise KeyError(line)
    if named := plant.equipment[line].constraint:
        return named
    topology = Topology(plant)
    slowest: dict[str, timedelta] = {}
    for material in plant.materials.values():
        held: dict[str, tuple[float, timedelta]] = {}
        for ideal in material.ideal_cycles:
            since = float("-inf") if ideal.valid_from is None else ideal.valid_from.timestamp()
            if since <= at.timestamp() and since >= held.get(ideal.equipment, (since, ideal.cycle))[0]:
                held[ideal.equipment] = since, ideal.cycle
        for machine, (_, cycle) in held.items():
            slowest[machine] = max(cycle, slowest.get(machine, cycle))
    none = timedelta(0)
    return max(members, key=lambda m: (slowest.get(m, none), len(topology.all_before(m)), members.index(m)))


def line_account(
    ledger: pl.DataFrame, charges: pl.DataFrame, plant: Plant, line: str, window: Window
) -> pl.DataFrame:
    """`plant.frames.LINE_ACCOUNT` of a line over a window.

    `ledger`: `plant.frames.LEDGER` of its constraint in the window; `charges`: `CHARGES` of it, of the same window.
    Raises LedgerError if they do not add up to the window.
    """
    machine = constraint(plant, line, window.end)
    rows = ledger.filter(pl.col("equipment") == machine, ~pl.col("category").is_in(WAITING))
    own = rows.group_by(
        pl.col("category").replace_strict(_KIND, default=OWN, return_dtype=pl.String).alias("kind"),
        pl.lit(machine).alias("cause"),
        "category",
        "reason",
    ).agg(pl.col("duration").sum(), count=pl.coalesce("stop_start", "start").n_unique().cast(pl.Int64))
    waited = charges.filter(pl.col("equipment") == machine).group_by(
        pl.lit(CHARGED).alias("kind"),
        "cause",
        pl.col("cause_category").alias("category"),
        pl.col("cause_reason").alias("reason"),
    )
    found = pl.concat([own, waited.agg(pl.col("duration").sum(), count=pl.len().cast(pl.Int64))])
    length = (window.end - window.start) // timedelta(microseconds=1)
    if found["duration"].sum() != length:
        raise LedgerError(
            f"the account of {line} adds up to {found['duration'].sum()} us, the window to {length}"
        )
    place = pl.col("kind").replace_strict(
        dict(zip(KINDS, range(len(KINDS)), strict=True)), return_dtype=pl.Int64
    )
    return (
        found.with_columns(line=pl.lit(line), constraint=pl.lit(machine))
        .sort(place, "duration", "cause", "category", "reason", descending=[False, True, False, False, False])
        .select(pl.col(name).cast(kind) for name, kind in LINE_ACCOUNT.items())
    )
