"""What a collector is, and what it needs: a place to put batches that acknowledges them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from plant.model import Signal, Source


class Emit(Protocol):
    """Where a collector puts what it has. What is counted and shown per signal is read off what passes here."""

    async def __call__(self, samples: pl.DataFrame) -> None:
        """Take a batch of samples (`plant.frames.SAMPLES`); returns when it is on disk."""

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        """Record that samples between `first` and `last` (the source's time, both included) are lost for good; on disk
        when it returns. `signals` ("equipment.signal"): whose; none: any of the source."""


@dataclass(slots=True)
class SourceStatus:
    """What only the collector knows of its source, written by it alone. Signals are named "equipment.signal"."""

    connected: bool = False
    detail: str = "not started"
    since: datetime | None = None
    bad: dict[str, str] = field(default_factory=dict)
    """Signal to why it gives no value now; removed when it does again."""
    notes: dict[str, str] = field(default_factory=dict)
    """Signal to what somebody should know although it works: the server samples it slower than asked ..."""
    overflows: dict[str, int] = field(default_factory=dict)
    """Signal to how often the source said that it dropped values before we took them."""
    overruns: int = 0
    """Polls left out because an earlier one took too long."""


class Collector(Protocol):
    """One per source. The module `collectors.<protocol>` offers `check(source, signals) -> list[str]` (what is wrong
    with its options and addresses, each with the fix) and `create(source, signals, folder) -> Collector`."""

    status: SourceStatus

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled; reconnects by itself. On a lost connection it emits, once, a BAD sample
        without a value for each of its signals at the time it noticed."""


class ProtocolModule(Protocol):
    """The shape of a protocol module."""

    def check(self, source: Source, signals: tuple[Signal, ...]) -> list[str]: ...

    def create(self, source: Source, signals: tuple[Signal, ...], folder: Path) -> Collector:
        """`folder` is the plant's data folder. What must survive a restart the collector keeps in
        `folder / "sources" / source.id`; certificates are in `folder / "pki"`."""
