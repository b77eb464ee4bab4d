"""Spans of time that are dirty: what came late, together where it belongs together."""

from datetime import timedelta

import polars as pl

NEAR = timedelta(minutes=1)
"""Spans no further apart are one."""
MOST = 64
"""Spans of one machine that stay apart; of more, those nearest to one another are one."""


def together(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans (equipment, earliest, latest, both included) without overlap, in order: near ones are one, and what lies between
    distant ones is in none."""
    ordered = spans.select("equipment", "earliest", "latest").sort("equipment", "earliest")
    before = pl.col("latest").cum_max().shift().over("equipment")
    gaps = ordered.with_columns(gap=pl.col("earliest") - before)
    apart = (pl.col("gap") > NEAR) & (pl.col("gap").rank("ordinal", descending=True).over("equipment") < MOST)
    return (
        gaps.with_columns(part=apart.fill_null(False).cum_sum())
        .group_by("equipment", "part")
        .agg(pl.col("earliest").min(), pl.col("latest").max())
        .sort("equipment", "earliest")
        .select("equipment", "earliest", "latest")
    )
