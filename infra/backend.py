"""What the pages and the REST API ask, answered from the live plant and the records."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar, cast

import polars as pl
from prometheus_client import generate_latest

from alerting.lifecycle import Outcome
from analytics.figures.buckets import EVERY, edges
from analytics.figures.losses import six_big_losses
from analytics.figures.summary import summarise
from analytics.spc.inspections import Inspection
from analytics.spc.study import Exclusion, Frozen
from dashboards.onboarding import Confirmed, Looking, Section
from dashboards.ports import Refused, Unavailable
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
from execution.dispatching import dispatch
from execution.importing import ImportErrors, import_orders, read_order_rows
from execution.orders import OrderAction, OrderError
from infra.alertviews import alert_view
from infra.ledger.correcting import By, Correcting
from infra.ledger.summed import Addends
from infra.onboarding.looks import Looks
from infra.posts import post
from infra.records.audit import Audit
from infra.records.database import RecordsError
from infra.records.inspections import Inspections
from infra.records.orders import ExecutionStores
from infra.records.spc import SpcRecords
from infra.runtime import Runtime
from infra.shifts import shift_views
from pipelines.ports import HistorianError
from plant.frames import Window
from plant.model import Convention, Plant

B = TypeVar("B")
T = TypeVar("T")
P = ParamSpec("P")


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
        self._correcting = Correcting(runtime)

    @property
    def plant(self) -> Plant:
        return self._runtime.plant

    def now(self) -> datetime:
        return datetime.now(UTC)

    def snapshot(self) -> BoardSnapshot:
        return self._runtime.snapshot()

    def ledger(
        self, window: Window, equipment: Sequence[str] | None = None, cuts: Sequence[datetime] = ()
    ) -> pl.DataFrame:
        return _below(self.plant, self._runtime.ledger(window, self.now(), cuts), equipment)

    def summary(
        self,
        window: Window,
        by: Sequence[str] = (),
        kpis: Collection[str] | None = None,
        convention: Convention | None = None,
        equipment: Sequence[str] | None = None,
        alerts: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        plant, now = self.plant, self.now()

        def summed(found: Addends) -> pl.DataFrame:
            clipped = Window(min(window.start, now), min(window.end, now))
            return summarise(
                found.ledger, by, plant, convention, kpis, alerts, window=clipped, failing=found.failing
            )

        cuts = edges(window, plant.site.zone, *(name for name in by if name in EVERY))
        if "hour" in by:  # stored rows and cells are not cut there
            return summed(Addends.of(self.ledger(window, equipment, cuts)))
        return self._runtime.summed(window, now, summed, _machines(plant, equipment), cuts, by)

    def six_big_losses(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        plant = self.plant
        return self._runtime.summed(
            window, self.now(), lambda found: six_big_losses(found.ledger, plant), _machines(plant, equipment)
        )

    def cycles(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        return _below(self.plant, self._runtime.cycles(window, self.now()), equipment)

    def trend(
        self, window: Window, every: timedelta, equipment: Sequence[str], signals: Sequence[str]
    ) -> pl.DataFrame:
        return self._runtime.historian.trend(window, every, equipment, signals)

    def last(self, before: datetime, equipment: Sequence[str]) -> pl.DataFrame:
        return self._runtime.historian.last(before, equipment)

    def samples(self, window: Window, equipment: str, signal: str) -> pl.DataFrame:
        return self._runtime.history.read(window, [equipment], [signal])

    def spc_limits(self, equipment: str, signal: str, study: str) -> list[Frozen]:
        with self._runtime.database.read() as connection:
            return SpcRecords(connection).limits(equipment, signal, study)

    def spc_exclusions(self, equipment: str, signal: str) -> list[Exclusion]:
        with self._runtime.database.read() as connection:
            return SpcRecords(connection).exclusions(equipment, signal)

    def freeze_limits(self, equipment: str, signal: str, limits: Frozen) -> None:
        with self._runtime.database.begin() as connection:
            SpcRecords(connection).freeze(equipment, signal, limits)
            detail = {"study": limits.study, "valid_from": limits.valid_from.isoformat(), "why": limits.why}
            subject = f"{equipment}/{signal}"
            Audit(connection).add(limits.at, limits.user, "spc.freeze", subject, detail)

    def exclude_point(self, equipment: str, signal: str, entry: Exclusion) -> None:
        with self._runtime.database.begin() as connection:
            SpcRecords(connection).exclude(equipment, signal, entry)
            action = "spc.exclude" if entry.excluded else "spc.include"
            detail = {"time": entry.time.isoformat(), "why": entry.why}
            Audit(connection).add(entry.at, entry.user, action, f"{equipment}/{signal}", detail)

    def inspections(self, window: Window, equipment: str) -> list[Inspection]:
        with self._runtime.database.read() as connection:
            return Inspections(connection).of(window, equipment)

    def record_inspection(self, equipment: str, entry: Inspection, key: str = "") -> int:
        subject = f"{equipment}/{entry.test}"
        with self._runtime.database.begin() as connection:
            audit = Audit(connection)
            for done in audit.of(subject, 100):
                if key and done.detail.get("key") == key:
                    return cast(int, done.detail["number"])
            number = Inspections(connection).add(equipment, entry)
            action = "inspection.record" if entry.withdraws is None else "inspection.withdraw"
            detail = {
                "number": number,
                "time": entry.time.isoformat(),
                "key": key,
                "withdraws": entry.withdraws,
            }
            audit.add(entry.at, entry.user, action, subject, detail)
        return number

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

    def stop_at(self, equipment: str, start: datetime) -> StopView:
        return self._correcting.stop(equipment, start, self.now())

    def recodes(self, equipment: str, start: datetime) -> list[SaidView]:
        return self._correcting.said(equipment, start, self.now())

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
        self._correcting.recode(equipment, start, reason, By(user, self.now(), note, seen, key))

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
        self._correcting.split(equipment, start, at, reasons, By(user, self.now(), note, seen, key))

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
        self._correcting.merge(equipment, start, reason, By(user, self.now(), note, seen, key))

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
        self._correcting.retime(equipment, start, begin, end, By(user, self.now(), note, seen, key))

    def undo_stop(
        self, equipment: str, start: datetime, user: str, note: str = "", seen: str = "", key: str = ""
    ) -> None:
        self._correcting.undo(equipment, start, By(user, self.now(), note, seen, key))

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
        self._correcting.state(equipment, window, state, reason, By(user, self.now(), note, key=key))

    def correct_counts(
        self, equipment: str, at: datetime, changes: Mapping[str, int], why: str, user: str, key: str = ""
    ) -> None:
        self._correcting.counts(equipment, at, changes, why, By(user, self.now(), key=key))

    def published(self, window: Window) -> list[PublishedView]:
        return self._correcting.published(window)

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


def _below(plant: Plant, rows: pl.DataFrame, equipment: Sequence[str] | None) -> pl.DataFrame:
    """Rows of that equipment and what is below it; None: all."""
    if equipment is None:
        return rows
    return rows.filter(pl.col("equipment").is_in(_machines(plant, equipment)))


def _machines(plant: Plant, equipment: Sequence[str] | None) -> list[str]:
    """The machines of that equipment and what is below it; None: all."""
    if equipment is None:
        return sorted(m.id for m in plant.machines())
    return sorted(set().union(*(plant.below(e) for e in equipment if e in plant.equipment)))
