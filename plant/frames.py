"""The frames that flow between the layers: column names, types and what they mean.

All times are UTC, microseconds, windows half-open [start, end).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

TIME = pl.Datetime("us", "UTC")

GOOD, UNCERTAIN, BAD = 0, 1, 2
"""Sample quality. Only BAD makes a value unusable."""

FUTURE = timedelta(minutes=5)
"""A source clock this far ahead of ours is wrong; its samples would hide the real ones."""

SAMPLES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,  # the source's own timestamp
    "equipment": pl.String,
    "signal": pl.String,
    "value": pl.Float64,  # numbers (bool as 0/1), scaled; null for text or no value. Never NaN or infinite
    "text": pl.String,  # text values; null for numbers
    "quality": pl.UInt8,  # GOOD, UNCERTAIN, BAD
    "received": TIME,  # when Lineside got it
}
"""Long format; key (equipment, signal, time): the row received last wins. value and text both null: the
source says it has no value (MTConnect UNAVAILABLE, a lost connection)."""

REFUSED: Mapping[str, pl.DataType | type[pl.DataType]] = {**SAMPLES, "problem": pl.String}
"""Samples that cannot be stored, each with what is wrong with it."""

TREND: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,  # start of the bucket: a multiple of its length since 1970-01-01 UTC
    "equipment": pl.String,
    "signal": pl.String,
    "mean": pl.Float64,
    "min": pl.Float64,
    "max": pl.Float64,
    "count": pl.Int64,  # samples in the bucket
}
"""Numbers thinned out for long trends. Only samples with a number and a quality better than BAD count;
a bucket without any is absent. Sorted by equipment, signal, time."""

INTERVALS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,
    "end": TIME,
    "raw": pl.String,  # the raw state value; null when unknown
    "state": pl.String,  # plant.states.MachineState
    "reason": pl.String,  # reason id from the state mapping; null if it gives none
}
"""State intervals of a machine: contiguous, neighbours differ, not cut at any calendar edge."""

INCREMENTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "time": TIME,  # of the reading that showed them
    "kind": pl.String,  # good, reject, rework, total; cycle: no part, but a cycle ended
    "quantity": pl.Int64,
    "flag": pl.String,  # null, "rollover", "reset", "implausible" (nothing booked), "bridged" (over a gap)
}
"""Parts seen by counters. With the flag "corrected": said by a person (`CORRECTIONS`), to be taken as it is."""

CYCLES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "time": TIME,  # when the parts were finished, or seen to be
    "cycle": pl.Int64,  # microseconds a part took, without time stopped; null: nobody knows
    "parts": pl.Int64,  # parts finished together; each took `cycle`
}
"""Cycle times: one row for each time parts were finished."""

ORDER_RUNS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,
    "end": TIME,  # null: still running
    "order": pl.String,  # null: none is known, only what is made
    "material": pl.String,  # null: nobody knows what the order makes
}
"""Which order a machine worked on, what it made, and when. Runs of one machine do not overlap."""

RECODES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,
    "end": TIME,
    "reason": pl.String,
    "user": pl.String,
    "at": TIME,
    "state": pl.String,  # plant.states.MachineState: what the machine was doing; null: as was known
    "note": pl.String,  # free text
}
"""What people said of [start, end) of a machine, in the order they said it: a reason, a state, or both.

Of each, the entry made last (`at`, then its place here) holds; one with neither takes all earlier ones back. An
entry with a state begins a stop of its own. A null end: to the end of what the machine was doing at its start.
"""

CORRECTIONS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "time": TIME,  # when the parts were made
    "kind": pl.String,  # good, reject, rework
    "quantity": pl.Int64,  # signed: parts counted wrongly are taken away
    "user": pl.String,
    "at": TIME,
    "why": pl.String,
}
"""Parts people added to what the counters showed, or took away: 12 good that were rejects are two entries."""

LEDGER: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,
    "end": TIME,
    "line": pl.String,
    "shift": pl.String,  # shift id; null when not scheduled
    "shift_start": TIME,  # when that shift instance began: (shift, shift_start) names it
    "order": pl.String,
    "material": pl.String,
    "raw": pl.String,
    "state": pl.String,
    "reason": pl.String,  # after re-coding; null: nobody has said
    "stop_start": TIME,  # start of the uncut state interval this row is a piece of
    "category": pl.String,  # plant.states.TimeCategory
    "duration": pl.Int64,  # microseconds, end - start
    "good": pl.Int64,
    "reject": pl.Int64,
    "rework": pl.Int64,
    "startup": pl.Int64,  # of the rejects, those of starting up: made in a changeover or soon after one
    "ideal": pl.Int64,  # microseconds: (good + reject + rework) x ideal cycle; 0 where none is known
    "ideal_good": pl.Int64,  # microseconds: good x ideal cycle
    "unrated": pl.Int64,  # parts for which no ideal cycle is known
    "flagged": pl.Int64,  # counter readings with a flag
}
"""Additive rows: for each machine they cover the window once, without hole or overlap.
Sorted by equipment, start."""

CHARGES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,  # the machine that waited
    "line": pl.String,  # its line
    "start": TIME,
    "end": TIME,
    "category": pl.String,  # starved or blocked
    "cause": pl.String,  # the machine it waited for; null: nobody can say
    "cause_state": pl.String,  # of that machine
    "cause_category": pl.String,  # plant.states.TimeCategory of that machine; "speed": it ran
    "cause_reason": pl.String,  # reason id
    "duration": pl.Int64,  # microseconds, end - start
}
"""Starved and blocked time of machines, charged to its first cause: they cover it once. Sorted by equipment, start."""

LINE_ACCOUNT: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "line": pl.String,
    "constraint": pl.String,  # the machine whose time is the line's
    "kind": pl.String,  # running; planned (or not scheduled); own: lost by the constraint; charged: to a first cause
    "cause": pl.String,  # the machine that is charged; null: nobody can say
    "category": pl.String,  # plant.states.TimeCategory, charged: of the cause; "speed": it ran
    "reason": pl.String,  # reason id, charged: of the cause
    "duration": pl.Int64,  # microseconds
    "count": pl.Int64,  # stops
}
"""Where the time of a line went: each microsecond of the window once. Sorted by kind, then the longest first."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span [start, end) in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a zone")
        if self.end < self.start:
            raise ValueError(f"a window ends before it starts: {self.start} to {self.end}")


def empty(schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """An empty frame of that schema."""
    return pl.DataFrame(schema=dict(schema))
