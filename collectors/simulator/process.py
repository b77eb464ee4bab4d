"""Process values: a temperature that follows the machine, a torque or force only while it works."""

import random
from dataclasses import dataclass
from typing import Protocol


class ProcessValue(Protocol):
    """One analogue signal."""

    def step(self, running: bool) -> float:
        """The value one sample period later."""


@dataclass(slots=True)
class Temperature:
    """Degrees Celsius: lags behind `warm` while running, behind `ambient` otherwise, with sensor noise."""

    rng: random.Random
    ambient: float
    warm: float
    lag: float
    """Share of the remaining difference covered per step."""
    level: float

    def step(self, running: bool) -> float:
        self.level += ((self.warm if running else self.ambient) - self.level) * self.lag
        return round(self.level + 0.2 * (self.rng.random() - 0.5), 2)


@dataclass(slots=True)
class Effort:
    """Torque (N.m) or force (kN): `nominal` with noise while running, else 0.

    Quarters only, which a 32-bit float holds exactly: the value on the wire is the value in the model.
    """

    rng: random.Random
    nominal: float
    spread: float

    def step(self, running: bool) -> float:
        if not running:
            return 0.0
        return round(4 * (self.nominal + self.spread * (self.rng.random() - 0.5))) / 4
