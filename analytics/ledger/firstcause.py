"""First causes: which machine a starved or blocked one waits for, along the line's topology (`upstream`).

A starved machine waits for those before it, a blocked one for those behind it. One of them that waits itself passes the
question on, in its own direction. The cause is one that is stopped for a reason of its own, is off shift or in a break, or
waits at an end of the topology, for something from outside.

- Of several causes the one that stopped first is charged: whether a machine needs one or all of its feeders is not
  asked. Of those that stopped together it is the nearest, then the one named first.
- No cause, but a machine of which nothing is known: that machine, unknown.
- All run: the nearest, with its speed. It delivers or takes away too little, or a buffer between is not full yet.
- They wait for one another in a ring: unknown, and no machine.

A stop that ended less than the `buffer` of the link ago counts as going on: its effect is still on the way. What it waited
for is what it waited for then.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import polars as pl

from plant.frames import CHARGES, TIME, Window, empty
from plant.model import Plant
from plant.states import MachineState, TimeCategory

SPEED = "speed"
"""`cause_category` of a machine that ran."""
WAITING = (TimeCategory.STARVED.value, TimeCategory.BLOCKED.value)
"""Categories that are charged to a cause."""

_RUNNING, _UNKNOWN = MachineState.RUNNING.value, MachineState.UNKNOWN.value
_EVER, _NEVER = -(1 << 62), 1 << 62


class Doing(NamedTuple):
    """What a machine does from start to end, and since when (`began`). Times in microseconds since 1970."""

    start: int
    end: int
    state: str
    category: str
    reason: str | None
    began: int


class Cause(NamedTuple):
    """The machine that is charged and what it was doing. No machine: nobody can say."""

    equipment: str | None
    state: str
    category: str
    reason: str | None


NOBODY = Cause(None, _UNKNOWN, TimeCategory.UNKNOWN.value, None)


class Topology:
    """Which machines feed which. Equipment that is no machine passes on what comes from before it."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._machines = {m.id for m in plant.machines()}
        self.before: dict[str, list[tuple[str, int]]] = {}
        """Of each machine those that feed it, with the buffer between (microseconds)."""
        self.behind: dict[str, list[tuple[str, int]]] = {m.id: [] for m in plant.machines()}
        """Of each machine those it feeds."""
        for machine in plant.machines():
            self.before[machine.id] = list(self._feeders(machine.id, {machine.id}))
            for feeder, buffer in self.before[machine.id]:
                self.behind[feeder].append((machine.id, buffer))

    def _feeders(self, node: str, seen: set[str]) -> Iterator[tuple[str, int]]:
        buffer = self._plant.equipment[node].buffer // timedelta(microseconds=1)
        for feeder in self._plant.equipment[node].upstream:
            if feeder in seen:
                continue
            seen.add(feeder)
            if feeder in self._machines:
                yield feeder, buffer
            else:
                yield from ((m, buffer + more) for m, more in self._feeders(feeder, seen))

    def connected(self, machines: Iterable[str]) -> set[str]:
        """Those machines and all that causes of their waiting are looked for among."""
        found = set(machines)
        waiting = list(found)
        while waiting:
            here = waiting.pop()
            near = {machine for machine, _ in (*self.before[here], *self.behind[here])} - found
            found |= near
            waiting += near
        return found

    def all_before(self, machine: str) -> set[str]:
        """The machines whose parts come to this one, over any number of others."""
        found: set[str] = set()
        waiting = [machine]
        while waiting:
            near = {feeder for feeder, _ in self.before[waiting.pop()]} - found
            found |= near
            waiting += near
        return found - {machine}

    @property
    def reach(self) -> timedelta:
        """How long ago a stop can have ended that is a cause now."""
        return timedelta(microseconds=sum(buffer for links in self.before.values() for _, buffer in links))


class Track:
    """What one machine does, in the order of time."""

    def __init__(self, doings: Iterable[Doing]) -> None:
        self._doings = list(doings)
        self._starts = [doing.start for doing in self._doings]
        self._stops: list[int] = []
        """Of each, the place of the last stop up to it; -1: none."""
        for number, doing in enumerate(self._doings):
            stopped = doing.state != _RUNNING and doing.category != TimeCategory.UNKNOWN.value
            self._stops.append(number if stopped else self._stops[-1] if self._stops else -1)

    def at(self, time: int) -> tuple[Doing, int]:
        """What it does at a time, and the place of its last stop."""
        place = bisect_right(self._starts, time) - 1
        if place >= 0 and time < self._doings[place].end:
            return self._doings[place], self._stops[place]
        until = self._starts[place + 1] if place + 1 < len(self._starts) else _NEVER
        return Doing(_EVER, until, _UNKNOWN, TimeCategory.UNKNOWN.value, None, _EVER), -1

    def felt(self, time: int, buffer: int) -> tuple[Doing, int, bool]:
        """What is felt of it behind a buffer: what it does, or its last stop while that is not over for so long. Until when
        that holds, and whether it is past."""
        doing, stop = self.at(time)
        if doing.state == _RUNNING and stop >= 0 and time < self._doings[stop].end + buffer:
            last = self._doings[stop]
            return last, min(doing.end, last.end + buffer), True
        return doing, doing.end, False


