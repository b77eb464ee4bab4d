"""What a collector is, and what it needs: a place to put batches that acknowledges them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import polars as pl

from plant.model import Signal, Source


class Emit(Protocol):
    """Takes a batch of samples (`plant.frames.SAMPLES`); returns when it is on disk."""

    async def __call__(self, samples: pl.DataFrame) -> None: ...


@dataclass(slots=True)
class SourceStatus:
    """What a source is doing now, for the board, `lineside doctor` and /metrics. Written by the collector alone."""

    connected: bool = False
    detail: str = "not started"
    since: datetime | None = None
    samples: int = 0
    last_sample: datetime | None = None
    bad: dict[str, str] = field(default_factory=dict)
    """signal id -> why it gives no value"""


class Collector(Protocol):
    """One per source. The module `collectors.<protocol>` offers `check(source, signals) -> list[str]` (what is wrong
    with its options and addresses, each with the fix) and `create(source, signals) -> Collector`."""

    status: SourceStatus

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled; reconnects by itself. On a lost connection it emits, once, a BAD sample
        without a value for each of its signals at the time it noticed."""


class ProtocolModule(Protocol):
    """The shape of a protocol module."""

    def check(self, source: Source, signals: tuple[Signal, ...]) -> list[str]: ...

    def create(self, source: Source, signals: tuple[Signal, ...]) -> Collector: ...
