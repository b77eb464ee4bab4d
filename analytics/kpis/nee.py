"""NEE: OEE with setup time counted as well spent."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="nee",
    name="NEE",
    unit="1",
    source="ISO 22400-2 NEE index = AUPT / PBT x Effectiveness x Quality ratio",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="(running + changeover) / (planned busy time - unknown) x ideal of good / running; of rated products",
            numerator=pl.col("rated_running") + pl.col("rated_changeover"),
            denominator=pl.col("rated_known"),
            times=(pl.col("rated_ideal_good"), pl.col("rated_running")),
        )
    ),
)
