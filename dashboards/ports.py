"""What the pages and the REST API need; infra implements it over the live pipeline and the records."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from dashboards.onboarding import Onboarding
from dashboards.view import AlertView, BoardSnapshot, OrderView, ShiftView, SourceDetail, SourceView
from plant.frames import Window
from plant.model import Plant


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The request makes no sense; the message says why and what to do. Shown to the user as it is."""


class Unavailable(Refused):
    """The request is fine, but a store it needs is away: the same one may be answered later."""


class Backend(Onboarding, Protocol):
    """One per server. Reads may take milliseconds to a second and block: callers run them in a thread.

    `user` is a plant user id, or free text until sign-in exists.
    """

    @property
    def plant(self) -> Plant: ...

    def now(self) -> datetime: ...

    def snapshot(self) -> BoardSnapshot:
        """The last tick's."""

    def ledger(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Ledger rows (`plant.frames.LEDGER`) clipped to the window."""

    def cycles(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Cycle times (`plant.frames.CYCLES`) in the window, with the material made and its ideal cycle at that time
        (microseconds, null: unknown)."""

    def trend(
        self, window: Window, every: timedelta, equipment: Sequence[str], signals: Sequence[str]
    ) -> pl.DataFrame:
        """Numbers in the window thinned out to buckets (`plant.frames.TREND`)."""

    def last(self, before: datetime, equipment: Sequence[str]) -> pl.DataFrame:
        """The newest sample (`plant.frames.SAMPLES`) of each signal of that equipment before a time."""

    def shifts(self, window: Window) -> list[ShiftView]:
        """Shift instances that touch the window, oldest first."""

    def orders(self) -> list[OrderView]: ...

    def alerts(self, include_resolved: bool = False) -> list[AlertView]: ...

    def alert_history(self, alert: str) -> list[Mapping[str, str]]:
        """Everything that happened to it, oldest first: at, event, detail, user."""

    def acknowledge(self, alert: str, user: str) -> None: ...

    def recode(self, equipment: str, start: datetime, reason: str, user: str) -> None:
        """Say what the stop that began at `start` was; no reason ("") takes what was said before back. Kept with who and
        when; the last entry wins."""

    def recodes(self, equipment: str, start: datetime) -> list[Mapping[str, str]]:
        """What was said about that stop, oldest first: reason, user, at."""

    def start_order(self, order: str, user: str) -> None: ...

    def finish_order(self, order: str, user: str) -> None: ...

    def import_orders(self, name: str, content: bytes, columns: Mapping[str, str], user: str) -> int:
        """Orders from a CSV or Excel file; all rows or none. Raises Refused with one line per bad row."""

    def post_samples(self, source: str | None, authorization: str, body: bytes) -> tuple[int, bytes]:
        """Samples for an http source (the only one when None), stored when it returns: HTTP status and JSON answer."""

    def sources(self) -> list[SourceView]:
        """Every source, in the order of the plant file; as of the last second."""

    def source(self, source: str) -> SourceDetail:
        """One with its signals and gaps. Raises Refused: the plant has no such source."""

    def health(self) -> Mapping[str, object]:
        """ok, and per part (historian, records, collectors, pipeline): ok, detail."""

    def metrics(self) -> bytes:
        """Of the process that derives, in Prometheus text format."""
