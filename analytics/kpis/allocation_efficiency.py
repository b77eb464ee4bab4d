"""Allocation efficiency: the share of the planned time in which the machine was busy with work."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="allocation_efficiency",
    name="Allocation efficiency",
    unit="1",
    source="ISO 22400-2 Allocation efficiency = AUBT / PBT",
    higher_is_better=True,
    formulas=same(
        Formula(text="AUBT / (PBT - unknown)", numerator=pl.col("AUBT"), denominator=pl.col("known"))
    ),
)
