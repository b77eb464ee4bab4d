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

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from plant.frames import CHARGES, TIME, Window, empty
from plant.model import Plant
from plant.states import MachineState, TimeCategory

SPEED = "speed"
"""`cause_category` of a machine that ran."""
WAITING = (TimeCategory.STARVED.value, TimeCategory.BLOCKED.value)
"""Categories that are charged to a cause."""

_RUNNING, _UNKNOWN = MachineState.RUNNING.value, MachineState.UNKNOWN.value
_EVER, _NEVER = -(1 << 62), 1 << 62
_LONG = 600_000_000
"""Microseconds of waiting that are looked through from one end to the other."""
_CHARGED: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    **dict.fromkeys(("category", "cause", "cause_state", "cause_category", "cause_reason"), pl.String),
}
"""As `plant.frames.CHARGES`, times in microseconds."""

Numbers = NDArray[Any]


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


class _Doings:
    """What machines that are connected do, in the order of machine and time; and what each that waits waits for.

    All questions are answered together, a link further at a time, so it takes as many steps as the longest chain is long.
    """

    def __init__(self, topology: Topology, machines: Sequence[str], rows: pl.DataFrame) -> None:
        """`rows`: of `_doings`, those of the machines."""
        self.rows, self.machines = rows, machines
        place = {machine: number for number, machine in enumerate(machines)}
        self.machine = rows["equipment"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
        self.start, self.end, self._began = (rows[name].to_numpy() for name in ("start", "end", "began"))
        category = rows["category"]
        self._runs = (rows["state"] == _RUNNING).to_numpy()
        self.waits = category.is_in(WAITING).to_numpy()
        self._hidden = (category == TimeCategory.UNKNOWN.value).to_numpy()
        self._first, self._span = int(self.start.min()), int(self.end.max() - self.start.min()) + 1
        self._keys = self.machine * self._span + (self.start - self._first)
        stops = np.where(~self._runs & ~self._hidden, np.arange(rows.height), -1)
        self._stop = np.maximum.accumulate(stops)
        """Of each the last stop up to it; -1: none."""
        self._stop[self.machine[self._stop] != self.machine] = -1
        # Links by machine and direction: the machines before it, if it is starved, else those behind.
        starved = (category == TimeCategory.STARVED.value).to_numpy()
        self._node = 2 * self.machine + ~starved
        links = [near[machine] for machine in machines for near in (topology.before, topology.behind)]
        self._links = np.array([len(near) for near in links])
        self._offset = np.cumsum(self._links) - self._links
        self._other = np.array([place[other] for near in links for other, _ in near], dtype=np.int64)
        self._buffer = np.array([buffer for near in links for _, buffer in near], dtype=np.int64)

    def _felt(self, machine: Numbers, time: Numbers, buffer: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """What is felt of machines behind a buffer: what each does (-1: nobody knows), or its last stop while that is not
        over for so long. Until when that holds, and whether it is past."""
        place = np.searchsorted(self._keys, machine * self._span + (time - self._first), "right") - 1
        mine = (place >= 0) & (self.machine[place] == machine)
        known = mine & (time < self.end[place])
        following = np.minimum(place + 1, len(self._keys) - 1)
        comes = (place + 1 < len(self._keys)) & (self.machine[following] == machine)
        holds = np.where(known, self.end[place], np.where(comes, self.start[following], _NEVER))
        stop = self._stop[place]
        until = self.end[stop] + buffer
        past = known & self._runs[place] & (stop >= 0) & (time < until)
        return (
            np.where(past, stop, np.where(known, place, -1)),
            np.where(past, np.minimum(holds, until), holds),
            past,
        )

    def first_causes(self, rows: Numbers, times: Numbers) -> "_Answers":
        """What is waited for in these rows at those times."""
        many = len(rows)
        until = np.full(many, _NEVER)
        best, cause = np.full(many, _NEVER), np.full(many, -1)
        hidden, running = np.full(many, -1), np.full(many, -1)
        seen = np.zeros((many, len(self.machines)), bool)
        asked = np.arange(many)
        seen[asked, self.machine[rows]] = True
        past = np.zeros(many, bool)

        def charge(who: Numbers, row: Numbers) -> None:
            order = np.lexsort((self._began[row], who))
            who, row = who[order], row[order]
            one = np.append(True, who[1:] != who[:-1])[: len(who)]
            who, row = who[one], row[one]
            earlier = self._began[row] < best[who]
            best[who[earlier]], cause[who[earlier]] = self._began[row[earlier]], row[earlier]

        while len(asked):
            node = self._node[rows]
            links = self._links[node]
            outside = links == 0
            charge(asked[outside], rows[outside])
            by = np.repeat(np.arange(len(asked)), links)
            link = np.repeat(self._offset[node] - np.cumsum(links) + links, links) + np.arange(len(by))
            unseen = ~seen[asked[by], self._other[link]]
            by, link = by[unseen], link[unseen]
            one = np.unique(asked[by] * len(self.machines) + self._other[link], return_index=True)[1]
            by, link = by[np.sort(one)], link[np.sort(one)]
            who, other = asked[by], self._other[link]
            seen[who, other] = True
            row, holds, over = self._felt(other, times[by], self._buffer[link])
            now = ~past[by]
            np.minimum.at(until, who[now], holds[now])
            runs = (row >= 0) & self._runs[row]
            waits = (row >= 0) & ~runs & self.waits[row]
            unknown = (row < 0) | (~runs & ~waits & self._hidden[row])
            for found, which in ((running, runs), (hidden, unknown)):
                new = np.flatnonzero(which & (found[who] < 0))[::-1]
                found[who[new]] = other[new]  # the nearest, which is written last
            own = ~runs & ~waits & ~unknown
            charge(who[own], row[own])
            asked, rows, past = who[waits], row[waits], (past[by] | over)[waits]
            times = np.where(over, self.end[row] - 1, times[by])[waits]
        return _Answers(cause, hidden, running, until)

    def named(self, answers: "_Answers") -> pl.DataFrame:
        """cause, cause_state, cause_category and cause_reason of each."""
        charged = answers.cause >= 0
        machine = np.where(
            charged,
            self.machine[answers.cause],
            np.where(answers.hidden >= 0, answers.hidden, answers.running),
        )
        found = self.rows[np.maximum(answers.cause, 0)]
        speed = ~charged & (answers.hidden < 0) & (answers.running >= 0)
        names = pl.Series([*self.machines, None], dtype=pl.String)
        named = pl.DataFrame(
            {
                "cause": names[np.where(machine < 0, len(self.machines), machine)],
                "charged": charged,
                "speed": speed,
                **{name: found[name] for name in ("state", "category", "reason")},
            }
        )

        def said(name: str, running: str | None, unknown: str | None) -> pl.Expr:
            other = pl.when("speed").then(pl.lit(running, pl.String)).otherwise(pl.lit(unknown, pl.String))
            return pl.when("charged").then(name).otherwise(other).alias(f"cause_{name}")

        return named.select(
            "cause",
            said("state", _RUNNING, NOBODY.state),
            said("category", SPEED, NOBODY.category),
            said("reason", None, NOBODY.reason),
        )


class _Answers(NamedTuple):
    """Rows of causes and numbers of machines (-1: none), and until when the answer holds if a machine goes on waiting."""

    cause: Numbers
    hidden: Numbers
    """The first found of which nothing is known."""
    running: Numbers
    """The first found that runs."""
    until: Numbers


def charges(ledger: pl.DataFrame, plant: Plant, window: Window | None = None) -> pl.DataFrame:
    """`plant.frames.CHARGES` of all starved and blocked time of a ledger (`plant.frames.LEDGER`), each microsecond once.

    The ledger must have the rows of all machines that are `Topology.connected`; of others nothing is known. `window`: only
    what lies in it; let the ledger begin `Topology.reach` before it, for stops that ended shortly before.
    """
    topology = Topology(plant)
    begin, end = (_EVER, _NEVER) if window is None else (_micros(window.start), _micros(window.end))
    waiting = ledger.filter(pl.col("category").is_in(WAITING))["equipment"].unique().sort().to_list()
    found = []
    while waiting:
        group = sorted(topology.connected(waiting[:1]))
        waiting = [machine for machine in waiting if machine not in group]
        rows = _doings(ledger.filter(pl.col("equipment").is_in(group)))
        found.append(_charged(_Doings(topology, group, rows), begin, end))
    if not found:
        return empty(CHARGES)
    rows = pl.concat(found)
    lines = {machine: plant.line_of(machine) for machine in rows["equipment"].unique()}
    times = {
        name: pl.from_epoch(name, "us").dt.replace_time_zone("UTC").cast(TIME) for name in ("start", "end")
    }
    return (
        rows.with_columns(
            line=pl.col("equipment").replace_strict(lines, return_dtype=pl.String),
            duration=pl.col("end") - pl.col("start"),
        )
        .with_columns(**times)
        .select(list(CHARGES))
        .sort("equipment", "start")
    )


def _charged(doings: _Doings, begin: int, end: int) -> pl.DataFrame:
    """Charges of machines that are connected, times in microseconds."""
    row = np.flatnonzero(doings.waits)
    time, last = np.maximum(doings.start[row], begin), np.minimum(doings.end[row], end)
    # Long waiting is begun at several places at once: what is the answer at a time does not depend on what it was before.
    many = np.maximum(-(-(last - time) // _LONG), 0)
    row, time, last = (np.repeat(column, many) for column in (row, time, last))
    time = time + (np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)) * _LONG
    last = np.minimum(last, time + _LONG)
    found = []
    while len(row):
        answers = doings.first_causes(row, time)
        until = np.minimum(answers.until, last)
        who = doings.rows[row].select("equipment", "category")
        pieces = who.with_columns(start=pl.Series(time), end=pl.Series(until))
        found.append(pl.concat([pieces, doings.named(answers)], how="horizontal"))
        more = until < last
        row, time, last = row[more], until[more], last[more]
    if not found:
        return pl.DataFrame(schema=_CHARGED)
    return _joined(pl.concat(found).select(list(_CHARGED)).sort("equipment", "start"), list(_CHARGED)[3:])


def _joined(rows: pl.DataFrame, alike: Sequence[str], also: pl.Expr | None = None) -> pl.DataFrame:
    """Rows, in order of equipment and start, of which those that go on with what the one before says are one."""
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in alike)
    same = same if also is None else same | also
    goes_on = (pl.col("equipment") == pl.col("equipment").shift()) & (
        pl.col("start") == pl.col("end").shift()
    )
    begins = np.flatnonzero(~rows.select((goes_on & same).fill_null(False)).to_series().to_numpy())
    ends = np.append(begins[1:], rows.height)[: len(begins)] - 1
    return rows[begins].with_columns(rows["end"][ends])


def causes_now(ledger: pl.DataFrame, plant: Plant, unseen: Collection[str] = ()) -> dict[str, Cause]:
    """What each machine that waits at the end of a ledger waits for. Only rows of the last `Topology.reach` of machines that
    matter are looked at. `unseen`: machines of which nothing is known, whatever their last row says."""
    last = ledger.group_by("equipment").agg(pl.col("category").sort_by("start").last())
    waiting = last.filter(pl.col("category").is_in(WAITING), ~pl.col("equipment").is_in(list(unseen)))
    if waiting.is_empty():
        return {}
    topology = Topology(plant)
    waits = waiting["equipment"].sort()
    now = ledger.select(pl.col("end").max()).item()
    recent = pl.col("end") >= now - topology.reach
    among = sorted(topology.connected(waits))
    seen = pl.col("equipment").is_in([machine for machine in among if machine not in unseen])
    doings = _Doings(topology, among, _doings(ledger.filter(recent, seen)))
    final = np.append(doings.machine[1:] != doings.machine[:-1], True)
    row = np.flatnonzero(final & doings.rows["equipment"].is_in(waits.implode()).to_numpy())
    answers = doings.first_causes(row, np.full(len(row), _micros(now) - 1))
    names = doings.rows["equipment"][row]
    return dict(zip(names, map(Cause._make, doings.named(answers).iter_rows()), strict=True))


def _doings(ledger: pl.DataFrame) -> pl.DataFrame:
    """equipment, start, end, state, category, reason, and since when it does that (`began`), in order; times in microseconds
    since 1970. Running is one whatever it was cut at."""
    rows = ledger.sort("equipment", "start").select(
        "equipment",
        pl.col("start", "end").dt.epoch("us"),
        "state",
        "category",
        "reason",
        began=pl.coalesce("stop_start", "start").dt.epoch("us"),
    )
    running = pl.col("state") == _RUNNING
    return _joined(rows, ["state", "category", "reason", "began"], running & running.shift())


def _micros(time: datetime) -> int:
    return int(pl.Series([time], dtype=TIME).dt.epoch("us").item())
