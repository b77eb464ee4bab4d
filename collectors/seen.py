"""What went by of each signal of one source: how much, how fast, the last value. Read off the samples on their way
to disk, so that no collector counts for itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from plant.frames import FUTURE
from plant.model import Signal

KEY = pl.concat_str("equipment", "signal", separator=".").alias("key")


@dataclass(slots=True)
class SignalSeen:
    """One signal. Times are None until there was a sample."""

    samples: int = 0
    rate: float = 0.0
    """Samples a second between the last two looks."""
    time: datetime | None = None
    """The source's time of the newest sample."""
    received: datetime | None = None
    value: float | str | None = None
    quality: int | None = None


class Seen:
    """Samples are added as they are stored; `look` sums up what was added since the look before."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.signals = {f"{s.equipment}.{s.id}": SignalSeen() for s in signals}
        self.samples, self.rate, self.gaps = 0, 0.0, 0
        self.last_sample: datetime | None = None
        self.lag: float | None = None
        """Seconds the newest sample of the last batches was old when it came; None: there was none."""
        self._frames: list[pl.DataFrame] = []
        self._looked: datetime | None = None

    def add(self, samples: pl.DataFrame) -> None:
        """Samples (`plant.frames.SAMPLES`) that are on disk now."""
        self.samples += samples.height
        self._frames.append(samples)

    def look(self, now: datetime) -> None:
        """Bring the figures up to date."""
        frames, self._frames = self._frames, []
        passed = (now - self._looked).total_seconds() if self._looked else 0.0
        self._looked = now
        for signal in self.signals.values():
            signal.rate = 0.0
        self.rate = 0.0
        if not frames:
            return
        added = pl.concat(frames)
        # One sample of a clock set wrong must not hide the others for good.
        possible = added.filter(pl.col("time") <= pl.col("received") + FUTURE)
        newest = possible["time"].max()
        if isinstance(newest, datetime) and (self.last_sample is None or newest >= self.last_sample):
            self.last_sample = newest
            received = possible["received"].max()
            assert isinstance(received, datetime)
            self.lag = (received - newest).total_seconds()
        self.rate = added.height / passed if passed > 0 else 0.0
        latest = added.group_by("equipment", "signal").agg(
            pl.len().alias("samples"),
            pl.col("time", "value", "text", "quality", "received").sort_by("time").last(),
        )
        for key, samples, time, value, text, quality, received in latest.select(
            KEY, "samples", "time", "value", "text", "quality", "received"
        ).iter_rows():
            signal = self.signals.setdefault(key, SignalSeen())
            signal.samples += samples
            signal.rate = samples / passed if passed > 0 else 0.0
            ahead = (
                signal.time is not None
                and signal.received is not None
                and signal.time > signal.received + FUTURE
            )
            if signal.time is None or ahead or time >= signal.time:
                signal.time, signal.received, signal.quality = time, received, quality
                signal.value = value if value is not None else text
