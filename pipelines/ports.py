"""What the pipelines need from the outside; infra implements it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from plant.frames import Window


@dataclass(frozen=True, slots=True)
class HistorianHealth:
    """Whether samples can be written and read, and what to do if not."""

    ok: bool
    detail: str


class Historian(Protocol):
    """Where samples are kept. One contract suite runs over every implementation (tests/contracts)."""

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Store samples (`plant.frames.SAMPLES`) durably before returning. Idempotent: an equal
        (equipment, signal, time) is overwritten by the row received last.

        Returns the rows the store refuses for good (`plant.frames.REFUSED`), normally none; all others are
        stored.

        Raises HistorianError: nothing can be said about what was stored; write the same frame again.
        """

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Samples with time in the window, sorted by (equipment, signal, time), unique. None: all.

        Raises HistorianError rather than answer short.
        """

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """The same rows in bounded memory: whole (equipment, signal) series one after the other or time slices of them."""

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """The newest sample of each (equipment, signal) with time < before."""

    def trend(
        self,
        window: Window,
        every: timedelta,
        equipment: Sequence[str] | None = None,
        signals: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Numbers in the window thinned out to buckets of length `every` (`plant.frames.TREND`)."""

    def compact(self) -> None:
        """Housekeeping: merge small pieces. Readers are not disturbed."""

    def expire(self, before: datetime) -> None:
        """Forget samples older than that (whole days)."""

    def health(self) -> HistorianHealth:
        """Ask the store itself."""

    def close(self) -> None:
        """Release what is held."""


class HistorianError(Exception):
    """The historian could not do it; the message says what to do."""

    def __init__(self, message: str, retry_after: float = 0.0, *, configuration: bool = False) -> None:
        """
        Args:
            retry_after: seconds the store asks to be left alone for.
            configuration: it will not get better by itself (sign-in, no such database): somebody must act.
        """
        super().__init__(message)
        self.retry_after = retry_after
        self.configuration = configuration
