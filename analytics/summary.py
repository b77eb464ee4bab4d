"""Ledger rows to figures: add, then divide once."""

from collections.abc import Sequence

import polars as pl

from analytics.buckets import EVERY, bucket
from analytics.elements import SUMS, with_rated
from analytics.kpis import catalogue
from plant.model import Convention, Plant

DIMENSIONS = {
    "equipment": "equipment",
    "line": "line",
    "shift": "shift",
    "shift_start": "shift_start",
    "order": "order",
    "product": "material",
    "material": "material",
    "state": "state",
    "category": "category",
    "reason": "reason",
    "raw": "raw",
    "hour": "hour",
    "day": "day",
}
"""What a summary can be grouped by: name and ledger column. hour and day are plant-local."""


def summarise(
    ledger: pl.DataFrame, by: Sequence[str], plant: Plant, convention: Convention | None = None
) -> pl.DataFrame:
    """One row per group, sorted by it: the `by` columns, start and end of the time covered, `SUMS`, and for
    each KPI `<id>` (null without denominator), `<id>_numerator` and `<id>_denominator`.

    `performance_over_one` marks an ideal cycle that cannot be right. `convention`: by default the plant
    file's. Without `by` it is one row (none for an empty ledger). Raises ValueError for an unknown
    dimension, and for hour or day when a row runs over a bucket's end: make the ledger with
    `edges=analytics.buckets.edges(...)`.
    """
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        raise ValueError(f"cannot group by {', '.join(unknown)}: known are {', '.join(DIMENSIONS)}")
    rows = with_rated(ledger, plant)
    for name in set(by) & set(EVERY):
        first, last = (
            bucket(rows.select(times).to_series(), plant.site.zone, name)
            for times in (pl.col("start"), pl.col("end") - pl.duration(microseconds=1))
        )
        if not first.equals(last):
            raise ValueError(
                f"ledger rows run over the end of a {name}: cut them with analytics.buckets.edges"
            )
        rows = rows.with_columns(first.alias(name))
    sums = [pl.col("start").min(), pl.col("end").max()]
    sums += [expression.alias(name) for name, expression in SUMS.items()]
    if by:
        keys = [pl.col(DIMENSIONS[name]).alias(name) for name in by]
        found = rows.group_by(keys).agg(sums).sort(list(by), nulls_last=True)
    else:
        found = rows.select(sums).filter(pl.col("start").is_not_null())
    return with_kpis(found, convention or plant.settings.convention)


def with_kpis(sums: pl.DataFrame, convention: Convention) -> pl.DataFrame:
    """Add every KPI's value, numerator and denominator to rows of `SUMS`."""
    parts: list[pl.Expr] = []
    values: list[pl.Expr] = []
    for kpi in catalogue().values():
        formula = kpi.formulas[convention]
        parts += [
            formula.numerator.alias(f"{kpi.id}_numerator"),
            formula.denominator.alias(f"{kpi.id}_denominator"),
        ]
        below = pl.col(f"{kpi.id}_denominator")
        values.append(pl.when(below != 0).then(pl.col(f"{kpi.id}_numerator") / below).alias(kpi.id))
    found = sums.with_columns(parts).with_columns(values)
    return found.with_columns(performance_over_one=(pl.col("performance") > 1).fill_null(False))
