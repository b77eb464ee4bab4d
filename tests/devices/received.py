"""An `Emit` that keeps what it acknowledged, and says what a historian would have of it."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from plant.frames import BAD, SAMPLES, empty
from plant.model import Signal


class Received:
    """Samples and gaps of one source. `disk`: seconds each batch takes to be written."""

    def __init__(self, disk: float = 0.02) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str, tuple[str, ...]]] = []
        self.disk = disk

    async def __call__(self, samples: pl.DataFrame) -> None:
        assert samples.schema == pl.Schema(SAMPLES)
        await asyncio.sleep(self.disk)
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        assert first <= last and why
        self.gaps.append((first, last, why, tuple(signals)))

    def stored(self) -> pl.DataFrame:
        """As a historian has it: of two rows of one key the one received last. Sorted by signal and time."""
        everything = pl.concat([empty(SAMPLES), *self.frames])
        kept = everything.unique(["equipment", "signal", "time"], keep="last", maintain_order=True)
        return kept.sort("signal", "time")

    def values_each(self, signals: Iterable[Signal]) -> int:
        """How many values there are of the signal with the fewest."""
        there = dict(self.stored().drop_nulls("value").group_by("signal").len().iter_rows())
        return min(there.get(signal.id, 0) for signal in signals)

    def missing(self) -> dict[str, list[int]]:
        """Of signals that count one by one: the values that were jumped over."""
        found: dict[str, list[int]] = {}
        for name, values in self.stored().drop_nulls("value").group_by("signal").agg("value").iter_rows():
            there = {int(v) for v in values}
            if lost := sorted(set(range(min(there), max(there) + 1)) - there):
                found[name] = lost
        return found

    def holes(self) -> int:
        """Samples without a value that stay."""
        return self.stored().filter(pl.col("quality") == BAD).height
