"""Reading one group of values again and again: what the device refuses is found out once, what it does not answer is
left alone for a while, the rest goes on."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from collectors.modbus.address import Wanted
from collectors.modbus.blocks import Block, Learned, blocks, halves
from collectors.modbus.decode import Plan
from collectors.modbus.link import Link
from collectors.modbus.wire import NoAnswerError, NotGivenError, RefusedError, Request

UNANSWERED_IN_A_ROW = 2
"""After so many the rest of that unit waits for the next round: a dead unit must not cost every block its timeout."""
SHORTEST_WAIT = 0.1
"""Seconds an answer may take at least, however short the poll: a network and a busy machine are not faster."""
LONGEST_PAUSE = 10.0
"""Seconds between two attempts at a block that was not answered, at most."""

Place = tuple[int, str, int]


@dataclass(slots=True)
class Round:
    """What one round of requests gave."""

    blocks: list[Block] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    """Index of a wanted value to why there is none."""
    waiting: set[int] = field(default_factory=set)
    """Indices of values not answered in time this once; the next polls may still have them."""
    alive: bool = False
    """Whether the device said anything, refusals included."""
    learned: bool = False
    unanswered: dict[int, int] = field(default_factory=dict)
    plan: Plan | None = None
    """How the answers decode."""

    def fail(self, block: Block, why: str) -> None:
        """There are no values of this block."""
        self.failed.update((index, f"{block}: {why}") for index, _ in block.members)


@dataclass(slots=True)
class _Pause:
    """A block that was not answered."""

    why: str
    since: float
    times: int = 0
    until: float = 0.0


class Reading:
    """Reads the wanted values with these indices over one connection.

    `timeout` and `every`, the poll's period, in seconds: one answer is waited for no longer than either (but
    SHORTEST_WAIT), and a block that is not answered for `timeout` has failed. `retry`: seconds until what was refused is
    asked for again.
    """

    def __init__(
        self,
        link: Link,
        wanted: Sequence[Wanted],
        indices: Sequence[int],
        *,
        max_gap: int,
        max_block: int,
        timeout: float,
        every: float,
        retry: float,
    ) -> None:
        self.learned = Learned()
        self._link, self._wanted, self._indices = link, wanted, indices
        self._max_gap, self._max_block = max_gap, max_block
        self._wait, self._patience = min(timeout, max(every, SHORTEST_WAIT)), timeout
        self._every, self._retry = every, retry
        self._plan: Plan | None = None
        self._part: Plan | None = None
        self._pauses: dict[Place, _Pause] = {}
        self._refused_at: dict[int, float] = {}

    async def round(self) -> Round:
        """Ask for everything once. Raises ConnectionLostError."""
        clock = asyncio.get_running_loop().time
        got, began = Round(), clock()
        await self._ask_again(got)
        if self._plan is None:
            self._plan = self._planned(self._indices)
        for block in self._plan.blocks:
            pause = self._pauses.get(_place(block))
            if pause is not None and clock() < pause.until:
                self._without(block, pause, got)
            elif got.unanswered.get(block.unit, 0) >= UNANSWERED_IN_A_ROW:
                self._not_answered(block, f"unit {block.unit} does not answer", got)
            else:
                await self._read(block, got, began + max(self._every, self._wait))
        for index, why in self.learned.refused.items():
            got.failed[index] = why
        got.plan = self._plan_of(tuple(got.blocks))
        if got.learned:
            self._plan = None
        got.alive = self._link.answered >= began
        return got

    def _plan_of(self, answered: tuple[Block, ...]) -> Plan:
        """The plan for these answers; while a unit is away they are the same in every round."""
        for plan in (self._plan, self._part):
            if plan is not None and plan.blocks == answered:
                return plan
        self._part = Plan(answered, self._wanted)
        return self._part

    def _planned(self, among: Iterable[int]) -> Plan:
        found = blocks(self._wanted, self._max_gap, self._max_block, self.learned, among)
        return Plan(found, self._wanted)

    async def _read(self, block: Block, got: Round, until: float) -> bool:
        """Read a block, in parts where the whole is refused; whether it was read whole.

        When both parts can be read, the cut between them is learned; a part that cannot be read, not even alone, is not
        asked for again. After `until` what is left of that is for the next round.
        """
        try:
            answer = await self._ask(block)
        except RefusedError as error:
            got.unanswered.pop(block.unit, None)
            parts = halves(block, self._wanted)
            if parts is None:
                self._refused(block, str(error), got)
                return False
            if got.learned and asyncio.get_running_loop().time() > until:
                got.fail(block, f"{error}; which part of it will be found out")
                return False
            left, right = [await self._read(part, got, until) for part in parts]
            if left and right:
                self.learned.cuts.add((block.unit, block.area, parts[1].start))
                got.learned = True
            return False
        except NoAnswerError as error:
            got.unanswered[block.unit] = got.unanswered.get(block.unit, 0) + 1
            self._not_answered(block, str(error), got)
            return False
        except NotGivenError as error:
            got.unanswered.pop(block.unit, None)
            got.fail(block, str(error))
            return False
        got.unanswered.pop(block.unit, None)
        self._pauses.pop(_place(block), None)
        got.blocks.append(block)
        got.answers.append(answer)
        return True

    async def _ask(self, block: Block) -> bytes:
        request = Request(block.unit, block.area, block.start, block.length)
        return await self._link.read(request, self._wait)

    def _refused(self, block: Block, why: str, got: Round) -> None:
        now = asyncio.get_running_loop().time()
        for index, _ in block.members:
            self.learned.refused[index] = f"the device refuses {block}: {why}"
            self._refused_at[index] = now
        got.learned = True

    def _not_answered(self, block: Block, why: str, got: Round) -> None:
        """Ask in the next round; after that wait ever longer."""
        now = asyncio.get_running_loop().time()
        pause = self._pauses.setdefault(_place(block), _Pause(why, now - self._wait))
        wait = self._every * 2 ** (pause.times - 1) if pause.times else 0.0
        pause.why, pause.times = why, min(pause.times + 1, 20)
        pause.until = now + min(wait, LONGEST_PAUSE)
        self._without(block, pause, got)

    def _without(self, block: Block, pause: _Pause, got: Round) -> None:
        """A block that was not answered: for good when that lasts as long as an answer may take."""
        if asyncio.get_running_loop().time() - pause.since >= self._patience:
            got.fail(block, pause.why)
        else:
            got.waiting.update(index for index, _ in block.members)

    async def _ask_again(self, got: Round) -> None:
        """One of the addresses refused long enough ago, a round: it may be there now."""
        now = asyncio.get_running_loop().time()
        index = min(self._refused_at, key=self._refused_at.__getitem__, default=None)
        if index is None or now < self._refused_at[index] + self._retry:
            return
        (alone,) = blocks(self._wanted, 0, self._max_block, among=[index])
        same = [i for i in self.learned.refused if _where(self._wanted[i]) == _where(self._wanted[index])]
        self._refused_at.update(dict.fromkeys(same, now))
        try:
            await self._ask(alone)
        except NotGivenError:
            return
        for i in same:
            del self.learned.refused[i], self._refused_at[i]
        self.learned.cuts.clear()
        self._plan = None


def _place(block: Block) -> Place:
    return block.unit, block.area, block.start


def _where(value: Wanted) -> tuple[int, str, int, int]:
    return value.unit, value.address.area, value.address.start, value.address.length
