"""Prometheus metrics of a running plant, on the default registry."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from collectors.gaps import Gap, gaps
from collectors.spool import Waiting
from dashboards.view import BoardSnapshot, SourceDetail
from infra.sourcemetrics import SourceMetrics


class Metrics:
    """Names follow Prometheus' rules: base units, `_total` on counters."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._stored = Counter("lineside_samples_stored", "Samples in the historian", registry=registry)
        self._rejected = Counter(
            "lineside_samples_rejected", "Samples refused, kept in the dead folder", registry=registry
        )
        self._age = Gauge(
            "lineside_data_age_seconds", "Since something arrived", ["equipment"], registry=registry
        )
        self._oee = Gauge("lineside_oee_ratio", "OEE of the running shift", ["equipment"], registry=registry)
        self._state = Gauge("lineside_machines", "Machines by state", ["state"], registry=registry)
        self._alerts = Gauge(
            "lineside_alerts_active", "Alerts whose condition is still there", registry=registry
        )
        self._batches = Gauge("lineside_spool_batches", "Batches that wait in the spool", registry=registry)
        self._bytes = Gauge("lineside_spool_bytes", "What waits in the spool", registry=registry)
        self._oldest = Gauge(
            "lineside_spool_oldest_age_seconds",
            "Since the oldest waiting batch was written",
            registry=registry,
        )
        self._up = Gauge("lineside_historian_up", "1: samples can be stored, 0: they wait", registry=registry)
        self._gaps = Gauge("lineside_gaps", "Times recorded for which samples are lost", registry=registry)
        self._counted = (0, 0)
        self._registry = registry

    @classmethod
    def unregistered(cls) -> "Metrics":
        """On a registry of its own: for a second runtime in one process."""
        return cls(CollectorRegistry())

    def observe_storing(self, waiting: Waiting, up: bool, now: datetime) -> None:
        """How what is collected gets on its way into the historian."""
        self._batches.set(waiting.batches)
        self._bytes.set(waiting.bytes)
        self._oldest.set((now - waiting.oldest).total_seconds() if waiting.oldest else 0.0)
        self._up.set(up)

    def count_gaps(self, directory: Path) -> None:
        """Count what is recorded below that spool folder whenever somebody asks for the metrics."""

        def count() -> float:
            try:
                return len(gaps(directory))
            except OSError:
                return float("nan")

        self._gaps.set_function(count)

    def follow_sources(
        self, views: Callable[[], Sequence[SourceDetail]], gaps: Callable[[], Sequence[Gap]]
    ) -> None:
        """Say how the sources are whenever somebody asks for the metrics."""
        SourceMetrics(views, gaps, self._registry)

    def observe(self, snapshot: BoardSnapshot, stored: int, rejected: int) -> None:
        """Take the figures of a tick; `stored` and `rejected` are totals since start."""
        self._stored.inc(stored - self._counted[0])
        self._rejected.inc(rejected - self._counted[1])
        self._counted = (stored, rejected)
        now = datetime.fromisoformat(snapshot["time"])
        self._state.clear()
        for machine in snapshot["machines"]:
            self._state.labels(machine["state"]).inc()
            if machine["last_sample"]:
                age = now - datetime.fromisoformat(machine["last_sample"])
                self._age.labels(machine["id"]).set(age.total_seconds())
            if machine["kpi"]["oee"] is not None:
                self._oee.labels(machine["id"]).set(machine["kpi"]["oee"])
        self._alerts.set(len(snapshot["alerts"]))
