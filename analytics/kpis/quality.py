"""Quality: the good share of what was made, weighted with ideal time: parts of 10 s and 70 s differ."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

_rated = pl.col("rated_ideal") != 0

KPI = Kpi(
    id="quality",
    name="Quality",
    unit="1",
    source="Nakajima 1988; ISO 22400-2 Quality ratio = GQ / PQ",
    formulas=same(
        Formula(
            text="ideal time of good parts / of all parts; good / (good + reject) without ideal cycle",
            numerator=pl.when(_rated).then(pl.col("rated_ideal_good")).otherwise(pl.col("known_good")),
            denominator=pl.when(_rated)
            .then(pl.col("rated_ideal"))
            .otherwise(pl.col("known_good") + pl.col("known_reject")),
        )
    ),
)
