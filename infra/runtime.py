"""A running plant: everything wired together, and the loop that turns arrivals into what people see.

One thread ticks (read the spool, fold, alerts, snapshot), one stores what was read in the historian, one delivers
messages, the scheduler has its own, and the web server asks from its workers. `_lock` guards the live facts.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import polars as pl
from sqlalchemy import Connection

from alerting.engine import Engine
from alerting.lifecycle import Outcome
from analytics.forecast.finish import RESOLUTION
from analytics.forecast.finish import edges as forecast_edges
from collectors.spool import Spool
from dashboards.live import Broadcast
from dashboards.snapshot import STRIP, Inputs, build
from dashboards.view import BoardSnapshot, OrderView, SourceDetail
from infra.alertviews import alert_view
from infra.blindalert import feeds
from infra.deadletter import DeadLetter
from infra.delivery import Delivery
from infra.folder import DataFolder
from infra.historians.waiting import WithWaiting
from infra.ingest import Ingest
from infra.latesamples import LateSamples
from infra.ledger.cache import LedgerCache
from infra.ledger.restating import Why
from infra.ledger.stored import window_of
from infra.ledger.summed import Addends, addends
from infra.live import Live
from infra.metrics import Metrics
from infra.orderbook import OrderBook
from infra.plantfile import with_secrets
from infra.records.alerts import SqlAlerts
from infra.records.database import RecordsError, upgrade
from infra.records.ledger import LedgerRows
from infra.shifts import period, running, shift_view, working_since
from infra.sourcewatch import SourceWatch
from infra.spcwatch import SpcWatch
from infra.statuses import machine_statuses
from infra.stores import open_database, open_historian
from infra.storing import Storing
from infra.systemalerts import SystemAlerts
from pipelines.accept import accept
from pipelines.names import LatestNames
from pipelines.ports import HistorianError
from plant.frames import BAD, LEDGER, Window, empty
from plant.model import Plant, Role

T = TypeVar("T")

log = logging.getLogger(__name__)

DRAIN_EVERY = 0.1
"""Seconds between two looks into the spool."""
TICK_EVERY = 1.0
"""Seconds between two snapshots when nothing changes state."""
COMPLETE_EVERY = 5.0
"""Seconds between two tries to read the history that was missing."""
CATCH_UP = 20.0
"""Seconds the start takes at most for a backlog before the board is shown."""


class Transaction(NamedTuple):
    """One of `Runtime.correcting` or `looking`."""

    connection: Connection
    live: Live


class Drained(NamedTuple):
    """What one look into the spool brought."""

    batches: int
    visible: bool
    """A machine changed its state or order, which the board shows at once."""
    more: bool
    """Others wait behind what was taken."""


class Runtime:
    """Owns the stores, the live derivation and the threads of one plant."""

    def __init__(
        self, plant: Plant, folder: DataFolder, base_url: str, metrics: Metrics | None = None
    ) -> None:
        self.plant, self.folder = with_secrets(plant), folder
        self.historian = open_historian(self.plant, folder)
        self.database = open_database(self.plant, folder)
        upgrade(self.database)
        self._cache = LedgerCache(self.database, folder.ledger, self.plant.site.zone)
        self.alerts = SqlAlerts(self.database)
        self.broadcast = Broadcast()
        self.metrics = metrics or Metrics()
        limits = self.plant.spool
        self._spool = Spool(folder.spool, max_bytes=limits.max_bytes, max_age=limits.max_age)
        self.metrics.count_gaps(folder.spool)
        self._watch = SourceWatch(folder)
        self.metrics.follow_sources(self.sources, self._watch.gaps)
        self._ingest = Ingest(self._spool)
        dead = DeadLetter(folder.dead, folder.spool)
        self._storing = Storing(
            self._spool, self.historian, dead, lambda: self.plant, lambda: self._ingest.settled
        )
        self._system = SystemAlerts(self._storing, self._watch, datetime.now(UTC))
        self._engine = Engine(self._system.ruled(self.plant), self.alerts, base_url)
        self._names = LatestNames()
        self._history = WithWaiting(self.historian, self._spool, self._accepted)
        self._late = LateSamples(self.database, self._history)
        self._delivery = Delivery(self.alerts)
        self._delivers = False
        self._replaced: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._live = Live(self.plant, self._history, self.database, datetime.now(UTC))
        self._heard = self._last_heard()
        self._shown: dict[tuple[str, str], tuple[float | None, str | None, int]] = {}
        self._orders: list[OrderView] = []
        self._snapshot: BoardSnapshot | None = None
        self._problems: dict[str, str] = {}
        self._complete_at = 0.0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, *, deliver: bool = True) -> None:
        """Catch up, make the first snapshot and start the threads. `deliver`: messages are sent from here, too."""
        now = datetime.now(UTC)
        self.catch_up(now)
        until = time.monotonic() + CATCH_UP
        while self.drain().batches and time.monotonic() < until:
            pass
        self.tick(datetime.now(UTC))
        self._delivers = deliver
        if deliver:
            self._delivery.use(self.plant)
        for name, target in (("tick", self._loop), ("store", self._store)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and let go of the stores."""
        self._stop.set()
        self.broadcast.close()
        self._delivery.stop()
        for thread in self._threads:
            thread.join(timeout=5)
        self.historian.close()
        self.database.close()

    def snapshot(self) -> BoardSnapshot:
        """The last tick's."""
        assert self._snapshot is not None, "start() makes the first one"
        return self._snapshot

    def order_views(self) -> list[OrderView]:
        """The last tick's."""
        return self._orders

    def sources(self) -> list[SourceDetail]:
        """As of the last tick."""
        return self._watch.views(self.plant, datetime.now(UTC))

    def ledger(self, window: Window, now: datetime, edges: Iterable[datetime] = ()) -> pl.DataFrame:
        """`plant.frames.LEDGER` of a window, cut at `edges` too: recent time as derived, older time as it is stored."""
        window = Window(min(window.start, now), min(window.end, now))
        with self._lock:
            live = self._live
            if window.start >= live.since:
                return live.ledger(window, now, edges)
        stored = self._cache.collected(window)
        machines = [m.id for m in live.plant.machines()]
        return window_of(stored, window, machines, partial(self._derived, now), edges)

    def summed(
        self,
        window: Window,
        now: datetime,
        take: Callable[[Addends], T],
        machines: Sequence[str],
        edges: Iterable[datetime] = (),
        by: Collection[str] = (),
    ) -> T:
        """What `take` makes of all that adds up to `ledger` of these machines, by these dimensions."""
        window = Window(min(window.start, now), min(window.end, now))
        with self._lock:
            live = self._live
            recent = live.ledger(window, now, edges, machines) if window.start >= live.since else None
        if recent is not None:
            return take(Addends.of(recent))
        derive = partial(self._derived, now)
        return self._cache.summed(
            window, lambda stored: take(addends(stored, window, live.plant, machines, derive, edges, by))
        )

    def _derived(
        self, now: datetime, span: Window, cuts: Iterable[datetime], machines: Sequence[str]
    ) -> pl.DataFrame:
        with self._lock:
            return self._live.ledger(span, now, cuts, machines)

    @property
    def history(self) -> WithWaiting:
        """What is stored and what waits to be."""
        return self._history

    def cycles(self, window: Window, now: datetime) -> pl.DataFrame:
        """Cycle times of a window, see `dashboards.ports.Backend.cycles`."""
        with self._lock:
            return self._live.cycles(window, now)

    def remembered_since(self) -> datetime:
        """How far back the live derivation reaches."""
        return self._live.since

    @contextmanager
    def correcting(self) -> Iterator[Transaction]:
        """One transaction in which people add facts about past time, and what follows from them for closed shifts is
        stored. The board follows when it ends."""
        with self._lock, self.database.begin() as connection:
            yield Transaction(connection, self._live)
        self.tick(datetime.now(UTC))

    @contextmanager
    def looking(self) -> Iterator[Transaction]:
        """What is known now, for whoever is about to correct something."""
        with self._lock, self.database.read() as connection:
            yield Transaction(connection, self._live)

    def restate(
        self, connection: Connection, equipment: str, window: Window, now: datetime, why: Why
    ) -> list[tuple[str, Window]]:
        """`infra.ledger.restating.restate` by the plant in use; within `alone`."""
        return self._live.restate(connection, equipment, window, now, why)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody corrects anything meanwhile."""
        with self._lock:
            yield

    def replace_plant(self, plant: Plant) -> None:
        """Go on with another plant file: recent time is derived again with it."""
        plant = with_secrets(plant)
        with self._lock:
            self._live = Live(plant, self._history, self.database, datetime.now(UTC))
            self._cache = LedgerCache(self.database, self.folder.ledger, plant.site.zone)
            self.plant, self._engine.plant = plant, self._system.ruled(plant)
        if self._delivers:
            self._delivery.use(plant)
        self._replaced()
        self.tick(datetime.now(UTC))

    def on_replaced(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever another plant file is in use."""
        self._replaced = call

    def note_problem(self, part: str, problem: str | None) -> None:
        """Have `health` say that something outside the runtime does not work; None: it does again."""
        if problem is None:
            self._problems.pop(part, None)
        else:
            self._problems[part] = problem

    def acknowledge(self, alert: str, user: str, now: datetime) -> Outcome:
        """Acknowledge an alert and show it at once."""
        outcome = self._engine.acknowledge(alert, user, now)
        self.tick(now)
        return outcome

    def forget(self, now: datetime) -> None:
        """Bound the memory of the live derivation."""
        with self._lock:
            self._live.forget(now)

    def health(self) -> Mapping[str, object]:
        """ok, and per part: ok and detail."""
        found: dict[str, tuple[bool, str]] = {"historian": self._historian_health()}
        for part in ("pipeline", "late samples", "plant file", "collectors"):
            problem = self._problems.get(part)
            found[part] = (problem is None, problem or "working")
        alarms, waiting = self._alarms(datetime.now(UTC)), self._spool.waiting()
        what = f"{waiting.batches} batches wait, {waiting.rows} samples"
        found["spool"] = (not alarms, "; ".join(alarms) or what)
        if self._live.problem:
            found["history"] = (False, f"figures lack what was stored before: {self._live.problem}")
        parts = {part: {"ok": ok, "detail": detail} for part, (ok, detail) in found.items()}
        return {"ok": all(ok for ok, _ in found.values()), **parts}

    def _historian_health(self) -> tuple[bool, str]:
        trouble = self._storing.trouble
        if trouble is None:
            health = self.historian.health()
            return health.ok, health.detail
        since = trouble.since.astimezone(self.plant.site.zone)
        wait = max(0.0, (trouble.next_try - datetime.now(UTC)).total_seconds())
        return False, f"nothing is stored since {since:%H:%M:%S}, next try in {wait:.0f} s: {trouble.problem}"

    def _alarms(self, now: datetime) -> list[str]:
        waiting = self._spool.waiting_by_collector().values()
        return [alarm for one in waiting if (alarm := self._spool.alarm(one, now))]

    def watch_spc(self, watch: SpcWatch) -> None:
        """Have what it finds raise alerts; it looks for itself until the runtime stops."""
        self._system.spc = watch
        thread = threading.Thread(target=watch.run, args=(self._stop,), name="spc", daemon=True)
        thread.start()
        self._threads.append(thread)

    def tick(self, now: datetime) -> None:
        """Alerts and snapshot as of now."""
        plant = self.plant
        self._watch.look(now)
        shift = running(plant, now)
        span = period(plant, now)
        with self._lock:
            closed = self._late.closed_until()
            start = min(
                span.start,
                working_since(plant, now),
                forecast_edges(Window(now - STRIP - RESOLUTION, now))[0],
                closed or self._live.since,
            )
            start = max(start, self._live.since)
            # Edges that stay where they are while the clock moves on: rows between them need not be derived again.
            cuts = [span.start, *([closed] if closed else []), *forecast_edges(Window(start, now))]
            rows = self._live.running_ledger(start, now, cuts)
            jobs = self._live.orders()
            begun = self._begun_before(closed, [job.id for job in jobs])
            book = OrderBook(
                plant, jobs, pl.concat([begun, rows.filter(pl.col("start") >= (closed or start))]), now
            )
            machines = machine_statuses(rows, self._heard, now)
            full = bool(self._alarms(now))
            statuses = [*machines, *self._system.statuses(plant, machines, self._heard, full, now)]
            self._engine.plant = self._system.ruled(plant)
            self._engine.tick(statuses, self._system.contexts(book.contexts()), now)
            active = [alert_view(alert) for alert in self.alerts.active()]
            shown = rows.filter(pl.col("start") >= span.start)
            self._orders = book.views
            self._snapshot = build(
                Inputs(
                    plant=plant,
                    now=now,
                    revision=self._snapshot["revision"] + 1 if self._snapshot else 1,
                    shift=shift_view(shift) if shift else None,
                    period=shown,
                    recent=rows,
                    strip=rows.filter(pl.col("end") > now - STRIP),
                    heard=self._heard,
                    orders=book.of_machines(),
                    alerts=active,
                    feeds=feeds(plant),
                    reached=self._watch.reached(plant, now),
                    unread=self._watch.unread(plant, now),
                )
            )
            self.broadcast.publish(self._snapshot)
        self.metrics.observe_storing(self._spool.waiting(), self._storing.trouble is None, now)
        self.metrics.observe(self._snapshot, self._storing.stored, self._storing.refused)

    def _loop(self) -> None:
        ticked = 0.0
        more = False
        while not self._stop.wait(0.0 if more else DRAIN_EVERY):
            more = False
            try:
                self._complete()
                _, moved, more = self.drain()
                if (moved and not more) or time.monotonic() - ticked >= TICK_EVERY:
                    self.tick(datetime.now(UTC))
                    ticked = time.monotonic()
                self._problems.pop("pipeline", None)
            except (HistorianError, RecordsError) as error:
                self._problems["pipeline"] = str(error)
                log.error("the live figures wait: %s", error)
                self._stop.wait(TICK_EVERY)
            except (Exception, pl.exceptions.PanicException) as error:
                self._problems["pipeline"] = f"{type(error).__name__}: {error}"
                log.exception("a tick failed; the next one tries again")
                self._stop.wait(TICK_EVERY)

    def drain(self) -> "Drained":
        """Take what waits in the spool and was not seen yet; the historian is not waited for."""
        now = datetime.now(UTC)
        arrived = self._ingest.take(self.plant, now)
        samples = arrived.samples
        heard = samples.filter(pl.col("quality") < BAD).group_by("equipment").agg(pl.col("received").max())
        with self._lock:
            if not samples.is_empty():
                self._late.take(self._live, samples, now)
                self._heard |= {
                    e: max(at, self._heard.get(e, at)) for e, at in heard.iter_rows() if at is not None
                }
            self._settle(now)
        return Drained(len(arrived.entries), not samples.is_empty() and self._visible(samples), arrived.more)

    def _settle(self, now: datetime) -> None:
        """Store what is different now about closed time. Until that is done nothing more leaves the spool."""
        if self._late.owed and self._storing.trouble is not None:
            return
        try:
            self._late.settle(self._live, now)
        except (HistorianError, RecordsError) as error:
            self._problems["late samples"] = str(error)
            return
        self._problems.pop("late samples", None)
        self._ingest.settle()

    def take_all(self) -> None:
        """Take and store all that waits, in this thread. Raises HistorianError."""
        while self.drain().batches:
            pass
        while self._storing.once(datetime.now(UTC)):
            pass

    def catch_up(self, now: datetime) -> None:
        """Settle what reached the historian without passing here: a restored backup says so in the journal."""
        with self._lock:
            self._late.catch_up(self._live, now)

    def _complete(self) -> None:
        """Derive anew once the history can be read again."""
        if not self._live.problem or self._storing.trouble or time.monotonic() < self._complete_at:
            return
        self._complete_at = time.monotonic() + COMPLETE_EVERY
        now = datetime.now(UTC)
        live = Live(self.plant, self._history, self.database, now)
        if not live.problem:
            log.info("the history can be read again; the figures are complete")
            with self._lock:
                self._live = live
                self._heard = {**self._last_heard(), **self._heard}
            self.catch_up(now)

    def _visible(self, samples: pl.DataFrame) -> bool:
        """Whether the newest states and orders differ from those before the batch."""
        newest = samples.group_by("equipment", "signal", maintain_order=True).last()
        seen = {
            key: (value, text, quality)
            for *key_, value, text, quality in newest.select(
                "equipment", "signal", "value", "text", "quality"
            ).iter_rows()
            if self.plant.signals[key := (key_[0], key_[1])].role in (Role.STATE, Role.ORDER, Role.MATERIAL)
        }
        changed = any(self._shown.get(key) != value for key, value in seen.items())
        self._shown |= seen
        return changed

    def _store(self) -> None:
        self._storing.run(self._stop)

    def _accepted(self, batch: pl.DataFrame) -> pl.DataFrame:
        return accept(batch, self._names.of(self.plant.signals), datetime.now(UTC)).samples

    def _last_heard(self) -> dict[str, datetime]:
        try:
            newest = self._history.last(datetime.now(UTC) + timedelta(minutes=5))
        except HistorianError:
            return {}  # `Live.problem` says so
        heard = newest.filter(pl.col("quality") < BAD).group_by("equipment").agg(pl.col("received").max())
        return dict(heard.iter_rows())

    def _begun_before(self, closed: datetime | None, orders: list[str]) -> pl.DataFrame:
        if closed is None or not orders:
            return empty(LEDGER)
        with self.database.read() as connection:
            return LedgerRows(connection).of_orders(orders)
