"""Rework ratio: the share of the parts that has to be reworked."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="rework_ratio",
    name="Rework ratio",
    unit="1",
    source="ISO 22400-2 Rework ratio = RQ / PQ",
    higher_is_better=False,
    formulas=same(Formula(text="RQ / PQ", numerator=pl.col("RQ"), denominator=pl.col("PQ"))),
)
