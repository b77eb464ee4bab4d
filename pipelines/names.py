"""Signals by number: names are slow to compare row by row, so each is looked up once and numbers go on."""

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[Any]


class Names:
    """Numbers for signals."""

    def __init__(self, known: Collection[tuple[str, str]], others: Collection[tuple[str, str]] = ()) -> None:
        """`known`: equipment and signal of each; its number is its place. `others` are passed over quickly."""
        self.known = known
        key = ["equipment", "signal"]
        names = pl.DataFrame(list(known), schema=dict.fromkeys(key, pl.String), orient="row")
        heard = pl.concat([names, pl.DataFrame(list(others), schema=names.schema, orient="row")])
        self._equipment, self._signals = (pl.Enum(heard[column].unique().sort()) for column in key)
        # By equipment and signal, the last of each for names that are no one's; -1: not known.
        self._numbers = np.full((len(self._equipment.categories) + 1, len(self._signals.categories) + 1), -1)
        places = (
            _places(names[n], kind) for n, kind in zip(key, (self._equipment, self._signals), strict=True)
        )
        self._numbers[*places] = np.arange(names.height)
        self._asked: Numbers = np.any(self._numbers >= 0, axis=0)

    def find(self, samples: pl.DataFrame) -> tuple[Numbers, Numbers]:
        """Which rows (`plant.frames.SAMPLES`) are of a known signal, and its number."""
        signal, equipment = _places(samples["signal"], self._signals), samples["equipment"]
        rows = np.flatnonzero(self._asked[signal])
        if len(rows) < len(signal):
            signal, equipment = signal[rows], equipment[rows]
        numbers = self._numbers[_places(equipment, self._equipment), signal]
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


def _places(names: pl.Series, among: pl.Enum) -> Numbers:
    """The place of each name; one more than the last where it is none of them."""
    found = names.cast(among, strict=False).to_physical()
    if found.null_count():
        found = found.cast(pl.UInt32).fill_null(len(among.categories))
    return found.to_numpy()
