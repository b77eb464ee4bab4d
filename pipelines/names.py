"""Signals by number: names are slow to compare row by row, so each is looked up once and numbers go on."""

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[Any]

_SEEDS = 8
"""Of the hash that are tried, to have room for most names."""


class Names:
    """Numbers for signals."""

    def __init__(self, known: Collection[tuple[str, str]], others: Collection[tuple[str, str]] = ()) -> None:
        """`known`: equipment and signal of each; its number is its place. `others` are passed over quickly."""
        self.known = known
        key = ["equipment", "signal"]
        names = pl.DataFrame(list(known), schema=dict.fromkeys(key, pl.String), orient="row")
        heard = pl.concat([names, pl.DataFrame(list(others), schema=names.schema, orient="row")])
        self._equipment, self._signals = (_Places(heard[column].unique().sort()) for column in key)
        # By equipment and signal, the last of each for names that are no one's; -1: not known.
        self._numbers = np.full((len(self._equipment) + 1, len(self._signals) + 1), -1)
        self._numbers[self._equipment.of(names["equipment"]), self._signals.of(names["signal"])] = np.arange(
            names.height
        )
        self._asked: Numbers = np.any(self._numbers >= 0, axis=0)

    def find(self, samples: pl.DataFrame) -> tuple[Numbers, Numbers]:
        """Which rows (`plant.frames.SAMPLES`) are of a known signal, and its number."""
        signal, equipment = self._signals.of(samples["signal"]), samples["equipment"]
        rows = np.flatnonzero(self._asked[signal])
        if len(rows) < len(signal):
            signal, equipment = signal[rows], equipment[rows]
        numbers = self._numbers[self._equipment.of(equipment), signal]
        known = numbers >= 0
        return (rows, numbers) if known.all() else (rows[known], numbers[known])


class LatestNames:
    """The names of the plant in force: made anew when it is another."""

    def __init__(self) -> None:
        self._names = Names(())

    def of(self, known: Collection[tuple[str, str]]) -> Names:
        """As `Names` of these."""
        names = self._names
        if names.known is not known:
            self._names = names = Names(known)
        return names


class _Places:
    """The place of each name in a list; one more than the last where it is none of them.

    A name is found by its hash, in a table with room for one name in each slot. What is not what stands in its slot, which
    is rare, is looked up by its letters, at several times the cost.
    """

    def __init__(self, names: pl.Series) -> None:
        self._among = pl.Enum(names)
        slots = 1 << min(16, 2 * len(names).bit_length() + 2)
        self._last = np.uint64(slots - 1)

        def room(seed: int) -> int:
            return len(np.unique(names.hash(seed).to_numpy() & self._last))

        self._seed = max(range(_SEEDS), key=room)
        hashes = names.hash(self._seed).to_numpy()
        at = (hashes & self._last).view(np.int64)
        self._hashes = np.arange(slots, dtype=np.uint64) ^ np.uint64(1)  # what no name in that slot can have
        self._place = np.zeros(slots, np.int64)
        self._hashes[at], self._place[at] = hashes, np.arange(len(names))

    def __len__(self) -> int:
        return len(self._among.categories)

    def of(self, names: pl.Series) -> Numbers:
        hashes = names.hash(self._seed).to_numpy()
        at = (hashes & self._last).view(np.int64)
        places: Numbers = self._place[at]
        others = np.flatnonzero(self._hashes[at] != hashes)
        if len(others):
            found = names[others].cast(self._among, strict=False).to_physical().cast(pl.Int64)
            places[others] = found.fill_null(len(self)).to_numpy()
        return places
