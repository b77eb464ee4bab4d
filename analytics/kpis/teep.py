"""TEEP: as OEE, against all known calendar time."""

import polars as pl

from analytics.kpis import RATED_OR_STOPPED, Formula, Kpi, same

KPI = Kpi(
    id="teep",
    name="TEEP",
    unit="1",
    source="Vorne; TEEP = utilisation x OEE",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="ideal time of good parts / (calendar time - unknown); of rated products",
            numerator=pl.col("rated_ideal_good"),
            denominator=pl.col("rated_calendar"),
            where=RATED_OR_STOPPED,
        )
    ),
)
