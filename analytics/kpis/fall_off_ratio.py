"""Fall off ratio: what all steps of a line rejected of the parts its first step made."""

import polars as pl

from analytics.kpis import Formula, Kpi, Pass, same

KPI = Kpi(
    id="fall_off_ratio",
    name="Fall off ratio",
    unit="1",
    source="ISO 22400-2 Fall off ratio = SQ / PQ of the first operation",
    higher_is_better=False,
    formulas=same(
        Formula(
            text="SQ of all steps / PQ of the first step",
            numerator=pl.col("SQ"),
            denominator=pl.col("entered"),
        )
    ),
    passes=(Pass.STEPS,),
)
