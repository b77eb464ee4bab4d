"""MTTA: how long an alert waits until somebody acknowledges it. One nobody has acknowledged is not in it."""

import polars as pl

from analytics.kpis import Formula, Kpi, Pass, same

KPI = Kpi(
    id="mtta",
    name="MTTA",
    unit="min",
    source="ITIL / ISA-18.2; mean time to acknowledge",
    higher_is_better=False,
    formulas=same(
        Formula(
            text="time from raised to acknowledged / alerts acknowledged",
            numerator=pl.col("wait"),
            denominator=pl.col("acknowledged"),
        )
    ),
    scale=1 / 60_000_000,
    passes=(Pass.ALERTS,),
)
