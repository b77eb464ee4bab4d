"""Of many samples, the few that facts follow from.

Most samples repeat the one before. The rules of the derivation judge a sample by its predecessors, so one that
repeats its predecessor tells them nothing; what is left is a hundredth, and every rule meets few rows. A thinned
history is a history: samples, sorted, that the same functions read (docs/adr/0013).

`pipelines.arrivals` does the same for what comes live. It can remember how long ago the row before was, where this
keeps a row now and then.
"""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analytics.facts.readings import series, shortest
from plant.frames import BAD
from plant.model import CycleKind, Plant

Numbers = NDArray[Any]


def thin(samples: pl.LazyFrame, plant: Plant) -> pl.LazyFrame:
    """The rows of `samples` that facts follow from (`plant.frames.SAMPLES`, same columns and order).

    `samples` must be sorted by (equipment, signal, time), each instant of a series once. Kept are the rows that tell
    something, each with the row before it, and the first and last row of every series. Signals nothing is derived from
    are dropped. Facts of what is kept are those of all (`pipelines.derive.facts`), also when spans of time or
    machines are thinned apart and put together. `received` may be missing.

    A row tells something if value, text or quality differ from the row before; if a counter flags it; if it is a cycle
    time, of which every one counts; or if time passed a multiple of the *grid*, the power of two microseconds that
    is no longer than the shortest `stale_after`. So no gap that makes a value stale is lost, and none appears
    where samples were dropped.

    Each piece a streaming query hands over is thinned by itself, so memory is bounded: sink the result, or collect it
    with the streaming engine.
    """
    thinning = Thinning(plant)
    return samples.filter(pl.col("signal").is_in(thinning.signals.implode())).map_batches(
        thinning, streamable=True, predicate_pushdown=False, projection_pushdown=False
    )


class Thinning:
    """Thins pieces of a history of a plant, each by itself; see `thin`."""

    def __init__(self, plant: Plant) -> None:
        known = series(plant)
        timed = known.filter(pl.col("cycle") == CycleKind.TIME.value)
        self.signals = known["signal"].unique()
        self._ours = Chosen(known)
        self._timed = timed["signal"].unique()
        self._grid = _grid(shortest(known["stale"].to_list()))

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows if rows.is_empty() else self.thinned(rows, begins_series(rows))

    def thinned(self, rows: pl.DataFrame, begins: Numbers) -> pl.DataFrame:
        """`begins`: `begins_series` of the rows, of which there are some."""
        mixed = bool(begins[1:].any())  # mostly a piece is of one series
        if not mixed and not self._ours.has(rows):
            return rows.clear()
        value = rows["value"].to_numpy()  # NaN where there is none: a sample is never NaN
        quality = rows["quality"].to_numpy()
        bits = value.view(np.int64)
        tells = begins.copy()
        tells[1:] |= bits[1:] != bits[:-1]
        first = value[tells]  # of those alike
        tells[1:] |= quality[1:] != quality[:-1]
        if rows["text"].null_count() < rows.height:
            tells |= rows["text"].ne_missing(rows["text"].shift()).to_numpy()
        if (
            self._grid is not None
        ):  # the highest bit in which two times differ says which multiples lie between
            time = rows["time"].to_numpy().view(np.uint64)
            tells[1:] |= (time[1:] ^ time[:-1]) >= self._grid
        if not _countable(first).all():
            tells |= ~_countable(value) & (quality < BAD)
        if not self._timed.is_empty():
            tells |= rows["signal"].is_in(self._timed.implode()).to_numpy()
        kept = tells.copy()
        kept[:-1] |= tells[1:]
        kept[-1] = True
        found = rows[np.flatnonzero(kept)]
        return self._ours.of(found) if mixed else found


def _countable(value: Numbers) -> Numbers:
    """Which of them a counter can show; no value is fine too."""
    shown: Numbers = (value >= 0) & (value == np.floor(value)) & (value < 2**53)
    return shown | np.isnan(value)


def begins_series(rows: pl.DataFrame) -> Numbers:
    """Which rows are of another (equipment, signal) than the row before; the first one is. Not for empty frames."""
    begins = np.zeros(rows.height, bool)
    for names in (rows["equipment"], rows["signal"]):
        if not (names == names[0]).all():  # mostly a piece is of one series, which is quick to see
            begins |= (names != names.shift()).fill_null(True).to_numpy()
    begins[0] = True
    return begins


class Chosen:
    """Some series (equipment, signal), and which rows are of them."""

    def __init__(self, keys: pl.DataFrame) -> None:
        self._keys = set(keys.select("equipment", "signal").iter_rows())
        self._among = _among(keys)

    def has(self, rows: pl.DataFrame) -> bool:
        """Whether rows of one series are of these."""
        return (rows["equipment"][0], rows["signal"][0]) in self._keys

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of these series."""
        return rows.filter(self._among)


def _among(keys: pl.DataFrame) -> pl.Expr:
    """Machines mostly have signals of the same names, so there are few terms."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for (signal,), machines in keys.sort("equipment").group_by("signal", maintain_order=True):
        groups.setdefault(tuple(machines["equipment"]), []).append(str(signal))
    terms = [
        pl.col("signal").is_in(signals) & pl.col("equipment").is_in(list(machines))
        for machines, signals in groups.items()
    ]
    return pl.any_horizontal(terms) if terms else pl.lit(False)


def _grid(stale: timedelta | None) -> int | None:
    """The longest power of two microseconds that is no longer."""
    return None if stale is None else 1 << (stale // timedelta(microseconds=1)).bit_length() - 1
