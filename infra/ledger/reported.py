"""The figures of a shift as they are published: what is frozen when it closes, and computed again when its time is."""

import json
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from analytics.figures.losses import pareto
from analytics.figures.summary import summarise
from analytics.kpis import catalogue
from plant.model import Convention, Plant

TOP = 5
"""Losses kept with the figures."""

Figures = Mapping[str, object]


def figures(plant: Plant, rows: pl.DataFrame, convention: Convention | None = None) -> dict[str, Figures]:
    """Of ledger rows, per line: counts, KPIs with their parts, and the largest losses. As they come back from JSON.
    `convention`: by default the plant's."""
    found: dict[str, Figures] = {}
    used = convention or plant.settings.convention
    for values in summarise(rows, ["line"], plant, used).iter_rows(named=True):
        line = values.pop("line")
        top = pareto(rows.filter(pl.col("line") == line)).head(TOP)
        plain = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}
        all_of_it = {**plain, "convention": used.value, "losses": top.to_dicts()}
        found[line] = json.loads(json.dumps(all_of_it))
    return found


def same(before: Figures, after: Figures) -> bool:
    """Whether none of the figures published before is another one now; new kinds of figures do not count."""
    return all(
        before[name] == after[name] for name in before if name in after and name != "losses"
    ) and _losses(before) == _losses(after)


def _losses(values: Figures) -> list[tuple[object, object, object]]:
    shown = values.get("losses")
    rows = shown if isinstance(shown, list) else []
    return [(loss["reason"], loss["duration"], loss["count"]) for loss in rows]


def moved(before: Figures, after: Figures) -> dict[str, float]:
    """By how much each KPI is another value than before; those that are the same, or have no value, are left out."""
    found = {}
    for kpi in catalogue():
        one, other = before.get(kpi), after.get(kpi)
        if isinstance(one, int | float) and isinstance(other, int | float) and one != other:
            found[kpi] = other - one
    return found
