"""Technical efficiency: production against production and delays."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="technical_efficiency",
    name="Technical efficiency",
    unit="1",
    source="ISO 22400-2 Technical efficiency = APT / (APT + ADET)",
    higher_is_better=True,
    formulas=same(
        Formula(
            text="APT / (APT + ADET)", numerator=pl.col("APT"), denominator=pl.col("APT") + pl.col("ADET")
        )
    ),
)
