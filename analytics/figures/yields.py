"""Yield over the steps of a line: what of the parts that enter comes out good at the first go.

Steps are the machines of a line that count parts; machines fed by the same ones stand side by side and are one step.
"""

from collections.abc import Sequence

import polars as pl

from plant.model import Plant, Role
from plant.states import BUSY_CATEGORIES, TimeCategory

_KNOWN = [c.value for c in BUSY_CATEGORIES if c is not TimeCategory.UNKNOWN]
_MADE = ("good", "reject", "rework")
STEPS = {"equipment": pl.String, "of": pl.String, "step": pl.String, "first": pl.Boolean}


def steps(plant: Plant) -> pl.DataFrame:
    """equipment, `of` (its line), `step` (the first of the machines side by side), `first` (nothing on the line that counts
    comes before it): the machines that count parts."""
    roles = plant.roles()
    counting = [m for m in plant.machines() if roles.get(m.id, set()) & {Role.GOOD, Role.REJECT, Role.TOTAL}]
    ids = {m.id for m in counting}
    mapped = {plant.line_of(m.id) for m in counting if m.upstream}
    rows = []
    side_by_side: dict[tuple[str, tuple[str, ...]], str] = {}
    begun: set[str] = set()
    for machine in counting:
        line = plant.line_of(machine.id)
        feeders = tuple(sorted(machine.upstream))
        step = side_by_side.setdefault((line, feeders), machine.id) if feeders else machine.id
        first = not (_before(plant, machine.id) & ids) if line in mapped else line not in begun
        begun.add(line)
        rows.append((machine.id, line, step, first))
    return pl.DataFrame(rows, schema=STEPS, orient="row")


def _before(plant: Plant, machine: str) -> set[str]:
    """All machines that feed it, and what feeds those."""
    found: set[str] = set()
    pending = list(plant.equipment[machine].upstream)
    while pending:
        one = pending.pop()
        if one not in found and one in plant.equipment:
            found.add(one)
            pending += plant.equipment[one].upstream
    return found


def yields(rows: pl.DataFrame | pl.LazyFrame, by: Sequence[str], plant: Plant) -> pl.DataFrame:
    """Per group and step that made parts: the `by` columns, of, step, first, good and made (good, rejects and rework), in
    known planned busy time."""
    keys = list(dict.fromkeys([*by, "equipment"]))
    counted = (
        rows.lazy()
        .filter(pl.col("category").is_in(_KNOWN), pl.any_horizontal(pl.col(_MADE) != 0))
        .group_by(keys)
        .agg(pl.col(_MADE).sum())
        .collect()
        .with_columns(machine=pl.col("equipment").cast(pl.String))
    )
    return (
        counted.join(steps(plant).rename({"equipment": "machine"}), on="machine")
        .group_by([*by, "of", "step"])
        .agg(
            pl.col("first").any(),
            pl.col("good").sum(),
            made=(pl.col("good") + pl.col("reject") + pl.col("rework")).sum(),
        )
        .filter(pl.col("made") > 0)
    )


def rolled(rows: pl.DataFrame | pl.LazyFrame, by: Sequence[str], plant: Plant) -> pl.DataFrame:
    """Per group: `rolled_yield`, the product of the steps' yields, `yield_steps`, 1 where there is one; `scrap` of all steps
    and `entered`, the parts the first steps made. Null where the steps are of more than one line: their parts never met."""
    found = yields(rows, by, plant)
    one = pl.col("of").n_unique() == 1
    sums = [
        pl.when(one).then((pl.col("good") / pl.col("made")).product()).alias("rolled_yield"),
        pl.when(one).then(1).alias("yield_steps"),
        pl.when(one & pl.col("first").any()).then(pl.col("made").filter("first").sum()).alias("entered"),
    ]
    return found.group_by(by).agg(sums) if by else found.select(sums)
