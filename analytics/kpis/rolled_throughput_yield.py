"""Rolled throughput yield: the chance that a part passes every step of its line at the first go."""

import polars as pl

from analytics.kpis import Formula, Kpi, Pass, same

KPI = Kpi(
    id="rolled_throughput_yield",
    name="Rolled throughput yield",
    unit="1",
    source="Six Sigma; RTY = FPY of step 1 x FPY of step 2 x ...",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="first pass yield of each step of the line, multiplied",
            numerator=pl.col("rolled_yield"),
            denominator=pl.col("yield_steps"),
        )
    ),
    passes=(Pass.STEPS,),
)
