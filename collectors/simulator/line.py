"""The bottling line: stations joined by finite conveyors, so a stop starves and blocks its neighbours."""

from collections import deque
from collections.abc import Sequence

from collectors.simulator.codes import BLOCKED, STARVED
from collectors.simulator.machine import Machine
from collectors.simulator.orders import Order
from collectors.simulator.profiles import Profile
from collectors.simulator.truth import Truth

CAPACITIES = (180, 90, 240, 300, 360)
"""Bottles the conveyor after each station holds."""

_SCRAP_PER_MILLE = 20
"""More bottles than ordered are fed, for the rejects of all stations to come."""

_REGULATED = 1_250
"""Cycle per mille of a station that line control slows down because its conveyor runs empty or full."""


class Buffer:
    """A conveyor of finite length: bottles in sequence, each of a numbered order."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.level = 0
        self._runs: deque[list[int]] = deque()

    @property
    def room(self) -> int:
        """How many more bottles fit."""
        return self.capacity - self.level

    def available(self, order: int) -> int:
        """Bottles of that order that can be taken before one of another order comes."""
        return self._runs[0][1] if self._runs and self._runs[0][0] == order else 0

    def put(self, order: int, count: int) -> None:
        """Add bottles at the end."""
        if count > self.room:
            raise ValueError(f"{count} bottles do not fit: {self.room} of {self.capacity} free")
        if not count:
            return
        if self._runs and self._runs[-1][0] == order:
            self._runs[-1][1] += count
        else:
            self._runs.append([order, count])
        self.level += count

    def take(self, order: int, count: int) -> None:
        """Remove bottles of that order from the front."""
        if count > self.available(order):
            raise ValueError(f"{count} bottles are not there: {self.available(order)} available")
        if not count:
            return
        self._runs[0][1] -= count
        self.level -= count
        if not self._runs[0][1]:
            self._runs.popleft()


class Station(Machine):
    """A machine between two conveyors. The first holds the bottles of its order, the last has no end."""

    def __init__(
        self,
        id: str,
        seed: int,
        period_us: int,
        orders: Sequence[Order],
        profile: Profile,
        forced: Sequence[tuple[int, int, int]],
        truth: Truth,
        upstream: "Station | None" = None,
        infeed: Buffer | None = None,
        outfeed: Buffer | None = None,
    ) -> None:
        self.upstream = upstream
        self.infeed = infeed
        self.outfeed = outfeed
        self._charge = 0
        super().__init__(id, seed, period_us, orders, profile, forced, truth)

    def begin(self, order: Order) -> None:
        self._charge = order.quantity + -(-order.quantity * _SCRAP_PER_MILLE // 1_000)

    def _available(self) -> int:
        return self._charge if self.infeed is None else self.infeed.available(self.finished)

    def _last_bottles(self) -> bool:
        return self.upstream is not None and self.upstream.finished > self.finished

    def exhausted(self) -> bool:
        return not self._available() and (self.upstream is None or self._last_bottles())

    def hindered(self) -> int | None:
        # Once stopped it waits until a few bottles (or places) are there, as line control does.
        waits = self.state == STARVED and self.infeed is not None and not self._last_bottles()
        enough = self.infeed.capacity // 6 if waits and self.infeed else 1
        if self._available() < enough:
            return STARVED
        if self.outfeed is not None:
            enough = self.outfeed.capacity // 6 if self.state == BLOCKED else 1
            if self.outfeed.room < enough:
                return BLOCKED
        return None

    def limit(self) -> int:
        room = self.outfeed.room if self.outfeed is not None else self._available()
        return min(self._available(), room)

    def pace(self) -> int:
        low = (
            self.infeed is not None
            and not self._last_bottles()
            and self.infeed.level < self.infeed.capacity // 8
        )
        high = self.outfeed is not None and self.outfeed.room < self.outfeed.capacity // 8
        return _REGULATED if low or high else 1_000

    def moved(self, good: int, reject: int) -> None:
        if self.infeed is None:
            self._charge -= good + reject
        else:
            self.infeed.take(self.finished, good + reject)
        if self.outfeed is not None:
            self.outfeed.put(self.finished, good)
