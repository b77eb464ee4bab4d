"""Throughput rate: parts an hour an order is on a machine."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="throughput",
    name="Throughput rate",
    unit="parts/h",
    source="ISO 22400-2 Throughput rate = PQ / AOET",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="parts of orders / AOET",
            numerator=pl.col("order_good") + pl.col("order_reject") + pl.col("order_rework"),
            denominator=pl.col("AOET"),
        )
    ),
    scale=3_600_000_000,
)
