"""MTBF: operating time between failures. Time the machine stood still, was off or unknown does not count, the time since the
last failure does; without a failure there is no value."""

import polars as pl

from analytics.kpis import Formula, Kpi, Pass, same

KPI = Kpi(
    id="mtbf",
    name="MTBF",
    unit="h",
    source="ISO 22400-2 Mean operating time between failures; TBF = operating time, setup and production, no delays",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="(running + changeover) / failures",
            numerator=pl.col("running") + pl.col("changeover"),
            denominator=pl.col("failures"),
        )
    ),
    scale=1 / 3_600_000_000,
    passes=(Pass.FAILURES,),
)
