"""OEE: the share of known planned time that made good parts at the ideal cycle."""

import polars as pl

from analytics.kpis import RATED_OR_STOPPED, Formula, Kpi, same

KPI = Kpi(
    id="oee",
    name="OEE",
    unit="1",
    source="Nakajima 1988; ISO 22400-2 OEE index = Availability x Effectiveness x Quality ratio",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="ideal time of good parts / (planned busy time - unknown); of rated products",
            numerator=pl.col("rated_ideal_good"),
            denominator=pl.col("rated_known"),
            where=RATED_OR_STOPPED,
        )
    ),
)
