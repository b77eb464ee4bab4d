"""First pass yield: the share of the parts that was good at the first go. A part to be reworked was not."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="first_pass_yield",
    name="First pass yield",
    unit="1",
    source="ISO 22400-2 First pass yield = GP / IP",
    higher_is_better=True,
    formulas=same(Formula(text="GP / IP", numerator=pl.col("GP"), denominator=pl.col("IP"))),
)
