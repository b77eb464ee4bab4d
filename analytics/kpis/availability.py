"""Availability: how much of the known planned time the machine was up."""

import polars as pl

from analytics.kpis import Formula, Kpi
from plant.model import Convention

KPI = Kpi(
    id="availability",
    name="Availability",
    unit="1",
    source="Nakajima 1988 / Vorne; ISO 22400-2 Availability = APT / PBT",
    higher_is_better=True,
    formulas={
        Convention.NAKAJIMA: Formula(
            text="(running + micro-stops) / (planned busy time - unknown)",
            numerator=pl.col("running") + pl.col("micro_stop"),
            denominator=pl.col("known"),
        ),
        Convention.ISO22400: Formula(
            text="running / (planned busy time - unknown)",
            numerator=pl.col("running"),
            denominator=pl.col("known"),
        ),
    },
)
