"""How fast machines have worked lately, how much that varied, and how long a stop that goes on now will last.

Output over time is a cumulative process: over planned time T it is about normal with mean `rate` x T and variance
`variance` x T, whatever the lengths of cycles and stops (Smith 1955, Regenerative stochastic processes; Cox 1962,
Renewal theory). The variance is estimated from blocks of time, not single cycles, so stops count with their whole length
(batch means: Law and Kelton, Simulation modeling and analysis). A stop is said to last as much longer as earlier ones
of the machine did that had got so far, with its own length as one more of them, so that few are enough.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import NormalDist

import polars as pl

from plant.states import BUSY_CATEGORIES, TimeCategory

RATE_OVER = timedelta(hours=4)
"""Planned time the rate looks back over, as far as the ledger goes."""
BLOCK = timedelta(minutes=15)
"""Planned time the variance compares."""
LEVEL = 0.8
"""Of the intervals: as often as this the truth should lie inside."""

LOOK = timedelta(hours=24)
"""How old rows may be that say something of the rate."""

RATED = [c.value for c in BUSY_CATEGORIES if c not in (TimeCategory.UNKNOWN, TimeCategory.CHANGEOVER)]
"""A changeover is over when its order runs: it says nothing about the rate of what is left."""
_STOPPED = [TimeCategory.UNPLANNED_DOWNTIME.value, TimeCategory.MICRO_STOP.value]
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one machine over its last planned time. Amounts are good parts; where every part had an ideal cycle, the ideal
    time of the good parts, so that products with different cycles compare."""

    parts: float
    """Good parts per second."""
    parts_variance: float | None
    """Parts squared per second; None: too little time to say."""
    earned: float | None
    """Ideal time of good parts per time; None where a part had no ideal cycle."""
    earned_variance: float | None
    """Seconds."""
    rated: float
    """Seconds looked back over."""
    blocks: int
    wait: float = 0.0
    """Seconds that the stop which goes on now is expected to last still; 0: none does."""

    def of(self, cycle: timedelta | None) -> tuple[float, float | None]:
        """Good parts of that ideal cycle per second, and their variance per second."""
        if cycle and self.earned is not None:
            seconds = cycle.total_seconds()
            variance = self.earned_variance
            return self.earned / seconds, None if variance is None else variance / seconds**2
        return self.parts, self.parts_variance

    def output(self, seconds: float) -> tuple[float, float | None]:
        """Expected good parts of so much planned time from now, of the products there were lately, and half the width of
        their interval."""
        rate, variance = self.parts, self.parts_variance
        working = max(seconds - self.wait, 0.0)
        spread = self._spread(working if working else seconds, rate, variance)
        return rate * working, None if spread is None else self._quantile() * spread

    def needed(
        self, parts: float, cycle: timedelta | None
    ) -> tuple[float, float | None, float | None] | None:
        """Planned seconds until so many good parts are made: expected, and from when to when with `LEVEL`, which is None
        where there is too little to tell; the last alone where the rate is too uncertain for an end. None without a rate."""
        rate, variance = self.of(cycle)
        if not rate:
            return None
        expected = self.wait + parts / rate
        if variance is None:
            return expected, None, None
        # |rate u - parts| = quantile x spread(u), squared: an equation of the second degree in u, the time worked.
        square = self._quantile() ** 2
        a = rate**2 - square * variance / self.rated
        b = 2 * parts * rate + square * variance
        c = parts**2 - square * (rate * self.wait) ** 2
        root = sqrt(max(b * b - 4 * a * c, 0.0))
        soonest = max(self.wait + 2 * c / (b + root), 0.0)
        return expected, soonest, self.wait + (b + root) / (2 * a) if a > 0 else None

    def late(self, parts: float, seconds: float, cycle: timedelta | None) -> float | None:
        """Probability that so many good parts take longer than so much planned time."""
        rate, variance = self.of(cycle)
        spread = self._spread(max(seconds - self.wait, 0.0), rate, variance)
        if spread is None or not rate:
            return None
        margin = rate * (seconds - self.wait) - parts
        if not spread:
            return float(margin < 0)
        return NormalDist().cdf(-margin / spread * _Z / self._quantile())

    def _spread(self, working: float, rate: float, variance: float | None) -> float | None:
        """Standard deviation of the output of so much time: of the process, the rate's own error, the stop's end."""
        if variance is None:
            return None
        return sqrt(variance * (working + working**2 / self.rated) + (rate * self.wait) ** 2)

    def _quantile(self) -> float:
        """Of Student's t, for `LEVEL` between both: the expansion of Cornish and Fisher."""
        z, free = _Z, self.blocks - 1
        return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)


