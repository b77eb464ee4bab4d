"""The truth log: what really happened on the simulated machines, to hold against what Lineside says."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import orjson
import polars as pl

from plant.frames import TIME, empty

STATE_INTERVALS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,
    "end": TIME,
    "raw": pl.String,
}
PARTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "time": TIME,  # of the reading that first shows them
    "kind": pl.String,  # good, reject
    "quantity": pl.Int64,
    "order": pl.String,
}
RUNS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "start": TIME,
    "end": TIME,
    "order": pl.String,
    "material": pl.String,
}
COUNTER_EVENTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "time": TIME,
    "counter": pl.String,  # good, reject
    "event": pl.String,  # rollover, reset
}

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
Record = tuple[object, ...]


def microseconds(time: datetime) -> int:
    """A time with a zone as microseconds since 1970-01-01 UTC."""
    return (time - _EPOCH) // timedelta(microseconds=1)


class Truth(Protocol):
    """Takes the events of the simulation as they happen; times are microseconds since 1970 UTC."""

    def state(self, equipment: str, time: int, raw: int) -> None:
        """The state changed."""

    def order(self, equipment: str, time: int, order: str, material: str) -> None:
        """The order changed; "" is no order."""

    def parts(self, equipment: str, time: int, kind: str, quantity: int, order: str) -> None:
        """Parts were made; `time` is the reading that first shows them."""

    def counter(self, equipment: str, time: int, counter: str, event: str) -> None:
        """A counter rolled over or was reset."""


class TruthLog:
    """The truth in memory, as frames. Each question takes the span [start, end) it asks about."""

    def __init__(self) -> None:
        self._states: list[Record] = []
        self._orders: list[Record] = []
        self._parts: list[Record] = []
        self._counters: list[Record] = []

    def state(self, equipment: str, time: int, raw: int) -> None:
        self._states.append((equipment, time, str(raw)))

    def order(self, equipment: str, time: int, order: str, material: str) -> None:
        self._orders.append((equipment, time, order, material))

    def parts(self, equipment: str, time: int, kind: str, quantity: int, order: str) -> None:
        self._parts.append((equipment, time, kind, quantity, order))

    def counter(self, equipment: str, time: int, counter: str, event: str) -> None:
        self._counters.append((equipment, time, counter, event))

    def state_intervals(self, start: datetime, end: datetime) -> pl.DataFrame:
        """STATE_INTERVALS in [start, end): contiguous per machine, neighbours differ, cut at its edges."""
        changes = _frame(self._states, ("equipment", "start", "raw"))
        return _spans(changes, start, end).select(*STATE_INTERVALS)

    def order_runs(self, start: datetime, end: datetime) -> pl.DataFrame:
        """RUNS in [start, end), cut at its edges; times without an order are left out."""
        changes = _frame(self._orders, ("equipment", "start", "order", "material"))
        return _spans(changes, start, end).filter(pl.col("order") != "").select(*RUNS)

    def part_events(self, start: datetime, end: datetime) -> pl.DataFrame:
        """PARTS first read in [start, end)."""
        parts = _frame(self._parts, tuple(PARTS))
        return parts.filter(pl.col("time").is_between(start, end, closed="left"))

    def counts(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Parts first read in [start, end), added up: equipment, order, kind, quantity."""
        by = ["equipment", "order", "kind"]
        return self.part_events(start, end).group_by(by).agg(pl.col("quantity").sum()).sort(by)

    def counter_events(self, start: datetime, end: datetime) -> pl.DataFrame:
        """COUNTER_EVENTS in [start, end)."""
        events = _frame(self._counters, tuple(COUNTER_EVENTS))
        return events.filter(pl.col("time").is_between(start, end, closed="left"))


def _frame(rows: list[Record], columns: tuple[str, ...]) -> pl.DataFrame:
    types = {**STATE_INTERVALS, **PARTS, **RUNS, **COUNTER_EVENTS}
    schema = {column: types[column] for column in columns}
    if not rows:
        return empty(schema)
    raw = {c: pl.Int64 if t == TIME else t for c, t in schema.items()}
    frame = pl.DataFrame(rows, schema=raw, orient="row")
    return frame.with_columns(pl.col(c).cast(TIME) for c, t in schema.items() if t == TIME)


def _spans(changes: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Changes to intervals: each holds until the next of its machine, the last until `end`."""
    bounds = pl.lit(start, dtype=TIME), pl.lit(end, dtype=TIME)
    return (
        changes.sort("equipment", "start", maintain_order=True)
        .with_columns(end=pl.col("start").shift(-1).over("equipment").fill_null(bounds[1]))
        .with_columns(
            start=pl.max_horizontal("start", bounds[0]),
            end=pl.min_horizontal("end", bounds[1]),
        )
        .filter(pl.col("start") < pl.col("end"))
    )


class TruthLines:
    """The truth as JSON lines, handed to `write` in pieces: for logs too long for memory.

    A line is [kind, equipment, microseconds since 1970 UTC, ...]; only `machines` are logged.
    """

    def __init__(self, machines: Iterable[str]) -> None:
        self._machines = frozenset(machines)
        self._lines: list[bytes] = []

    def state(self, equipment: str, time: int, raw: int) -> None:
        self._add("state", equipment, time, raw)

    def order(self, equipment: str, time: int, order: str, material: str) -> None:
        self._add("order", equipment, time, order, material)

    def parts(self, equipment: str, time: int, kind: str, quantity: int, order: str) -> None:
        self._add("parts", equipment, time, kind, quantity, order)

    def counter(self, equipment: str, time: int, counter: str, event: str) -> None:
        self._add("counter", equipment, time, counter, event)

    def _add(self, kind: str, equipment: str, *rest: object) -> None:
        if equipment in self._machines:
            self._lines.append(orjson.dumps([kind, equipment, *rest]))

    def drain(self) -> bytes:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return b"".join(line + b"\n" for line in lines)


def load_truth(*logs: bytes) -> TruthLog:
    """The truth from the content of logs; an unfinished last line (of a killed process) is left out.

    Raises ValueError for a line that is none of the log's.
    """
    truth = TruthLog()
    take: dict[str, Callable[..., None]] = {
        "state": truth.state,
        "order": truth.order,
        "parts": truth.parts,
        "counter": truth.counter,
    }
    for log in logs:
        for number, line in enumerate(log.split(b"\n")[:-1], 1):
            try:
                kind, *fields = orjson.loads(line)
                take[kind](*fields)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"truth log: line {number} is not a truth record: {line[:80]!r}") from error
    return truth
