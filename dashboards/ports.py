"""What the pages and the REST API need; infra implements it over the live pipeline and the records."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from analytics.spc.inspections import Inspection
from analytics.spc.study import Exclusion, Frozen
from dashboards.onboarding import Onboarding
from dashboards.view import (
    AlertView,
    BoardSnapshot,
    OrderView,
    PublishedView,
    SaidView,
    ShiftView,
    SourceDetail,
    SourceView,
    StopView,
)
from plant.frames import Window
from plant.model import Convention, Plant


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The request makes no sense; the message says why and what to do. Shown to the user as it is."""


class Unavailable(Refused):
    """The request is fine, but a store it needs is away: the same one may be answered later."""


class Changed(Refused):
    """Somebody else changed it meanwhile; the message says who. Look again, then decide."""


class Backend(Onboarding, Protocol):
    """One per server. Reads may take milliseconds to a second and block: callers run them in a thread.

    `user` is a plant user id, or free text until sign-in exists.
    """

    @property
    def plant(self) -> Plant: ...

    def now(self) -> datetime: ...

    def snapshot(self) -> BoardSnapshot:
        """The last tick's."""

    def ledger(
        self, window: Window, equipment: Sequence[str] | None = None, cuts: Sequence[datetime] = ()
    ) -> pl.DataFrame:
        """Ledger rows (`plant.frames.LEDGER`) clipped to the window, and cut at these instants too."""

    def summary(
        self,
        window: Window,
        by: Sequence[str] = (),
        kpis: Collection[str] | None = None,
        convention: Convention | None = None,
        equipment: Sequence[str] | None = None,
        alerts: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """`analytics.figures.summary.summarise` of the ledger of the window: long ones are summed where they are stored."""

    def six_big_losses(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """`analytics.figures.losses.six_big_losses` of the ledger of the window, summed likewise."""

    def cycles(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """Cycle times (`plant.frames.CYCLES`) in the window, with the material made and its ideal cycle at that time
        (microseconds, null: unknown)."""

    def trend(
        self, window: Window, every: timedelta, equipment: Sequence[str], signals: Sequence[str]
    ) -> pl.DataFrame:
        """Numbers in the window thinned out to buckets (`plant.frames.TREND`)."""

    def last(self, before: datetime, equipment: Sequence[str]) -> pl.DataFrame:
        """The newest sample (`plant.frames.SAMPLES`) of each signal of that equipment before a time."""

    def samples(self, window: Window, equipment: str, signal: str) -> pl.DataFrame:
        """Every sample (`plant.frames.SAMPLES`) of one signal in the window, also what is not stored yet."""

    def spc_limits(self, equipment: str, signal: str, study: str) -> list[Frozen]:
        """The frozen limits of a control chart (`analytics.spc.study.key`), in the order they were entered."""

    def spc_exclusions(self, equipment: str, signal: str) -> list[Exclusion]:
        """The points left out of its charts or taken in again, in the order they were entered."""

    def freeze_limits(self, equipment: str, signal: str, limits: Frozen) -> None:
        """Judge the points from `valid_from` on by these limits."""

    def exclude_point(self, equipment: str, signal: str, entry: Exclusion) -> None:
        """Leave a point out, or take it in again."""

    def inspections(self, window: Window, equipment: str) -> list[Inspection]:
        """What was recorded of samples taken in the window, withdrawals too, in the order it was entered."""

    def record_inspection(self, equipment: str, entry: Inspection, key: str = "") -> int:
        """Keep an inspection, or that one is withdrawn; its number. The same request with the same key has effect once."""

    def shifts(self, window: Window) -> list[ShiftView]:
        """Shift instances that touch the window, oldest first."""

    def orders(self) -> list[OrderView]: ...

    def alerts(self, include_resolved: bool = False) -> list[AlertView]: ...

    def alert_history(self, alert: str) -> list[Mapping[str, str]]:
        """Everything that happened to it, oldest first: at, event, detail, user."""

    def acknowledge(self, alert: str, user: str) -> None: ...

    def stop_at(self, equipment: str, start: datetime) -> StopView:
        """The stop that began then. Raises Refused: there is none."""

    def recodes(self, equipment: str, start: datetime) -> list[SaidView]:
        """What was said about that stop, in the order it was."""

    def recode(
        self,
        equipment: str,
        start: datetime,
        reason: str,
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        """Say what the stop that began at `start` was, of whatever age; no reason ("") takes all that was said before back.

        Entries are added, never changed; the last one holds. `seen`: the `StopView.version` this answers; "": whatever it
        is now. `key`: the same request with the same key has effect once. Both hold for what follows, too. Raises Changed.
        """

    def split_stop(
        self,
        equipment: str,
        start: datetime,
        at: datetime,
        reasons: tuple[str, str],
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        """It was two stops, the second from `at` on; no reason ("") leaves the one it has."""

    def merge_stop(
        self,
        equipment: str,
        start: datetime,
        reason: str,
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        """With the next one it was one stop; no reason (""): that of the longer one."""

    def retime_stop(
        self,
        equipment: str,
        start: datetime,
        begin: datetime,
        end: datetime | None,
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        """It began and ended then; None: it has the end it has. Where it is shorter the machine ran."""

    def undo_stop(
        self, equipment: str, start: datetime, user: str, note: str = "", seen: str = "", key: str = ""
    ) -> None:
        """As it was before the last thing that was said of it."""

    def say_state(
        self,
        equipment: str,
        window: Window,
        state: str,
        reason: str,
        user: str,
        note: str = "",
        key: str = "",
    ) -> None:
        """What the machine was doing in a past window (`MachineState`), whatever its signal says; no state (""): what was
        said before is taken back."""

    def correct_counts(
        self, equipment: str, at: datetime, changes: Mapping[str, int], why: str, user: str, key: str = ""
    ) -> None:
        """Add parts (good, reject, rework; negative: take away) to what was counted at that time: 12 good that were rejects
        are -12 and 12. Refused when a shift's count would become negative."""

    def published(self, window: Window) -> list[PublishedView]:
        """The closed shifts that began in the window, oldest first, per line."""

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
