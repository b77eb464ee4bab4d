"""How each machine of the demo plant behaves: what stops it, how well it works, where its counters start."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from collectors.simulator.codes import DOWN, MAINTENANCE, MOD16, MOD32, PLANNED_STOP, PRESS, STARVED
from collectors.simulator.faults import StopKind
from collectors.simulator.process import Effort, ProcessValue, Temperature

HOUR = 3600.0
MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The constants of one machine. Durations in seconds, shares in parts per million."""

    stops: tuple[StopKind, ...]
    reject_ppm: int
    setup: tuple[float, float]
    """Shortest and longest changeover to another material; a third of it when the material stays."""
    good_start: int = 0
    """First reading of the good counter."""
    resets: float = 0.0
    """Share of the faults after which the controller starts its counters at 0 again."""
    process: tuple[str, float, float]
    """(temperature, ambient, warm) or (effort, nominal, spread)."""


def process_value(profile: Profile, rng: random.Random) -> ProcessValue:
    """The process value of a machine with that profile."""
    kind, first, second = profile.process
    if kind == "temperature":
        return Temperature(rng, ambient=first, warm=second, lag=0.01, level=first)
    return Effort(rng, nominal=first, spread=second)


def _jams(code: int, every: float) -> tuple[StopKind, ...]:
    """What every station has: short jams nobody codes, longer uncoded stops, its own fault, low air."""
    return (
        StopKind(DOWN, every=14 * MINUTE, shortest=5, longest=70),
        StopKind(DOWN, every=5 * HOUR, shortest=3 * MINUTE, longest=9 * MINUTE),
        StopKind(code, every=every, shortest=90, longest=14 * MINUTE),
        StopKind(908, every=20 * HOUR, shortest=3 * MINUTE, longest=12 * MINUTE),
    )


_WASH = StopKind(PLANNED_STOP, every=5 * HOUR, shortest=8 * MINUTE, longest=12 * MINUTE)
_NO_MATERIAL = StopKind(STARVED, every=2.5 * HOUR, shortest=2 * MINUTE, longest=8 * MINUTE)
_SERVICE = StopKind(MAINTENANCE, every=9 * HOUR, shortest=15 * MINUTE, longest=30 * MINUTE)
_CNC_STOPS = (
    StopKind(DOWN, every=40 * MINUTE, shortest=10, longest=110),
    StopKind(911, every=3 * HOUR, shortest=6 * MINUTE, longest=25 * MINUTE),
    StopKind(912, every=6 * HOUR, shortest=3 * MINUTE, longest=10 * MINUTE),
    StopKind(913, every=12 * HOUR, shortest=10 * MINUTE, longest=40 * MINUTE),
    _NO_MATERIAL,
    _SERVICE,
)

PROFILES: Mapping[str, Profile] = {
    "rinser": Profile(
        stops=_jams(901, 2 * HOUR),
        reject_ppm=500,
        setup=(2 * MINUTE, 4 * MINUTE),
        good_start=12_000,
        process=("temperature", 18.0, 55.0),
    ),
    "filler": Profile(
        stops=(*_jams(902, 1.5 * HOUR), StopKind(903, 8 * HOUR, 5 * MINUTE, 20 * MINUTE), _WASH),
        reject_ppm=4_000,
        setup=(9 * MINUTE, 16 * MINUTE),
        good_start=MOD16 - 536,
        resets=0.3,
        process=("temperature", 20.0, 4.0),
    ),
    "capper": Profile(
        stops=_jams(904, 1.5 * HOUR),
        reject_ppm=2_500,
        setup=(5 * MINUTE, 8 * MINUTE),
        good_start=MOD16 - 5_000,
        process=("effort", 1.75, 0.5),
    ),
    "labeller": Profile(
        stops=_jams(905, 1.2 * HOUR),
        reject_ppm=3_500,
        setup=(4 * MINUTE, 9 * MINUTE),
        resets=0.4,
        process=("temperature", 22.0, 150.0),
    ),
    "packer": Profile(
        stops=_jams(906, 2 * HOUR),
        reject_ppm=800,
        setup=(3 * MINUTE, 6 * MINUTE),
        good_start=40_000,
        process=("effort", 42.0, 6.0),
    ),
    "palletiser": Profile(
        stops=(*_jams(907, 2.5 * HOUR), _SERVICE),
        reject_ppm=200,
        setup=(2 * MINUTE, 4 * MINUTE),
        process=("effort", 88.0, 10.0),
    ),
    "cnc-1": Profile(
        stops=_CNC_STOPS,
        reject_ppm=15_000,
        setup=(12 * MINUTE, 25 * MINUTE),
        good_start=MOD16 - 7,
        resets=0.3,
        process=("temperature", 24.0, 61.0),
    ),
    "cnc-2": Profile(
        stops=_CNC_STOPS,
        reject_ppm=20_000,
        setup=(12 * MINUTE, 25 * MINUTE),
        good_start=900,
        process=("temperature", 24.0, 58.0),
    ),
    PRESS: Profile(
        stops=(
            StopKind(DOWN, every=20 * MINUTE, shortest=6, longest=100),
            StopKind(921, every=2 * HOUR, shortest=3 * MINUTE, longest=15 * MINUTE),
            StopKind(922, every=5 * HOUR, shortest=8 * MINUTE, longest=30 * MINUTE),
            StopKind(923, every=1.5 * HOUR, shortest=20, longest=150),
            _NO_MATERIAL,
        ),
        reject_ppm=9_000,
        setup=(10 * MINUTE, 18 * MINUTE),
        good_start=MOD32 - 250,
        resets=0.2,
        process=("effort", 850.0, 24.0),
    ),
}
