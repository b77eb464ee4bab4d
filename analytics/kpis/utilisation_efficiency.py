"""Utilisation efficiency: the share of the time a machine was busy in which it produced."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="utilisation_efficiency",
    name="Utilisation efficiency",
    unit="1",
    source="ISO 22400-2 Utilization efficiency = APT / AUBT",
    higher_is_better=True,
    formulas=same(Formula(text="APT / AUBT", numerator=pl.col("APT"), denominator=pl.col("AUBT"))),
)
