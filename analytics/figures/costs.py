"""What lost time and scrapped parts cost: keys `cost_per_hour` of [[equipment]] and `value` of [[material]]."""

from collections.abc import Mapping

import polars as pl

from plant.model import Plant

HOUR = 3_600_000_000
"""Microseconds."""


def of_time(plant: Plant, duration: pl.Expr) -> pl.Expr:
    """What microseconds of a row's machine cost; null where nobody said what its hour costs."""
    rates = {m.id: m.cost_per_hour for m in plant.machines() if m.cost_per_hour is not None}
    return duration / HOUR * _said("equipment", rates)


def of_scrap(plant: Plant, parts: pl.Expr) -> pl.Expr:
    """What scrapped parts of a row's material cost; null where nobody said what one is worth."""
    values = {m.id: m.value for m in plant.materials.values() if m.value is not None}
    return parts * _said("material", values)


def _said(column: str, amounts: Mapping[str, float]) -> pl.Expr:
    """The amount of what the column says."""
    name = pl.col(column).cast(pl.String)
    return (
        name.replace_strict(amounts, default=None, return_dtype=pl.Float64)
        if amounts
        else pl.lit(None, pl.Float64)
    )
