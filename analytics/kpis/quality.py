"""Quality: the good share of what was made, weighted with ideal time: parts of 10 s and 70 s differ."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="quality",
    name="Quality",
    unit="1",
    source="Nakajima 1988; ISO 22400-2 Quality ratio = GQ / PQ",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="ideal time of good parts / ideal time of all parts",
            numerator=pl.col("rated_ideal_good"),
            denominator=pl.col("rated_ideal"),
            otherwise=Formula(
                text="good / all parts, where none has an ideal cycle",
                numerator=pl.col("known_good"),
                denominator=pl.col("known_good") + pl.col("known_reject") + pl.col("known_rework"),
            ),
        )
    ),
)
