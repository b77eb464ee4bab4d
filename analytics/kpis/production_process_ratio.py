"""Production process ratio: the share of the time orders were on machines in which they were worked on."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="production_process_ratio",
    name="Production process ratio",
    unit="1",
    source="ISO 22400-2 Production process ratio = APT / AOET",
    higher_is_better=True,
    formulas=same(
        Formula(text="APT of orders / AOET", numerator=pl.col("order_running"), denominator=pl.col("AOET"))
    ),
)