def first_cause(
    topology: Topology, tracks: Mapping[str, Track], machine: str, time: int
) -> tuple[Cause, int]:
    """What a machine that waits at a time waits for, and until when that answer holds if it goes on waiting."""
    until, seen = _NEVER, {machine}
    looking = deque([(machine, time, False, 0)])
    causes: list[tuple[int, int, int, Cause]] = []
    unknown: Cause | None = None
    running: Cause | None = None
    while looking:
        here, when, past, links = looking.popleft()
        waits, _ = tracks[here].at(when)
        near = topology.before if waits.category == TimeCategory.STARVED.value else topology.behind
        if not near[here]:  # for something from outside
            causes.append((waits.began, links, len(causes), Cause(here, *waits[2:5])))
        for other, buffer in near[here]:
            if other in seen:
                continue
            seen.add(other)
            doing, holds, over = tracks.get(other, _NOTHING).felt(when, buffer)
            until = until if past else min(until, holds)
            if doing.state == _RUNNING:
                running = running or Cause(other, _RUNNING, SPEED, None)
            elif doing.category in WAITING:
                looking.append((other, doing.end - 1 if over else when, past or over, links + 1))
            elif doing.category == TimeCategory.UNKNOWN.value:
                unknown = unknown or Cause(other, _UNKNOWN, doing.category, None)
            else:
                causes.append((doing.began, links + 1, len(causes), Cause(other, *doing[2:5])))
    if causes:
        return min(causes)[-1], until
    return unknown or running or NOBODY, until


def charges(ledger: pl.DataFrame, plant: Plant, window: Window | None = None) -> pl.DataFrame:
    """`plant.frames.CHARGES` of all starved and blocked time of a ledger (`plant.frames.LEDGER`), each microsecond once.

    The ledger must have the rows of all machines that are `Topology.connected`; of others nothing is known. `window`: only
    what lies in it; let the ledger begin `Topology.reach` before it, for stops that ended shortly before.
    """
    topology = Topology(plant)
    spans = _doings(ledger)
    tracks = {machine: Track(doings) for machine, doings in spans.items()}
    begin, end = (_EVER, _NEVER) if window is None else (_micros(window.start), _micros(window.end))
    found: list[tuple[str, int, int, str, str | None, str, str, str | None]] = []
    for machine, doings in spans.items():
        for doing in doings:
            time, last = max(doing.start, begin), min(doing.end, end)
            while doing.category in WAITING and time < last:
                cause, until = first_cause(topology, tracks, machine, time)
                until = min(until, last)
                row = (machine, time, until, doing.category, *cause)
                same = (
                    bool(found)
                    and found[-1][2] == time
                    and found[-1][:1] + found[-1][3:] == row[:1] + row[3:]
                )
                if same:
                    row = (*row[:1], found.pop()[1], *row[2:])
                found.append(row)
                time = until
    if not found:
        return empty(CHARGES)
    names = (
        "equipment",
        "start",
        "end",
        "category",
        "cause",
        "cause_state",
        "cause_category",
        "cause_reason",
    )
    kinds = {**dict.fromkeys(names, pl.String), "start": pl.Int64, "end": pl.Int64}
    lines = {machine: plant.line_of(machine) for machine in spans}
    rows = pl.DataFrame(found, schema=kinds, orient="row").with_columns(
        line=pl.col("equipment").replace_strict(lines, return_dtype=pl.String),
        duration=pl.col("end") - pl.col("start"),
    )
    times = {
        name: pl.from_epoch(name, "us").dt.replace_time_zone("UTC").cast(TIME) for name in ("start", "end")
    }
    return rows.with_columns(**times).select(list(CHARGES)).sort("equipment", "start")


def causes_now(ledger: pl.DataFrame, plant: Plant, unseen: Collection[str] = ()) -> dict[str, Cause]:
    """What each machine that waits at the end of a ledger waits for. Only rows of the last `Topology.reach` of machines that
    matter are looked at. `unseen`: machines of which nothing is known, whatever their last row says."""
    last = ledger.group_by("equipment").agg(pl.col("category").sort_by("start").last())
    waiting = last.filter(pl.col("category").is_in(WAITING), ~pl.col("equipment").is_in(list(unseen)))
    if waiting.is_empty():
        return {}
    topology = Topology(plant)
    among = topology.connected(waiting["equipment"]) - set(unseen)
    now = ledger.select(pl.col("end").max()).item()
    recent = pl.col("end") >= now - topology.reach
    spans = _doings(ledger.filter(recent, pl.col("equipment").is_in(list(among))))
    tracks = {machine: Track(doings) for machine, doings in spans.items()}
    moment = _micros(now) - 1
    waits = waiting["equipment"].sort()
    return {machine: first_cause(topology, tracks, machine, moment)[0] for machine in waits}


def _doings(ledger: pl.DataFrame) -> dict[str, list[Doing]]:
    """What each machine of the ledger does, in the order of time."""
    rows = ledger.sort("equipment", "start").select(
        "equipment",
        pl.col("start", "end").dt.epoch("us"),
        "state",
        "category",
        "reason",
        began=pl.coalesce("stop_start", "start").dt.epoch("us"),
    )
    grouped = groupby(rows.iter_rows(), key=lambda row: row[0])
    return {machine: [Doing(*row[1:]) for row in members] for machine, members in grouped}


def _micros(time: datetime) -> int:
    return int(pl.Series([time], dtype=TIME).dt.epoch("us").item())


_NOTHING = Track(())
