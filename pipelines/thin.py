"""Of many samples, the few that facts follow from.

Most samples repeat the one before. The rules of the derivation judge a sample by its predecessors, so one that
repeats its predecessor tells them nothing; what is left is a hundredth, and every rule meets few rows. A thinned
history is a history: samples, sorted, that the same functions read (docs/adr/0013).
"""

from datetime import timedelta

import polars as pl

from analytics.readings import series, shortest
from plant.frames import BAD
from plant.model import CycleKind, Plant


def thin(samples: pl.LazyFrame, plant: Plant) -> pl.LazyFrame:
    """The rows of `samples` that facts follow from (`plant.frames.SAMPLES`, same columns and order).

    `samples` must be sorted by (equipment, signal, time), each instant of a series once. Kept are the rows that tell
    something, each with the row before it, and the first and last row of every series. Signals nothing is derived from
    are dropped. Facts of what is kept are those of all (`pipelines.derive.facts`), also when spans of time or
    machines are thinned apart and put together.

    A row tells something if value, text or quality differ from the row before; if a counter flags it; if it is a cycle
    time, of which every one counts; or if time passed a multiple of the *grid*, the power of two microseconds that
    is no longer than the shortest `stale_after`. So no gap that makes a value stale is lost, and none appears
    where samples were dropped.

    Runs row by row (a shift and filters), so that it streams with bounded memory: sink it, or collect it with
    the streaming engine.
    """
    known = series(plant)
    before = {name: pl.col(name).shift() for name in samples.collect_schema().names()}
    value, time = pl.col("value"), pl.col("time").to_physical()
    differs = (
        (pl.col("equipment") != before["equipment"])
        | (pl.col("signal") != before["signal"])
        | value.ne_missing(before["value"])
        | pl.col("text").ne_missing(before["text"])
        | (pl.col("quality") != before["quality"])
    )
    no_count = (value < 0) | (value != value.floor()) | (value >= 2**53)
    tells = differs | (no_count & (pl.col("quality") < BAD)).fill_null(False)
    grid = _grid(shortest(known["stale"].to_list()))
    if grid is not None:  # the highest bit in which two times differ says which multiples lie between
        tells |= (time ^ time.shift()).abs() >= grid
    timed = known.filter(pl.col("cycle") == CycleKind.TIME.value)["signal"].unique()
    if not timed.is_empty():
        tells |= pl.col("signal").is_in(timed.implode())
    tells = tells.fill_null(True)
    return (
        samples.filter(pl.col("signal").is_in(known["signal"].unique().implode()))
        .with_columns(tells=tells)
        .filter(pl.col("tells") | pl.col("tells").shift(-1, fill_value=True))
        .drop("tells")
        .pipe(only, known)
    )


def _grid(stale: timedelta | None) -> int | None:
    """The longest power of two microseconds that is no longer."""
    return None if stale is None else 1 << (stale // timedelta(microseconds=1)).bit_length() - 1


def among(known: pl.DataFrame) -> pl.Expr:
    """Rows of the series (equipment, signal) of this frame. Machines mostly have signals of the same names, so there
    are few terms."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for (signal,), machines in known.sort("equipment").group_by("signal", maintain_order=True):
        groups.setdefault(tuple(machines["equipment"]), []).append(str(signal))
    terms = [
        pl.col("signal").is_in(signals) & pl.col("equipment").is_in(list(machines))
        for machines, signals in groups.items()
    ]
    return pl.any_horizontal(terms) if terms else pl.lit(False)


def only(rows: pl.LazyFrame, known: pl.DataFrame) -> pl.LazyFrame:
    """Rows `among` the known series, looked up where they are few: a plain filter would be moved to where there are
    many."""
    ours = among(known)
    return rows.map_batches(lambda few: few.filter(ours), streamable=True, predicate_pushdown=False)
