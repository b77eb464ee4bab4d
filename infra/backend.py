"""What the pages and the REST API ask, answered from the live plant and the records."""

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar, cast

import polars as pl
from prometheus_client import generate_latest

from alerting.lifecycle import Outcome
from dashboards.onboarding import Confirmed, Looking, Section
from dashboards.ports import Refused, Unavailable
from dashboards.view import AlertView, BoardSnapshot, OrderView, ShiftView, SourceDetail, SourceView
from execution.dispatching import dispatch
from execution.importing import ImportErrors, import_orders, read_order_rows
from execution.orders import OrderAction, OrderError
from infra.alertviews import alert_view
from infra.onboarding.looks import Looks
from infra.posts import post
from infra.records.audit import Audit
from infra.records.database import RecordsError
from infra.records.orders import ExecutionStores
from infra.records.recodes import Recodes
from infra.runtime import Runtime
from infra.shifts import shift_views
from pipelines.ports import HistorianError
from plant.frames import Window
from plant.model import Plant
from plant.states import MachineState

B = TypeVar("B")
T = TypeVar("T")
P = ParamSpec("P")

LONGEST_STOP = timedelta(days=7)
"""How far a stop may have begun before it is re-coded."""


def _answered(method: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(method)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (RecordsError, HistorianError) as error:
            raise Unavailable(str(error)) from error

    return answer


def _says_what_is_away(backend: type[B]) -> type[B]:
    """Have every method answer with Unavailable when a store is away."""
    for name, method in vars(backend).copy().items():
        if not name.startswith("_") and callable(method):
            setattr(backend, name, _answered(method))
    return backend


@_says_what_is_away
class PlantBackend:
    """`dashboards.ports.Backend` over a running plant."""

    def __init__(self, runtime: Runtime, looks: Looks | None = None) -> None:
        """`looks`: what may add machines to the plant file; None: this plant's file is not ours to change."""
        self._runtime, self._looks = runtime, looks

    @property
    def plant(self) -> Plant:
        return self._runtime.plant

    def now(self) -> datetime:
        return datetime.now(UTC)

    def snapshot(self) -> BoardSnapshot:
        return self._runtime.snapshot()

    def ledger(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        rows = self._runtime.ledger(window, self.now())
        if equipment is None:
            return rows
        wanted = sorted(set().union(*(self.plant.below(e) for e in equipment if e in self.plant.equipment)))
        return rows.filter(pl.col("equipment").is_in(wanted))

    def trend(
        self, window: Window, every: timedelta, equipment: Sequence[str], signals: Sequence[str]
    ) -> pl.DataFrame:
        return self._runtime.historian.trend(window, every, equipment, signals)

    def last(self, before: datetime, equipment: Sequence[str]) -> pl.DataFrame:
        return self._runtime.historian.last(before, equipment)

    def shifts(self, window: Window) -> list[ShiftView]:
        return shift_views(self.plant, window)

    def orders(self) -> list[OrderView]:
        return self._runtime.order_views()

    def alerts(self, include_resolved: bool = False) -> list[AlertView]:
        return [alert_view(alert) for alert in self._runtime.alerts.alerts(include_resolved)]

    def alert_history(self, alert: str) -> list[Mapping[str, str]]:
        return [
            {"at": event.at.isoformat(), "event": event.event, "detail": event.detail, "user": event.user}
            for event in self._runtime.alerts.history(alert)
        ]

    def acknowledge(self, alert: str, user: str) -> None:
        if self._runtime.acknowledge(alert, user, self.now()) is Outcome.UNKNOWN_ALERT:
            raise Refused("There is no such alert any more: reload the page.")

    def recode(self, equipment: str, start: datetime, reason: str, user: str) -> None:
        if reason and reason not in self.plant.reasons:
            raise Refused(f"The plant file has no reason {reason!r}: choose one of its reasons.")
        now = self.now()
        stop = self._stop(equipment, start, now)
        open_end = stop["end"] >= now - timedelta(seconds=5)
        end = None if open_end else stop["end"]
        with self._runtime.database.begin() as connection:
            Recodes(connection).add(equipment, start, end, reason or None, user, now)
            Audit(connection).add(
                now, user, "stop.recode", f"{equipment} {start.isoformat()}", {"reason": reason}
            )
        self._runtime.restate(equipment, Window(start, stop["end"]), now)

    def recodes(self, equipment: str, start: datetime) -> list[Mapping[str, str]]:
        with self._runtime.database.read() as connection:
            entries = Recodes(connection).touching(
                Window(start, start + timedelta(microseconds=1)), [equipment]
            )
        return [
            {"reason": row["reason"] or "", "user": row["user"], "at": row["at"].isoformat()}
            for row in entries.filter(pl.col("start") == start).iter_rows(named=True)
        ]

    def start_order(self, order: str, user: str) -> None:
        self._dispatch(order, OrderAction.START, user)

    def finish_order(self, order: str, user: str) -> None:
        self._dispatch(order, OrderAction.COMPLETE, user)

    def import_orders(self, name: str, content: bytes, columns: Mapping[str, str], user: str) -> int:
        try:
            rows = read_order_rows(name, content, columns, self.plant, self.plant.site.zone)
            with self._runtime.database.begin() as connection:
                result = import_orders(ExecutionStores(connection), name, rows, user, self.now())
        except ImportErrors as error:
            raise Refused(str(error)) from error
        return result.new + result.changed

    def post_samples(self, source: str | None, authorization: str, body: bytes) -> tuple[int, bytes]:
        return post(self.plant, self._runtime.folder.root, source, authorization, body)

    def sources(self) -> list[SourceView]:
        shown = SourceView.__annotations__
        return [cast(SourceView, {k: v for k, v in s.items() if k in shown}) for s in self._runtime.sources()]

    def source(self, source: str) -> SourceDetail:
        found = next((s for s in self._runtime.sources() if s["id"] == source), None)
        if found is None:
            known = ", ".join(self.plant.sources) or "none"
            raise Refused(f"source: the plant has no {source!r}; it has {known}")
        return found

    def look_at(self, url: str, seconds: float) -> str:
        return self._adding().look_at(url, seconds)

    def looking(self, job: str) -> Looking:
        return self._adding().looking(job)

    def section(self, job: str, machines: Sequence[Confirmed]) -> Section:
        return self._adding().section(job, machines)

    def add_machines(self, job: str, machines: Sequence[Confirmed], user: str) -> Section:
        added = self._adding().add_machines(job, machines, user)
        with self._runtime.database.begin() as connection:
            what = {"file": added["file"], "machines": added["machines"]}
            Audit(connection).add(self.now(), user, "plant.add", ", ".join(added["machines"]), what)
        return added

    def health(self) -> Mapping[str, object]:
        return self._runtime.health()

    def metrics(self) -> bytes:
        return generate_latest()

    def _adding(self) -> Looks:
        if self._looks is None:
            raise Refused("The demo's plant file stays as it is: run `lineside up` with one of your own.")
        return self._looks

    def _dispatch(self, order: str, action: OrderAction, user: str) -> None:
        try:
            with self._runtime.database.begin() as connection:
                dispatch(ExecutionStores(connection), self.plant, order, action, user, self.now())
        except OrderError as error:
            raise Refused(str(error)) from error

    def _stop(self, equipment: str, start: datetime, now: datetime) -> Mapping[str, datetime]:
        """Start and end of the stop of that machine which began then."""
        if now - start > LONGEST_STOP:
            raise Refused("That stop is more than a week old: it can no longer be re-coded here.")
        rows = self._runtime.ledger(Window(start, now), now).filter(
            pl.col("equipment") == equipment, pl.col("stop_start") == start
        )
        still = (MachineState.RUNNING.value, MachineState.UNKNOWN.value)
        if rows.is_empty() or rows["state"][0] in still:
            raise Refused(
                f"{equipment} did not stop at {start.isoformat()}: reload the page, its stops have changed."
            )
        return {"start": start, "end": rows["end"].max()}  # type: ignore[dict-item]
