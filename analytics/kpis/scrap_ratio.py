"""Scrap ratio: the share of the parts that was rejected."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="scrap_ratio",
    name="Scrap ratio",
    unit="1",
    source="ISO 22400-2 Scrap ratio = SQ / PQ",
    higher_is_better=False,
    formulas=same(Formula(text="SQ / PQ", numerator=pl.col("SQ"), denominator=pl.col("PQ"))),
)
