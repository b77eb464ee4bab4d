"""Which order a machine worked on, and what it made, from signals that carry the order number and the product.

Each is held from the sample that names it to the next usable sample that says otherwise, through gaps in the
data: an order does not end because nobody could see the machine, and the time not seen belongs to it. An empty
text (or blanks) means none; a sample without a value means nothing.
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from analytics.facts.readings import HAS_VALUE, SAME_SERIES, codes, raw_text
from plant.frames import ORDER_RUNS, TIME
from plant.model import Plant, Role

ORDERED: Mapping[str, pl.DataType | type[pl.DataType]] = {"code": pl.UInt32, "time": TIME, "order": pl.String}
"""From `time` on the signal names this: an order, or a product (null: none)."""

MATERIALS = {"order": pl.String, "material": pl.String}
"""What each order makes."""

PRODUCTS = {"code": pl.UInt32, "name": pl.String, "product": pl.String}
"""What a material signal's values mean, where that is not the material's id."""


def products(plant: Plant, known: pl.DataFrame) -> pl.DataFrame:
    """`PRODUCTS` of the plant's material signals."""
    of = known.filter(pl.col("role") == Role.MATERIAL.value).select("code", "equipment", "signal")
    rows = [
        (code, raw, material)
        for code, equipment, signal in of.iter_rows()
        for raw, material in plant.signals[equipment, signal].materials.items()
    ]
    return pl.DataFrame(rows, schema=PRODUCTS, orient="row")


def order_edges(readings: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`ORDERED` rows of the order and material signals among the readings: where what they name changes."""
    name = raw_text(pl.col("value"), pl.col("text")).str.strip_chars()
    named = pl.col("code").is_in(codes(known, Role.ORDER, Role.MATERIAL).implode())
    rows = readings.filter(named & HAS_VALUE).with_columns(order=pl.when(name != "").then(name))
    changed = ~SAME_SERIES | pl.col("order").ne_missing(pl.col("order").shift())
    return rows.filter(changed & ~pl.col("carried")).select(list(ORDERED))


def order_runs(
    edges: pl.DataFrame,
    known: pl.DataFrame,
    until: datetime,
    materials: pl.DataFrame | None = None,
    named: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`plant.frames.ORDER_RUNS` from `ORDERED` edges before `until`; the last run of a machine is open.

    The material is what the machine's material signal says (`named`: `PRODUCTS`), else what the order makes
    (`materials`: `MATERIALS`; an order it lacks has none). Without an order a run has only a material.
    """
    materials = pl.DataFrame(schema=MATERIALS) if materials is None else materials
    named = pl.DataFrame(schema=PRODUCTS) if named is None else named
    lookup = materials.select(pl.col("order", "material").cast(pl.String)).unique(
        "order", keep="last", maintain_order=True
    )
    said = (
        edges.filter(pl.col("time") < until)
        .join(known.select("code", "equipment", "role"), on="code", how="left")
        .join(named, left_on=["code", "order"], right_on=["code", "name"], how="left")
    )
    # "" is none: what was said before must not be filled in.
    is_order = pl.col("role") == Role.ORDER.value
    columns = {
        "order": pl.when(is_order).then(pl.col("order").fill_null("")),
        "product": pl.when(~is_order).then(pl.coalesce("product", "order", pl.lit(""))),
    }
    held = (
        said.select("equipment", "time", **columns)
        .sort("equipment", "time")
        .with_columns(pl.col("order", "product").forward_fill().over("equipment").replace("", None))
    )
    machine = pl.col("equipment")
    last_of_instant = (machine != machine.shift(-1)) | (pl.col("time") != pl.col("time").shift(-1))
    held = held.filter(last_of_instant.fill_null(True))
    differs = machine != machine.shift()
    for name in ("order", "product"):
        differs = differs | pl.col(name).ne_missing(pl.col(name).shift())
    return (
        held.filter(differs.fill_null(True))
        .with_columns(end=pl.when(machine == machine.shift(-1)).then(pl.col("time").shift(-1)))
        .filter(pl.col("order").is_not_null() | pl.col("product").is_not_null())
        .join(lookup, on="order", how="left")
        .with_columns(material=pl.coalesce("product", "material"))
        .rename({"time": "start"})
        .select(list(ORDER_RUNS))
        .sort("equipment", "start")
    )
