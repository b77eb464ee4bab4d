"""What adds up to a long window: cells of whole days, the rows at its edges, and what is not stored as it is derived."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from analytics.figures.cells import uneven
from analytics.figures.elements import with_class
from analytics.figures.reliability import COUNTED, SPLITTING
from infra.ledger.cache import WholeDays
from infra.ledger.days import coded
from infra.ledger.stored import Derive, window_of
from plant.frames import Window
from plant.model import Plant


@dataclass(frozen=True, slots=True)
class Addends:
    """Frames for `analytics.figures.summary.summarise`, in no order; texts may be Categorical."""

    ledger: pl.DataFrame
    """Rows, and cells (`analytics.figures.cells`)."""
    failing: pl.DataFrame | None
    """With cells: its rows, and `analytics.figures.reliability.loose` ones of the cells."""

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Addends":
        """Rows alone."""
        return cls(rows, None)


def addends(
    stored: WholeDays,
    window: Window,
    plant: Plant,
    machines: Sequence[str],
    derive: Derive,
    edges: Iterable[datetime] = (),
    by: Collection[str] = (),
) -> Addends:
    """Of these machines; rows that are not stored, or over an edge of the window, are derived and cut at `edges` too. `by`:
    what it will be added up by (`analytics.figures.summary.DIMENSIONS`).

    Cells stand for a machine whose time between the first and the last of them is covered by them. Of any other one its
    rows are read.
    """
    ours = pl.col("equipment").is_in(sorted(machines))
    broken = pl.col("equipment").is_in(sorted(uneven(plant, stored.inner)))
    covered = stored.days.covered
    whole = covered.filter(
        ours,
        ~broken,
        (pl.col("end") - pl.col("start")).dt.total_microseconds() == pl.col("duration"),
        pl.col("end") <= window.end,
    )
    in_cells = pl.col("equipment").is_in(whole["equipment"].to_list())
    read = [stored.others]
    if whole.height < len(set(machines)):
        read.append(stored.rows.filter(ours, ~in_cells))
    besides = whole.select("equipment", "start", "end")
    rows = window_of(pl.concat(read).collect(), window, machines, derive, edges, besides)
    rows = coded(rows)
    loose = stored.days.loose
    if set(by) & set(SPLITTING) - {"category"}:
        cells, added = stored.days.cells, rows
    else:
        cells = stored.days.classed(plant)
        added = with_class(rows, plant).select(set(cells.columns) - set(COUNTED))
    if whole.height < covered.height:
        cells, loose = cells.filter(in_cells), loose.filter(in_cells)
    return Addends(pl.concat([cells, added], how="diagonal"), pl.concat([loose, rows]))
