"""Which order a machine worked on, from a signal that carries the order number.

An order is held from the sample that names it to the next usable sample that says otherwise, through gaps
in the data: it does not end because nobody could see the machine, and the time not seen belongs to it.
An empty text (or blanks) means no order; a sample without a value means nothing.
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from analytics.readings import HAS_VALUE, SAME_SERIES, codes, raw_text
from plant.frames import ORDER_RUNS, TIME
from plant.model import Role

ORDERED: Mapping[str, pl.DataType | type[pl.DataType]] = {"code": pl.UInt32, "time": TIME, "order": pl.String}
"""From `time` on the machine works on `order` (null: on none)."""

MATERIALS = {"order": pl.String, "material": pl.String}
"""What each order makes."""


def order_edges(readings: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`ORDERED` rows of the order signals among the readings: where the order changes."""
    name = raw_text(pl.col("value"), pl.col("text")).str.strip_chars()
    rows = readings.filter(pl.col("code").is_in(codes(known, Role.ORDER).implode()) & HAS_VALUE).with_columns(
        order=pl.when(name != "").then(name)
    )
    changed = ~SAME_SERIES | pl.col("order").ne_missing(pl.col("order").shift())
    return rows.filter(changed & ~pl.col("carried")).select(list(ORDERED))


def order_runs(
    edges: pl.DataFrame, known: pl.DataFrame, until: datetime, materials: pl.DataFrame | None = None
) -> pl.DataFrame:
    """`plant.frames.ORDER_RUNS` from `ORDERED` edges before `until`; the last run is open.

    `materials` (`MATERIALS`) names what each order makes; an order it lacks has no material.
    """
    materials = pl.DataFrame(schema=MATERIALS) if materials is None else materials
    lookup = materials.select(pl.col("order", "material").cast(pl.String)).unique(
        "order", keep="last", maintain_order=True
    )
    edges = edges.filter(pl.col("time") < until).sort("code", "time")
    edges = edges.filter(~SAME_SERIES | pl.col("order").ne_missing(pl.col("order").shift()))
    return (
        edges.with_columns(end=pl.when(SAME_SERIES.shift(-1)).then(pl.col("time").shift(-1)))
        .filter(pl.col("order").is_not_null())
        .join(known.select("code", "equipment"), on="code", how="left")
        .join(lookup, on="order", how="left")
        .rename({"time": "start"})
        .select(list(ORDER_RUNS))
        .sort("equipment", "start")
    )
