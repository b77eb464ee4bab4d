"""Everything ever sent, as a historian returns it, for tests of what follows arrivals."""

from collections.abc import Sequence

import polars as pl

from plant.frames import SAMPLES, Window, empty


class Store:
    """Samples by series and time: one of each, the one received last."""

    def __init__(self) -> None:
        self.samples = empty(SAMPLES)

    def add(self, batch: pl.DataFrame) -> None:
        rows = pl.concat([self.samples, batch]).sort("equipment", "signal", "time", "received")
        self.samples = rows.unique(["equipment", "signal", "time"], keep="last", maintain_order=True)

    def read(self, equipment: Sequence[str], window: Window) -> pl.DataFrame:
        """As `pipelines.fold.Fold` asks."""
        return self.samples.filter(
            pl.col("equipment").is_in(list(equipment)),
            pl.col("time").is_between(window.start, window.end, closed="left"),
        )
