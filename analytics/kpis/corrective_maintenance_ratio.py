"""Corrective maintenance ratio: the share of maintenance nobody had planned."""

import polars as pl

from analytics.kpis import Formula, Kpi, same

KPI = Kpi(
    id="corrective_maintenance_ratio",
    name="Corrective maintenance ratio",
    unit="1",
    source="ISO 22400-2 Corrective maintenance ratio = CMT / (CMT + PMT)",
    higher_is_better=False,
    formulas=same(
        Formula(text="CMT / (CMT + PMT)", numerator=pl.col("CMT"), denominator=pl.col("CMT") + pl.col("PMT"))
    ),
)
