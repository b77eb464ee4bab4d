"""One simulated machine: state, speed and counters. How it gets and gives parts is a subclass's matter.

Time is counted in sample periods. Reading k shows the state and order that hold in [k, k+1) and the
counters as they stand at k; what is made in [k, k+1) is seen in reading k+1.
"""

import math
import random
from collections.abc import Sequence

from collectors.simulator.codes import CHANGEOVER, FAULTS, MATERIALS, MOD16, MODULUS, PLANNED_STOP, RUNNING
from collectors.simulator.faults import StopProcess
from collectors.simulator.orders import Order
from collectors.simulator.profiles import Profile, process_value
from collectors.simulator.truth import Truth

_RESET_MARGIN = 2_000
"""A counter this near its modulus is not reset: to a reader it would look like a rollover."""


class Machine:
    """The behaviour common to stations and single machines.

    The public attributes are the signals of the latest reading.
    """

    def __init__(
        self,
        id: str,
        seed: int,
        period_us: int,
        orders: Sequence[Order],
        profile: Profile,
        forced: Sequence[tuple[int, int, int]],
        truth: Truth,
    ) -> None:
        """`forced` are (first step, step after the last, state code), in the sequence they apply."""
        self.id = id
        self.profile = profile
        self.state = PLANNED_STOP
        self.good = profile.good_start
        self.reject = 0
        self.order_id = ""
        self.value = 0.0
        self.finished = 0
        """Orders completed; the number of the order being worked on."""
        self._truth = truth
        self._period = period_us
        self._modulus = MODULUS[id]
        self._orders = orders
        self._order: Order | None = None
        self._cycle = 0
        self._progress = 0
        self._changed_at: int | None = None
        self._setup_left = 0
        self._forced = list(reversed(forced))
        self._draws = random.Random(f"{seed}/{id}/work")
        self._stops = StopProcess(random.Random(f"{seed}/{id}/stops"), profile.stops, period_us)
        self._process = process_value(profile, random.Random(f"{seed}/{id}/process"))
        self._next = self._stops.draw()
        self._until_stop = self._next.after
        self._stop_left = 0
        self._reset_at = 0
        self._until_reject = self._draw_good_run()
        self._slow = 1_000
        self._slow_left = 0
        self._take_order()

    # What a subclass says about its surroundings.

    def exhausted(self) -> bool:
        """Nothing is left to do for the current order."""
        raise NotImplementedError

    def hindered(self) -> int | None:
        """STARVED or BLOCKED if the surroundings stop it now."""
        return None

    def limit(self) -> int:
        """How many parts the surroundings allow in this step."""
        raise NotImplementedError

    def moved(self, good: int, reject: int) -> None:
        """Parts were made: take them from where they came, put the good ones where they go."""

    def pace(self) -> int:
        """Cycle time against the ideal one that line control asks for, per mille."""
        return 1_000

    # One step: work, then read.

    def work(self, now_us: int) -> None:
        """Make the parts of the step that ends at `now_us`."""
        if self.state != RUNNING:
            return
        self._until_stop -= 1
        self._slow_left -= 1
        if self._slow_left <= 0:
            self._draw_speed()
        self._progress += self._period
        cycle = self._cycle * self._slow * self.pace() // 1_000_000
        made = self._progress // cycle
        if not made:
            return
        allowed = self.limit()
        if made > allowed:
            made, self._progress = allowed, 0
        else:
            self._progress -= made * cycle
        bad = 0
        self._until_reject -= made
        while self._until_reject <= 0:
            bad += 1
            self._until_reject += self._draw_good_run()
        bad = min(bad, made)
        self.moved(made - bad, bad)
        self._count(now_us, made - bad, bad)

    def read(self, step: int, now_us: int) -> None:
        """Decide state and order of reading `step`, taken at `now_us`."""
        if self._changed_at is not None and step > self._changed_at:
            self._changed_at = None
            self._take_order()
        state = self._decide(step, now_us)
        self.value = self._process.step(state == RUNNING)
        order = self._order.id if self._order else ""
        if state != self.state or step == 0:
            self._truth.state(self.id, now_us, state)
        if order != self.order_id or step == 0:
            self._truth.order(self.id, now_us, order, self._order.material if self._order else "")
        self.state, self.order_id = state, order

    def _decide(self, step: int, now_us: int) -> int:
        while self._forced and step >= self._forced[-1][1]:
            self._forced.pop()
        if self._forced and step >= self._forced[-1][0]:
            return self._forced[-1][2]
        if self._stop_left:
            self._stop_left -= 1
            if self._stop_left == self._reset_at:
                self._reset_counters(now_us)
            if self._stop_left:
                return self._next.code
            self._begin_stop_clock()
        if self._order is not None and self.exhausted() and self._changed_at is None and not self._setup_left:
            self._finish_order(step)
        if self._setup_left:
            self._setup_left -= 1
            return CHANGEOVER
        if self._order is None or self._changed_at is not None:
            return PLANNED_STOP
        if self._until_stop <= 0:
            return self._begin_stop()
        return self.hindered() or RUNNING

    # Stops.

    def _begin_stop(self) -> int:
        self._stop_left = self._next.steps
        # A reset happens midway, so that the 0 is read at least once while nothing is made.
        resets = self._next.code in FAULTS and self._draws.random() < self.profile.resets
        self._reset_at = self._stop_left // 2 if resets else 0
        return self._next.code

    def _begin_stop_clock(self) -> None:
        self._next = self._stops.draw()
        self._until_stop = self._next.after

    # Orders.

    def _finish_order(self, step: int) -> None:
        """The next order shows one reading later, so no part is made in the step that changes it."""
        done = self._orders[self.finished]
        self.finished += 1
        self._changed_at = step
        if self.finished < len(self._orders):
            shortest, longest = self.profile.setup
            seconds = self._draws.uniform(shortest, longest)
            if self._orders[self.finished].material == done.material:
                seconds /= 3
            self._setup_left = max(2, round(seconds * 1_000_000 / self._period))

    def _take_order(self) -> None:
        self._order = self._orders[self.finished] if self.finished < len(self._orders) else None
        self._progress = 0
        if self._order:
            self._cycle = MATERIALS[self._order.material].cycles[self.id]
            self.begin(self._order)

    def begin(self, order: Order) -> None:
        """An order starts."""

    # Speed and quality.

    def _draw_speed(self) -> None:
        """Alternate between a good pace and a spell of slow cycles."""
        slow = self._slow <= 1_030 and self._draws.random() < 0.4
        self._slow = self._draws.randint(1_080, 1_300) if slow else self._draws.randint(1_000, 1_030)
        minutes = self._draws.uniform(2, 9) if slow else self._draws.uniform(8, 30)
        self._slow_left = round(minutes * 60_000_000 / self._period)

    def _draw_good_run(self) -> int:
        """Parts up to and including the next reject (geometric)."""
        share = self.profile.reject_ppm / 1_000_000
        return 1 + int(math.log(1.0 - self._draws.random()) / math.log(1.0 - share))

    # Counters.

    def _count(self, now_us: int, good: int, reject: int) -> None:
        if good:
            self._truth.parts(self.id, now_us, "good", good, self.order_id)
            self.good += good
            if self.good >= self._modulus:
                self.good -= self._modulus
                self._truth.counter(self.id, now_us, "good", "rollover")
        if reject:
            self._truth.parts(self.id, now_us, "reject", reject, self.order_id)
            self.reject += reject
            if self.reject >= MOD16:
                self.reject -= MOD16
                self._truth.counter(self.id, now_us, "reject", "rollover")

    def _reset_counters(self, now_us: int) -> None:
        if (
            not self._reset_at
            or self.good > self._modulus - _RESET_MARGIN
            or self.reject > MOD16 - _RESET_MARGIN
        ):
            return
        if self.good:
            self._truth.counter(self.id, now_us, "good", "reset")
        if self.reject:
            self._truth.counter(self.id, now_us, "reject", "reset")
        self.good = self.reject = 0


class SingleMachine(Machine):
    """A CNC machine or press: raw material at hand, works until the order's quantity is good."""

    def begin(self, order: Order) -> None:
        self._to_make = order.quantity

    def exhausted(self) -> bool:
        return self._to_make <= 0

    def limit(self) -> int:
        return self._to_make

    def moved(self, good: int, reject: int) -> None:
        self._to_make -= good
