"""Allocation ratio: the share of the time orders were on machines in which these were busy with them."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="allocation_ratio",
    name="Allocation ratio",
    unit="1",
    source="ISO 22400-2 Allocation ratio = AUBT / AOET",
    higher_is_better=True,
    formulas=same(
        Formula(text="AUBT of orders / AOET", numerator=pl.col("order_busy"), denominator=pl.col("AOET"))
    ),
)
