"""Utilisation: the share of calendar time that was planned busy time."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="utilisation",
    name="Utilisation",
    unit="1",
    source="Vorne; planned production time / all time",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="planned busy time / calendar time", numerator=pl.col("busy"), denominator=pl.col("duration")
        )
    ),
)
