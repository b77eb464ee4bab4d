"""Performance (ISO 22400-2 Effectiveness): how fast it was while it was up. Above 1 the ideal cycle is wrong;
it is shown, not capped."""

import polars as pl

from analytics.kpis import Formula, Kpi
from plant.model import Convention

KPI = Kpi(
    id="performance",
    name="Performance",
    unit="1",
    source="Nakajima 1988 / Vorne; ISO 22400-2 Effectiveness = PRI x PQ / APT",
    higher_is_better=True,
    formulas={
        Convention.NAKAJIMA: Formula(
            text="ideal time of all parts / (running + micro-stops); of rated products",
            numerator=pl.col("rated_ideal"),
            denominator=pl.col("rated_running") + pl.col("rated_micro_stop"),
        ),
        Convention.ISO22400: Formula(
            text="ideal time of all parts / running; of rated products",
            numerator=pl.col("rated_ideal"),
            denominator=pl.col("rated_running"),
        ),
    },
)