_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


def paces(ledger: pl.DataFrame, now: datetime, changeovers: bool = False) -> dict[str, Pace]:
    """The pace of each machine with rated time in the ledger (`plant.frames.LEDGER`, up to now, cut at
    `analytics.forecast.finish.edges`: it is looked at by whole rows). `changeovers`: their time counts too, as it will
    in time that more than one order is made in."""
    rated = [*RATED, TimeCategory.CHANGEOVER.value] if changeovers else RATED
    block = BLOCK // _MICROSECOND
    newer = pl.col("duration").cum_sum(reverse=True).over("equipment") - pl.col("duration")
    blocks = (
        ledger.filter(pl.col("category").is_in(rated), pl.col("end") > now - LOOK)
        .sort("equipment", "start")
        .with_columns(block=newer // block)
        .filter(pl.col("block") < RATE_OVER // BLOCK)
        .group_by("equipment", "block")
        .agg(pl.col("duration", "good", "ideal_good", "unrated").sum())
        .with_columns(pl.col("duration", "ideal_good") / 1e6)
    )
    time = pl.col("duration")
    machines = blocks.group_by("equipment").agg(
        rated=time.sum(),
        blocks=pl.len(),
        unrated=pl.col("unrated").sum(),
        **{
            f"{name}_{what}": amount
            for name in ("good", "ideal_good")
            for what, amount in (
                ("sum", pl.col(name).sum()),
                ("rate", pl.col(name).sum() / time.sum()),
                ("rest", ((pl.col(name) - pl.col(name).sum() / time.sum() * time) ** 2).sum()),
            )
        },
    )
    waits = _waits(ledger, now)
    found: dict[str, Pace] = {}
    for row in machines.iter_rows(named=True):
        count, seconds = row["blocks"], row["rated"]
        share = count / (count - 1) / seconds if count > 1 else None
        earns = not row["unrated"] and row["ideal_good_sum"] > 0
        found[row["equipment"]] = Pace(
            parts=row["good_rate"],
            parts_variance=None if share is None else row["good_rest"] * share,
            earned=row["ideal_good_rate"] if earns else None,
            earned_variance=row["ideal_good_rest"] * share if earns and share is not None else None,
            rated=seconds,
            blocks=count,
            wait=waits.get(row["equipment"], 0.0),
        )
    return found


def _waits(ledger: pl.DataFrame, now: datetime) -> dict[str, float]:
    """Seconds that unplanned stops which go on now are expected to last still, by machine."""
    stops = (
        ledger.filter(pl.col("category").is_in(_STOPPED))
        .group_by("equipment", "stop_start")
        .agg(pl.col("end").max())
        .with_columns(length=(pl.col("end") - pl.col("stop_start")).dt.total_microseconds() / 1e6)
    )
    going_on = stops.filter(pl.col("end") >= now).select("equipment", so_far="length")
    longer = stops.filter(pl.col("end") < now).join(going_on, on="equipment")
    excess = (pl.col("length") - pl.col("so_far")).filter(pl.col("length") > pl.col("so_far"))
    earlier = longer.group_by("equipment").agg(sum=excess.sum(), count=excess.len())
    expected = (pl.col("sum").fill_null(0) + pl.col("so_far")) / (pl.col("count").fill_null(0) + 1)
    return dict(going_on.join(earlier, on="equipment", how="left").select("equipment", expected).iter_rows())
