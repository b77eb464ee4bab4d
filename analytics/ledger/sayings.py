"""What people say of a stop as entries (`plant.frames.RECODES`): re-coded, split, merged, taken back. Entries are added,
never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from plant.frames import RECODES
from plant.states import MachineState

LONGEST_BETWEEN = timedelta(minutes=15)
"""Two stops further apart than this are not one."""
NOT_STOPPED = (MachineState.RUNNING.value, MachineState.UNKNOWN.value)


class UnsayableError(ValueError):
    """It makes no sense of this stop; the message says why."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop as the ledger has it."""

    equipment: str
    start: datetime
    end: datetime
    goes_on: bool
    """It has no end yet; `end` is now."""
    state: str
    reason: str | None
    """Of most of its time."""

    @property
    def length(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing said of [start, end); without an end, of the rest of the stop it begins in."""

    start: datetime
    end: datetime | None
    state: str | None = None
    reason: str | None = None


def stop_in(rows: pl.DataFrame, start: datetime, now: datetime) -> Stop | None:
    """The stop that began then, from ledger rows of one machine; None: it did not stop then."""
    found = rows.filter(pl.col("stop_start") == start).sort("start")
    if found.is_empty() or found["state"][0] in NOT_STOPPED:
        return None
    reason = found.group_by("reason").agg(pl.col("duration").sum()).sort("duration", "reason")["reason"][-1]
    end = found["end"][-1]
    # A stop that goes on is cut off at the now of whoever derived the rows, a moment ago.
    goes_on = end >= now - timedelta(seconds=5)
    return Stop(found["equipment"][0], start, end, goes_on, found["state"][-1], reason)


def recode(stop: Stop, reason: str) -> list[Entry]:
    """The stop had that reason."""
    return [Entry(stop.start, None if stop.goes_on else stop.end, reason=reason)]


def split(stop: Stop, at: datetime, first: str | None, second: str | None) -> list[Entry]:
    """It was two: until `at` for one reason, from then on for another; None: the reason it had."""
    if not stop.start < at < stop.end:
        raise UnsayableError("a stop is split at a time inside it")
    said = [] if first is None else [Entry(stop.start, at, reason=first)]
    return [*said, Entry(at, None if stop.goes_on else stop.end, stop.state, second)]


def merge(stop: Stop, following: Stop, reason: str | None) -> list[Entry]:
    """With the one after it, it was one; None: the reason of the longer of those that have one."""
    if following.start - stop.end > LONGEST_BETWEEN:
        minutes = LONGEST_BETWEEN // timedelta(minutes=1)
        raise UnsayableError(f"the machine ran for longer than {minutes} min between the two stops")
    of_two = max((s for s in (stop, following) if s.reason), key=lambda s: s.length, default=None)
    why = reason or (of_two.reason if of_two else None)
    one = [Entry(stop.start, following.end, state=stop.state)]
    if why:
        one.append(Entry(stop.start, None if following.goes_on else following.end, reason=why))
    return one


def retime(stop: Stop, start: datetime, end: datetime | None) -> list[Entry]:
    """It began and ended then; None: the end it has. Where it is shorter the machine ran, where it is longer it stood."""
    end = end or stop.end
    if start >= end:
        raise UnsayableError("a stop ends after it begins")
    if start >= stop.end or end <= stop.start:
        raise UnsayableError(
            "the new times do not touch the stop; say what the machine did at that time instead"
        )
    if stop.goes_on and end != stop.end:
        raise UnsayableError("the stop goes on, so it has no end yet; only its begin can be changed")
    if (start, end) == (stop.start, stop.end):
        raise UnsayableError("these are the times it has")
    running = MachineState.RUNNING.value
    said = [Entry(stop.start, start, running)] if start > stop.start else []
    if end < stop.end:
        said.append(Entry(end, stop.end, running))
    said.append(Entry(start, end, stop.state))
    if stop.reason:
        said.append(Entry(start, None if stop.goes_on else end, reason=stop.reason))
    return said


def take_back(stop: Stop) -> list[Entry]:
    """All that was said of it."""
    return [Entry(stop.start, stop.end), *([Entry(stop.end, None)] if stop.goes_on else [])]


def about(entries: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Entries (`RECODES` of one machine) that say something of the span, in the order they were made. One without an end
    speaks of the stop it begins in only."""
    begun = pl.when(pl.col("end").is_null()).then(pl.col("start") >= start).otherwise(pl.col("end") > start)
    return entries.filter(pl.col("start") < end, begun).sort("at", maintain_order=True)


def undo(entries: pl.DataFrame, stop: Stop) -> list[Entry]:
    """As it was before the last thing that was said of the stop: that is taken back, and what was said earlier is said
    again. `entries`: `RECODES` of the machine."""
    said = about(entries, stop.start, stop.end)
    if said.is_empty():
        raise UnsayableError("nobody has said anything of it")
    of_last = pl.struct("user", "at") == said.select(last=pl.struct("user", "at"))["last"][-1]
    last = entries.filter(of_last)
    start, end = last["start"].min(), max(e for e in (last["end"].max(), stop.end) if e is not None)
    assert isinstance(start, datetime) and isinstance(end, datetime)
    goes_on = stop.goes_on and end == stop.end
    found = [Entry(start, end), *([Entry(end, None)] if goes_on else [])]
    earlier = entries.filter(~of_last, pl.col("at") <= said["at"][-1])
    for row in about(earlier, start, end).iter_rows(named=True):
        entry = Entry(
            max(row["start"], start),
            None if row["end"] is None else min(row["end"], end),
            row["state"],
            row["reason"],
        )
        if entry.start == start and entry.end == end and entry.state is None and entry.reason is None:
            found = found[:1] if not goes_on else found[:2]
        else:
            found.append(entry)
    return found


def frame(equipment: str, said: list[Entry], user: str, at: datetime, note: str) -> pl.DataFrame:
    """Entries of one action as `RECODES`."""
    rows: list[Mapping[str, object]] = [
        {
            "equipment": equipment,
            "start": entry.start,
            "end": entry.end,
            "reason": entry.reason,
            "user": user,
            "at": at,
            "state": entry.state,
            "note": note or None,
        }
        for entry in said
    ]
    return pl.DataFrame(rows, schema=dict(RECODES))
