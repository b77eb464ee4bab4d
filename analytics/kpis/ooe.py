"""OOE: as OEE, against planned busy time and planned downtime: what breaks and maintenance take counts too."""

import polars as pl

from analytics.kpis import RATED_OR_STOPPED, Formula, Kpi, same

KPI = Kpi(
    id="ooe",
    name="OOE",
    unit="1",
    source="Overall operations effectiveness; operations time = shift time, planned downtime included",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="ideal time of good parts / (planned busy time + planned downtime - unknown); of rated products",
            numerator=pl.col("rated_ideal_good"),
            denominator=pl.col("rated_operations"),
            where=RATED_OR_STOPPED,
        )
    ),
)
