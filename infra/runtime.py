"""A running plant: everything wired together, and the loop that turns arrivals into what people see.

One thread ticks (drain the spool, fold, alerts, snapshot), one delivers messages, the scheduler has its own,
and the web server asks from its workers. `_lock` guards the live facts; nothing slow happens under it.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from alerting.channels import discover
from alerting.dispatch import Dispatcher
from alerting.engine import Engine
from alerting.lifecycle import Outcome
from analytics.forecast import edges as forecast_edges
from collectors.spool import Entry, Spool
from dashboards.live import Broadcast
from dashboards.snapshot import STRIP, Inputs, build
from dashboards.view import BoardSnapshot, OrderView
from infra.alertviews import alert_view
from infra.folder import DataFolder
from infra.ingest import Ingest
from infra.live import Live
from infra.metrics import Metrics
from infra.orderbook import OrderBook
from infra.plantfile import with_secrets
from infra.records.alerts import SqlAlerts
from infra.records.arrivals import Arrivals
from infra.records.database import RecordsError, upgrade
from infra.records.ledger import LedgerRows
from infra.shifts import period, running, shift_view
from infra.statuses import machine_statuses
from infra.stores import open_database, open_historian
from pipelines.ports import HistorianError
from plant.frames import BAD, LEDGER, Window, empty
from plant.model import Plant, Role

log = logging.getLogger(__name__)

DRAIN_EVERY = 0.2
"""Seconds between two looks into the spool."""
TICK_EVERY = 1.0
"""Seconds between two snapshots when nothing changes state."""


class Runtime:
    """Owns the stores, the live derivation and the threads of one plant."""

    def __init__(
        self, plant: Plant, folder: DataFolder, base_url: str, metrics: Metrics | None = None
    ) -> None:
        self.plant = with_secrets(plant)
        self.historian = open_historian(self.plant, folder)
        self.database = open_database(self.plant, folder)
        upgrade(self.database)
        self.alerts = SqlAlerts(self.database)
        self.broadcast = Broadcast()
        self.metrics = metrics or Metrics()
        self._engine = Engine(self.plant, self.alerts, base_url)
        self._spool = Spool(folder.spool)
        self._ingest = Ingest(self._spool, self.historian, self._journal, folder.dead)
        self._dispatcher = Dispatcher(
            self.alerts,
            {c.id: discover()[c.kind].create(c) for c in self.plant.channels.values()},
            lambda: datetime.now(UTC),
        )
        self._lock = threading.RLock()
        self._live = Live(self.plant, self.historian, self.database, datetime.now(UTC))
        self._heard = self._last_heard()
        self._shown: dict[tuple[str, str], tuple[float | None, str | None, int]] = {}
        self._orders: list[OrderView] = []
        self._snapshot: BoardSnapshot | None = None
        self._problems: dict[str, str] = {}
        self._owed: list[pl.DataFrame] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Catch up, make the first snapshot and start the threads."""
        self._catch_up(datetime.now(UTC))
        self._drain()
        self.tick(datetime.now(UTC))
        for name, target in (("tick", self._loop), ("deliver", self._deliver)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and let go of the stores."""
        self._stop.set()
        self.broadcast.close()
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

    def ledger(self, window: Window, now: datetime, edges: Iterable[datetime] = ()) -> pl.DataFrame:
        """`plant.frames.LEDGER` of a window, derived; cut at `edges` too."""
        with self._lock:
            return self._live.ledger(window, now, edges)

    def remembered_since(self) -> datetime:
        """How far back the live derivation reaches."""
        return self._live.since

    def restate(self, equipment: str, window: Window, now: datetime) -> None:
        """Something said about that time has changed: stored rows and the board follow."""
        with self._lock:
            self._live.restate(equipment, window, now)
        self.tick(now)

    def replace_plant(self, plant: Plant) -> None:
        """Go on with another plant file: recent time is derived again with it. Channels stay as they were at start."""
        plant = with_secrets(plant)
        with self._lock:
            self._live = Live(plant, self.historian, self.database, datetime.now(UTC))
            self.plant = self._engine.plant = plant
        self.tick(datetime.now(UTC))

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
        stored = self.historian.health()
        parts: dict[str, dict[str, object]] = {"historian": {"ok": stored.ok, "detail": stored.detail}}
        for part in ("pipeline", "plant file", "collectors"):
            problem = self._problems.get(part)
            parts[part] = {"ok": problem is None, "detail": problem or "working"}
        parts["spool"] = {"ok": True, "detail": f"{len(self._spool.pending())} batches wait"}
        return {"ok": all(part["ok"] for part in parts.values()), **parts}

    def tick(self, now: datetime) -> None:
        """Alerts and snapshot as of now."""
        plant = self.plant
        shift = running(plant, now)
        span = period(plant, now)
        with self._lock:
            closed = self._closed_until()
            start = min(span.start, now - STRIP, closed or self._live.since)
            start = max(start, self._live.since)
            cuts = [span.start, now - STRIP, *([closed] if closed else []), *forecast_edges(now)]
            rows = self._live.ledger(Window(start, now), now, cuts)
            jobs = self._live.orders()
            begun = self._begun_before(closed, [job.id for job in jobs])
            book = OrderBook(
                plant, jobs, pl.concat([begun, rows.filter(pl.col("start") >= (closed or start))]), now
            )
            self._engine.tick(machine_statuses(rows, self._heard, now), book.contexts(), now)
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
                    strip=rows.filter(pl.col("start") >= now - STRIP),
                    heard=self._heard,
                    orders=book.of_machines(),
                    alerts=active,
                )
            )
            self.broadcast.publish(self._snapshot)
        self.metrics.observe(self._snapshot, self._ingest.stored, self._ingest.rejected)

    def _loop(self) -> None:
        ticked = 0.0
        while not self._stop.wait(DRAIN_EVERY):
            try:
                moved = self._drain()
                if moved or time.monotonic() - ticked >= TICK_EVERY:
                    self.tick(datetime.now(UTC))
                    ticked = time.monotonic()
                self._problems.pop("pipeline", None)
            except (HistorianError, RecordsError) as error:
                self._problems["pipeline"] = str(error)
                log.error("samples wait in the spool: %s", error)
                self._stop.wait(TICK_EVERY)
            except Exception as error:
                self._problems["pipeline"] = f"{type(error).__name__}: {error}"
                log.exception("a tick failed; the next one tries again")
                self._stop.wait(TICK_EVERY)

    def _drain(self) -> bool:
        """Take what waits in the spool. Whether a machine changed its state or order, which the board shows at once."""
        now = datetime.now(UTC)
        samples = self._ingest.drain(self.plant, now)
        if samples.is_empty() and not self._owed:
            return False
        heard = samples.filter(pl.col("quality") < BAD).group_by("equipment").agg(pl.col("received").max())
        with self._lock:
            if not samples.is_empty():
                self._owed.append(self._live.accept(samples))
            self._heard |= {
                e: max(at, self._heard.get(e, at)) for e, at in heard.iter_rows() if at is not None
            }
            # When the records cannot be written now, the next drain owes it still.
            self._restate_closed(pl.concat(self._owed), now)
            self._forget_arrivals()
            self._owed.clear()
        return self._visible(samples)

    def _catch_up(self, now: datetime) -> None:
        """What the journal still holds was stored when the last run ended, and may not have reached closed shifts."""
        while True:
            with self.database.read() as connection:
                left = Arrivals(connection).after(0)
            if left.is_empty():
                return
            with self._lock:
                self._restate_closed(left.select("equipment", "earliest", "latest"), now)
            with self.database.begin() as connection:
                Arrivals(connection).forget(left["seq"][-1])

    def _restate_closed(self, spans: pl.DataFrame, now: datetime) -> None:
        """Derive stored ledger rows again where spans (equipment, earliest, latest) of samples reach into them."""
        closed = self._closed_until()
        for equipment, earliest, latest in spans.iter_rows():
            if closed is not None and earliest < closed and equipment in self.plant.equipment:
                self._live.restate(equipment, Window(earliest, latest + timedelta(microseconds=1)), now)

    def _forget_arrivals(self) -> None:
        with self.database.begin() as connection:
            journal = Arrivals(connection)
            journal.forget(journal.last())

    def _visible(self, samples: pl.DataFrame) -> bool:
        """Whether the newest states and orders differ from those before the batch."""
        newest = samples.group_by("equipment", "signal", maintain_order=True).last()
        seen = {
            key: (value, text, quality)
            for *key_, value, text, quality in newest.select(
                "equipment", "signal", "value", "text", "quality"
            ).iter_rows()
            if self.plant.signals[key := (key_[0], key_[1])].role in (Role.STATE, Role.ORDER)
        }
        changed = any(self._shown.get(key) != value for key, value in seen.items())
        self._shown |= seen
        return changed

    def _deliver(self) -> None:
        self._dispatcher.run(self._stop)

    def _journal(self, entry: Entry, batch: pl.DataFrame) -> None:
        spans = batch.group_by("equipment").agg(earliest=pl.col("time").min(), latest=pl.col("time").max())
        known = spans.filter(pl.col("equipment").is_not_null(), pl.col("earliest").is_not_null())
        with self.database.begin() as connection:
            Arrivals(connection).append(entry.collector, entry.sequence, known.iter_rows())

    def _last_heard(self) -> dict[str, datetime]:
        newest = self.historian.last(datetime.now(UTC) + timedelta(minutes=5))
        heard = newest.filter(pl.col("quality") < BAD).group_by("equipment").agg(pl.col("received").max())
        return dict(heard.iter_rows())

    def _closed_until(self) -> datetime | None:
        with self.database.read() as connection:
            stored = LedgerRows(connection).span()
        return stored.end if stored else None

    def _begun_before(self, closed: datetime | None, orders: list[str]) -> pl.DataFrame:
        if closed is None or not orders:
            return empty(LEDGER)
        with self.database.read() as connection:
            return LedgerRows(connection).of_orders(orders)
