"""Coverage: the share of planned busy time something is known about. Read it before any other figure."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="coverage",
    name="Coverage",
    unit="1",
    source="Lineside, docs/time-model.md",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="(planned busy time - unknown) / planned busy time",
            numerator=pl.col("known"),
            denominator=pl.col("busy"),
        )
    ),
)
