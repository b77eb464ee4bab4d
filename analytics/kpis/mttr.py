"""MTTR: how long a failure takes, of planned time. Failures that go on, or whose beginning
or end nobody saw, are not in it."""

import polars as pl

from analytics.kpis import Formula, Kpi, Pass, same

KPI = Kpi(
    id="mttr",
    name="MTTR",
    unit="min",
    source="ISO 22400-2 Mean time to repair; TTR = time down due to a failure",
    higher_is_better=False,
    formulas=same(
        Formula(
            text="unplanned downtime of failures that ended / failures that ended",
            numerator=pl.col("repair_time"),
            denominator=pl.col("repairs"),
        )
    ),
    scale=1 / 60_000_000,
    passes=(Pass.FAILURES,),
)
