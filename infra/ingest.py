"""From the spool into the live derivation: what has arrived, once, without waiting for the historian."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from collectors.spool import Entry, Spool, SpoolDamagedError
from pipelines.accept import accept
from pipelines.names import LatestNames, Names
from plant.frames import SAMPLES, empty
from plant.model import Plant

log = logging.getLogger(__name__)

MOST_ROWS = 200_000
"""Samples taken in one go, so that a long backlog does not keep the board waiting."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Some batches, in the order in which they wait."""

    samples: pl.DataFrame
    """`plant.frames.SAMPLES` the plant accepts."""
    entries: tuple[Entry, ...]
    more: bool = False
    """Whether others wait behind them."""


class Ingest:
    """Reads every batch of a spool once. What of it has been dealt with (`settle`) may leave the spool.

    At start everything that waits is read, also what was read before a crash.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool, self._names = spool, LatestNames()
        self._seen: dict[str, int] = {}
        self._settled: dict[str, int] = {}

    @property
    def settled(self) -> Mapping[str, int]:
        """Per collector, the highest sequence that may leave the spool once it is stored."""
        return self._settled

    def take(self, plant: Plant, now: datetime) -> Arrived:
        """The next batches, about MOST_ROWS samples, of every collector in turn: one with a long backlog does not keep
        the others waiting. What the plant refuses is left to the one who stores."""
        frames: list[pl.DataFrame] = []
        entries: list[Entry] = []
        rows = 0
        waiting = self._spool.pending(self._seen)
        for entry in _in_turn(waiting):
            if rows >= MOST_ROWS:
                break
            rows += entry.rows
            entries.append(entry)
            try:
                frames.append(self._spool.read(entry))
            except SpoolDamagedError as error:
                log.error("%s", error)
        for entry in entries:
            self._seen[entry.collector] = max(entry.sequence, self._seen.get(entry.collector, -1))
        if not frames:
            return Arrived(empty(SAMPLES), tuple(entries))
        return Arrived(
            _accepted(frames, self._names.of(plant.signals), now), tuple(entries), len(entries) < len(waiting)
        )

    def settle(self) -> None:
        """All that was taken has had its effect."""
        self._settled = dict(self._seen)


def _in_turn(waiting: Sequence[Entry]) -> Iterator[Entry]:
    """One entry of each collector after the other; those of one collector in their order."""
    queues: dict[str, deque[Entry]] = {}
    for entry in waiting:
        queues.setdefault(entry.collector, deque()).append(entry)
    while queues:
        for collector in list(queues):
            yield queues[collector].popleft()
            if not queues[collector]:
                del queues[collector]


def _accepted(frames: Sequence[pl.DataFrame], known: Names, now: datetime) -> pl.DataFrame:
    """What the plant accepts. A batch that fails is left out; the one who stores sets it aside."""
    try:
        return accept(pl.concat(frames), known, now).samples
    except (Exception, pl.exceptions.PanicException):
        log.exception("a batch cannot be taken into the live figures")
        found = [_accepted([frame], known, now) for frame in frames] if len(frames) > 1 else []
        return pl.concat([empty(SAMPLES), *found])
