"""The simulated plant as a whole: a bottling line of six stations, two CNC machines and a press.

Deterministic: the same seed, start, period, orders and script give the same readings, to the bit, whatever
machines are looked at and in however many processes. Pure: no clock, no socket, no file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from collectors.simulator.codes import MACHINES, PROCESS_VALUES, STATIONS
from collectors.simulator.faults import ForcedStop
from collectors.simulator.line import CAPACITIES, Buffer, Station
from collectors.simulator.machine import Machine, SingleMachine
from collectors.simulator.orders import demo_orders, parse_orders, programme
from collectors.simulator.profiles import PROFILES
from collectors.simulator.truth import Truth, TruthLog, microseconds


@dataclass(frozen=True, slots=True)
class Reading:
    """All signals of one machine at one time."""

    state: int
    good: int
    reject: int
    order: str
    """"" is no order."""
    process: float
    """Value of the machine's process signal (codes.PROCESS_VALUES)."""

    def signals(self, machine: str) -> dict[str, int | str | float]:
        """Signal id to value."""
        return {
            "state": self.state,
            "good": self.good,
            "reject": self.reject,
            "order": self.order,
            PROCESS_VALUES[machine][0]: self.process,
        }


class Simulation:
    """The plant at `now`; `step` takes it one sample period further."""

    def __init__(
        self,
        seed: int,
        start: datetime,
        *,
        orders: Iterable[Mapping[str, object]] | None = None,
        script: Sequence[ForcedStop] = (),
        period: timedelta = timedelta(seconds=1),
        truth: Truth | None = None,
    ) -> None:
        """`orders` are rows as of `orders.demo_orders`, which is taken when none are given.

        `truth` takes the events; a TruthLog in memory when none is given. Raises ValueError for a start
        without zone, a period that is not positive, or an order that cannot be made.
        """
        if start.tzinfo is None:
            raise ValueError("simulation: the start needs a zone, as in 2026-01-05T06:00:00+00:00")
        if period < timedelta(milliseconds=1):
            raise ValueError(f"simulation: a sample period of {period} is too short, 1 ms is the least")
        self.start = start
        self.period = period
        self.steps = 0
        self.truth: Truth = truth if truth is not None else TruthLog()
        self._start_us = microseconds(start)
        self._period_us = period // timedelta(microseconds=1)
        listed = parse_orders(demo_orders(start) if orders is None else orders)
        self.buffers = tuple(Buffer(capacity) for capacity in CAPACITIES)
        self.machines: dict[str, Machine] = {}
        upstream: Station | None = None
        for id in MACHINES:
            args = (
                id,
                seed,
                self._period_us,
                programme(listed, id),
                PROFILES[id],
                self._forced(id, script),
                self.truth,
            )
            if id in STATIONS:
                place = STATIONS.index(id)
                infeed = self.buffers[place - 1] if place else None
                outfeed = self.buffers[place] if place < len(self.buffers) else None
                upstream = Station(*args, upstream=upstream, infeed=infeed, outfeed=outfeed)
                self.machines[id] = upstream
            else:
                self.machines[id] = SingleMachine(*args)
        # Downstream first: a place freed in a step is used by the station before it in the same step.
        self._work = tuple(machine.work for machine in reversed(self.machines.values()))
        self._read = tuple(machine.read for machine in self.machines.values())
        self._take_readings()

    @property
    def now_us(self) -> int:
        """Time of the current readings, microseconds since 1970-01-01 UTC."""
        return self._start_us + self.steps * self._period_us

    @property
    def now(self) -> datetime:
        """Time of the current readings."""
        return self.start + self.steps * self.period

    def step(self) -> None:
        """One sample period further."""
        self.steps += 1
        now = self.now_us
        for work in self._work:
            work(now)
        self._take_readings()

    def advance_to(self, time: datetime) -> None:
        """Step until the next step would pass `time`; a time already passed changes nothing."""
        for _ in range((time - self.now) // self.period):
            self.step()

    def reading(self, machine: str) -> Reading:
        """The signals of a machine now."""
        m = self.machines[machine]
        return Reading(m.state, m.good, m.reject, m.order_id, m.value)

    def _take_readings(self) -> None:
        now = self.now_us
        for read in self._read:
            read(self.steps, now)

    def _forced(self, machine: str, script: Sequence[ForcedStop]) -> list[tuple[int, int, int]]:
        """The script of one machine in steps: from the first reading not before its times."""
        spans = []
        for event in script:
            if event.equipment == machine:
                first = -((self.start - event.at) // self.period)
                after = -((self.start - event.at - event.duration) // self.period)
                spans.append((first, max(after, first + 1), event.state))
        return sorted(spans)
