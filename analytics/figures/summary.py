"""Ledger rows to figures: add, then divide once."""

from collections.abc import Collection, Sequence
from datetime import timedelta

import polars as pl

from analytics.figures.buckets import EVERY, bucket, bucket_of
from analytics.figures.elements import ADDED, CLASS, ELEMENTS, SUMS, from_code, with_class
from analytics.figures.reliability import attended, failures
from analytics.figures.yields import rolled
from analytics.kpis import Kpi, Pass, catalogue
from plant.frames import LEDGER, TIME, Window
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
    ledger: pl.DataFrame | pl.LazyFrame,
    by: Sequence[str],
    plant: Plant,
    convention: Convention | None = None,
    kpis: Collection[str] | None = None,
    alerts: pl.DataFrame | None = None,
    window: Window | None = None,
    failing: pl.DataFrame | pl.LazyFrame | None = None,
) -> pl.DataFrame:
    """One row per group, sorted by it: the `by` columns, start and end of the time covered, `SUMS`, the elements of ISO
    22400-2 (`ELEMENTS`), and for each KPI `<id>` (null without denominator), `<id>_numerator` and `<id>_denominator`.

    `ledger`: columns of `plant.frames.LEDGER`, texts as String or Enum (Enum is the fastest); a LazyFrame is read once, and
    only the columns that are needed. `performance_over_one` marks an ideal cycle that cannot be right. `convention`: by
    default the plant file's. `kpis`: ids of `analytics.kpis.catalogue`; by default those that take one pass over the
    rows. `alerts`: `analytics.figures.reliability.WAITS`, for the time to acknowledge. `window`: no row begins outside it;
    without, hours and days take another pass. Of cells (`analytics.figures.cells`), failures need `failing`, see
    `analytics.figures.reliability.failures`. Without `by` it is one row (none for an empty ledger). Raises
    ValueError for an unknown dimension or KPI, and for hour or day when a row runs over a bucket's end: make the ledger
    with `edges=analytics.figures.buckets.edges(...)`.
    """
    _check("group by", by, DIMENSIONS)
    known = catalogue()
    _check("compute", kpis or (), known)
    wanted = [k for k in known.values() if (not k.passes if kpis is None else k.id in kpis)]
    rows = with_keys(ledger, by, plant, window)
    keys = [key for key in by if key != "category"]
    cells = (
        with_class(rows, plant)
        .group_by([*keys, CLASS])
        .agg(pl.col("start").min(), pl.col("end").max(), pl.col(ADDED).sum())
        .with_columns(from_code())
    )
    sums = [pl.col("start").min(), pl.col("end").max()]
    sums += [expression.alias(name) for name, expression in SUMS.items()]
    if by:
        grouped = cells.group_by(by).agg(sums).collect(engine="streaming")
        found = as_text(grouped, by).sort(by, nulls_last=True)
    else:
        found = cells.select(sums).filter(pl.col("start").is_not_null()).collect(engine="streaming")
    _check_cut(found, by, plant)
    for one in sorted({p for kpi in wanted for p in kpi.passes}):
        if one is Pass.ALERTS:
            more = attended(alerts, by)
        elif one is Pass.FAILURES:
            more = failures(rows, by, None if failing is None else with_keys(failing, by, plant, window))
        else:
            more = rolled(rows, by, plant)
        found = _beside(found, as_text(more, by), by)
    return with_kpis(found, convention or plant.settings.convention, wanted)


def with_keys(
    ledger: pl.DataFrame | pl.LazyFrame, by: Sequence[str], plant: Plant, window: Window | None = None
) -> pl.LazyFrame:
    """The ledger with a column for each of the `DIMENSIONS` in `by`. `window`: no row begins outside it."""
    rows = ledger.lazy()
    for name in by:
        if name not in EVERY:
            rows = rows.with_columns(pl.col(DIMENSIONS[name]).alias(name))
    asked = [name for name in by if name in EVERY]
    if asked:
        begun = pl.col("start").min(), pl.col("start").max().alias("last")
        first, last = (window.start, window.end) if window else rows.select(begun).collect().row(0)
        for name in asked:
            start = (
                pl.lit(None, TIME)
                if first is None
                else bucket_of("start", Window(first, last), plant.site.zone, name)
            )
            rows = rows.with_columns(start.alias(name))
    return rows


def as_text(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The `by` columns in the types of the ledger."""
    return frame.with_columns(pl.col(n).cast(TIME if n in EVERY else LEDGER[DIMENSIONS[n]]) for n in by)


def with_kpis(sums: pl.DataFrame, convention: Convention, kpis: Sequence[Kpi]) -> pl.DataFrame:
    """Add the elements of ISO 22400-2, and each KPI's value, numerator and denominator, to rows of `SUMS`."""
    found = sums.with_columns(element.amount.alias(name) for name, element in ELEMENTS.items())
    parts: list[pl.Expr] = []
    values: list[pl.Expr] = []
    for kpi in kpis:
        numerator, denominator = kpi.formulas[convention].ratio()
        above, below = f"{kpi.id}_numerator", f"{kpi.id}_denominator"
        parts += [numerator.alias(above), denominator.alias(below)]
        values.append(
            pl.when(pl.col(below) != 0).then(pl.col(above) / pl.col(below) * kpi.scale).alias(kpi.id)
        )
    found = found.with_columns(parts).with_columns(values)
    if "performance" in found.columns:
        found = found.with_columns(performance_over_one=(pl.col("performance") > 1).fill_null(False))
    return found


def _check(what: str, asked: Collection[str], known: Collection[str]) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"cannot {what} {', '.join(unknown)}: known are {', '.join(known)}")


def _check_cut(found: pl.DataFrame, by: Sequence[str], plant: Plant) -> None:
    """No row of a bucket ends after it: of those that begin in it, the last end says so."""
    for name in set(by) & set(EVERY):
        last = found["end"] - timedelta(microseconds=1)
        if not bucket(last, plant.site.zone, name).equals(found[name].rename("end"), null_equal=True):
            raise ValueError(
                f"ledger rows run over the end of a {name}: cut them with analytics.figures.buckets.edges"
            )


def _beside(found: pl.DataFrame, more: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """What another pass found, in the same groups."""
    if not by:
        return found.hstack(more) if found.height else found.join(more, how="cross")
    return found.join(more, on=by, how="left", nulls_equal=True, maintain_order="left")
