"""What stops a machine: random stops by running time, and stops forced by a script."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from collectors.simulator.codes import FAULTS, MACHINES, PRESS, RUNNING, STATES


@dataclass(frozen=True, slots=True)
class StopKind:
    """A kind of random stop.

    `every` is the mean running time between two of them, in seconds (exponential); the length is
    log-uniform between `shortest` and `longest`, in seconds.
    """

    code: int
    every: float
    shortest: float
    longest: float


@dataclass(frozen=True, slots=True)
class Stop:
    """A drawn stop: it begins after `after` more running steps and lasts `steps` steps."""

    after: int
    code: int
    steps: int


class StopProcess:
    """Draws the next stop of one machine: competing exponential clocks over its stop kinds."""

    def __init__(self, rng: random.Random, kinds: Sequence[StopKind], period_us: int) -> None:
        self._rng = rng
        self._kinds = list(kinds)
        self._weights = [1 / kind.every for kind in kinds]
        self._per_second = 1_000_000 / period_us

    def draw(self) -> Stop:
        """The next stop, counted from now on."""
        wait = self._rng.expovariate(sum(self._weights))
        kind = self._rng.choices(self._kinds, self._weights)[0]
        length = math.exp(self._rng.uniform(math.log(kind.shortest), math.log(kind.longest)))
        return Stop(self._steps(wait), kind.code, self._steps(length))

    def _steps(self, seconds: float) -> int:
        return max(1, round(seconds * self._per_second))


@dataclass(frozen=True, slots=True)
class ForcedStop:
    """A stop for certain: `equipment` shows `state` in [at, at + duration), whatever else is due.

    Where two of one machine overlap, the one that begins first is shown to its end.
    """

    equipment: str
    at: datetime
    state: int
    duration: timedelta

    def __post_init__(self) -> None:
        if self.equipment not in MACHINES:
            raise ValueError(f"script: no machine {self.equipment!r}; there are {', '.join(MACHINES)}")
        if self.state == RUNNING or not (self.state in STATES or self.state in FAULTS):
            codes = sorted({*STATES, *FAULTS} - {RUNNING})
            raise ValueError(
                f"script: {self.equipment}: state {self.state} cannot be forced; use one of {codes}"
            )
        if self.at.tzinfo is None:
            raise ValueError(f"script: {self.equipment}: 'at' needs a zone, as in 2026-01-05T06:00:00+00:00")
        if self.duration <= timedelta(0):
            raise ValueError(f"script: {self.equipment}: the duration must be more than 0 seconds")


def demo_script(at: datetime, duration: timedelta = timedelta(minutes=75)) -> tuple[ForcedStop, ...]:
    """A breakdown of the press from `at` on (hydraulic pressure), long enough to make its order late."""
    return (ForcedStop(PRESS, at, 922, duration),)


def parse_script(rows: Iterable[Mapping[str, object]]) -> tuple[ForcedStop, ...]:
    """Forced stops from JSON rows {equipment, at (ISO 8601 with zone), state, duration (seconds)}.

    Raises ValueError naming the row and the field.
    """
    script = []
    for number, row in enumerate(rows, 1):
        try:
            script.append(
                ForcedStop(
                    equipment=str(row["equipment"]),
                    at=datetime.fromisoformat(str(row["at"])),
                    state=int(str(row["state"])),
                    duration=timedelta(seconds=float(str(row["duration"]))),
                )
            )
        except KeyError as error:
            raise ValueError(f"script: event {number} has no {error}") from error
        except ValueError as error:
            raise ValueError(f"script: event {number}: {error}") from error
    return tuple(script)
