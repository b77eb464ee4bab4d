"""Setup ratio: the share of processing time that goes into setup."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="setup_ratio",
    name="Setup ratio",
    unit="1",
    source="ISO 22400-2 Setup rate = AUST / AUPT",
    higher_is_better=False,
    formulas=same(Formula(text="AUST / AUPT", numerator=pl.col("AUST"), denominator=pl.col("AUPT"))),
)
