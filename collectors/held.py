"""What sources that report on change hold: repeating it as proof of life, and ending it on a loss. Pure.

A value reported on change stands until the next change, but silence may also be a dead line. So while the
source proves to be alive, the values it holds are said again with the time of the proof, on its own clock.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

import polars as pl

from collectors.samples import no_value
from plant.frames import BAD, SAMPLES, TIME, empty
from plant.model import HELD_ROLES, Signal

SAME_CLOCK = timedelta(seconds=5)
"""A change stamped this close to the proof's time was stamped by the same clock."""

KEY = ["equipment", "signal"]

NOTHING = empty(SAMPLES)

MANY = 50_000
"""Samples kept at most before the newest of each signal are told from the rest."""


class Clock(Enum):
    """Whether sample times and proof times are on one clock."""

    UNSURE = auto()
    SAME = auto()
    OTHER = auto()


class Held:
    """The newest value of each signal of one source.

    `heartbeat`: how often values are said again; zero: never. Nothing is said again on a clock that is not
    the samples' own (a simulation at high speed, a PLC that was never set): the time would be invented.
    """

    def __init__(self, signals: Sequence[Signal], heartbeat: timedelta) -> None:
        self._signals = tuple(signals)
        repeated = [(s.equipment, s.id) for s in signals if s.role in HELD_ROLES or s.decides]
        self._repeated = pl.DataFrame(repeated, schema=dict.fromkeys(KEY, pl.String), orient="row")
        self._heartbeat = heartbeat
        self._held = Latest()
        self._losses: list[tuple[datetime, pl.DataFrame]] = []
        """When a loss was said, and the values that stood just before it."""
        self._beat: datetime | None = None
        self._said = NOTHING.select(*KEY, said="time")
        """Of each signal said again at the last beat, the time of what was said."""
        self._since: datetime | None = None
        self._newest: datetime | None = None
        self._ahead = timedelta(0)
        self.clock = Clock.UNSURE

    def connected(self) -> None:
        """A connection was made: what was held is asked anew."""
        self._losses = []
        self.resumed()

    def resumed(self) -> None:
        """A connection was made to a source that may have kept what we missed: see `recovered`."""
        self._held, self._beat, self._since = Latest(), None, None

    def update(self, batch: pl.DataFrame, proof: datetime, initial: bool = False) -> pl.DataFrame:
        """Take a batch; gives it back with corrections to what was said again too late.

        `proof` is the time it was sent. `initial`: values as they stood at the connection; their age proves
        nothing. A change that lies before the last repetition, and not before what was said there, overwrites it
        (same key, received later).
        """
        if batch.is_empty():
            return batch
        newest, received = batch["time"].max(), batch["received"].max()
        assert isinstance(newest, datetime) and isinstance(received, datetime)
        self._since = self._since or proof
        self._ahead = proof - received
        self._newest = max(newest, self._newest or newest)
        if abs(newest - proof) <= SAME_CLOCK:
            self.clock = Clock.SAME
        elif not initial or newest > proof:
            self.clock = Clock.OTHER
        out = batch
        oldest = batch["time"].min()
        assert isinstance(oldest, datetime)
        if self._beat is not None and oldest <= self._beat:
            late = batch.filter(pl.col("time") <= self._beat).join(self._repeated, on=KEY, how="semi")
            late = late.sort("time", maintain_order=True).unique(KEY, keep="last", maintain_order=True)
            late = late.join(self._said, on=KEY, how="left", maintain_order="left")
            late = late.filter((pl.col("time") >= pl.col("said")).fill_null(True)).drop("said")
            if not late.is_empty():
                said = late.select(*KEY, said="time")
                self._said = pl.concat([said, self._said]).unique(KEY, keep="first")
                out = pl.concat([batch, late.with_columns(pl.lit(self._beat).cast(TIME).alias("time"))])
        self.fill(batch)
        return out

    def fill(self, batch: pl.DataFrame) -> None:
        """Take samples that came later than others: nothing is said because of them."""
        self._held.add(batch)
        self._losses = [
            (time, _latest(before, batch.filter(pl.col("time") < time))) for time, before in self._losses
        ]

    def newest(self) -> dict[str, tuple[datetime, float | None, str | None]]:
        """Of each signal ("equipment.signal") the newest sample: time, value, text; also from before a loss."""
        known = _latest(*(before for _, before in self._losses), self._held.frame())
        rows = known.select("equipment", "signal", "time", "value", "text").iter_rows()
        return {f"{equipment}.{signal}": (time, value, text) for equipment, signal, time, value, text in rows}

    def recovered(self, received: datetime, signals: Collection[str] | None = None) -> pl.DataFrame:
        """Nothing of these signals (None: of any) was missed over the losses said: what stood before each is said
        again at its very time, so that it overwrites the sample without a value (received later)."""
        out = [NOTHING]
        for time, before in self._losses:
            mine = before.filter(_among(signals))
            out.append(
                mine.filter(
                    (pl.col("quality") != BAD)
                    & (pl.col("value").is_not_null() | pl.col("text").is_not_null())
                ).with_columns(
                    pl.lit(time).cast(TIME).alias("time"), pl.lit(received).cast(TIME).alias("received")
                )
            )
            self._held = Latest(mine, self._held.frame())
        self.unrecovered(signals)
        return pl.concat(out)

    def unrecovered(self, signals: Collection[str] | None = None) -> None:
        """What these signals (None: all) were during the losses said stays unknown."""
        left = [(time, before, before.filter(~_among(signals))) for time, before in self._losses]
        self._losses = [
            (time, rest)
            for time, before, rest in left
            if signals is not None and (before.is_empty() or not rest.is_empty())
        ]

    def beat(self, proof: datetime, received: datetime) -> pl.DataFrame:
        """The held values said again at `proof`, when it is time to; otherwise nothing."""
        if self._heartbeat <= timedelta(0) or self.clock is Clock.OTHER:
            return NOTHING
        if self.clock is Clock.UNSURE and (self._since is None or proof < self._since + self._heartbeat):
            return NOTHING
        if self._beat is not None and proof < self._beat + self._heartbeat:
            return NOTHING
        again = (
            self._held.frame()
            .filter(
                (pl.col("time") < proof)
                & (pl.col("quality") != BAD)
                & (pl.col("value").is_not_null() | pl.col("text").is_not_null())
            )
            .join(self._repeated, on=KEY, how="semi")
        )
        self._beat, self._said = proof, again.select(*KEY, said="time")
        return again.with_columns(
            pl.lit(proof).cast(TIME).alias("time"), pl.lit(received).cast(TIME).alias("received")
        )

    def lost(self, now: datetime) -> pl.DataFrame:
        """One BAD sample without a value per signal, at `now` on the source's clock and after all it ever said.

        Where samples are stamped by a clock nobody can ask for the time, that is just after the newest of them.
        """
        time = now + self._ahead if abs(self._ahead) > SAME_CLOCK else now
        if self._newest is not None:
            after = self._newest + timedelta(microseconds=1)
            time = after if self.clock is Clock.OTHER else max(time, after)
        self._losses.append((time, _latest(*(before for _, before in self._losses), self._held.frame())))
        self._held, self._beat = Latest(), None
        return no_value(self._signals, time).with_columns(pl.lit(now).cast(TIME).alias("received"))

    def unknown(self, time: datetime, signals: Collection[str], received: datetime) -> pl.DataFrame:
        """One BAD sample without a value for each of these signals at `time`: from then on we were not there, and could
        not say so then. As after `lost`, `recovered` overwrites it with what stood at that time, if that is learned."""
        self._losses.append((time, NOTHING))
        mine = [s for s in self._signals if f"{s.equipment}.{s.id}" in signals]
        return no_value(mine, time).with_columns(pl.lit(received).cast(TIME).alias("received"))


class Latest:
    """The newest sample of each signal, worked out when somebody asks: at high rates that is once in many batches."""

    def __init__(self, *frames: pl.DataFrame) -> None:
        self._frames, self._rows = list(frames), 0

    def add(self, frame: pl.DataFrame) -> None:
        """Later than what was there, where the time is the same."""
        self._frames.append(frame)
        self._rows += max(frame.height, 100)  # a frame has its cost too
        if self._rows > MANY:
            self.frame()

    def frame(self) -> pl.DataFrame:
        """One row a signal."""
        if len(self._frames) != 1 or self._rows:
            self._frames, self._rows = [_latest(*self._frames)], 0
        return self._frames[0]


def _latest(*frames: pl.DataFrame) -> pl.DataFrame:
    """The newest sample of each signal; of two at one time the later frame's."""
    return (
        pl.concat([NOTHING, *frames])
        .sort("time", maintain_order=True)
        .unique(KEY, keep="last", maintain_order=True)
    )


def _among(signals: Collection[str] | None) -> pl.Expr:
    if signals is None:
        return pl.lit(True)
    return pl.concat_str("equipment", "signal", separator=".").is_in(list(signals))
