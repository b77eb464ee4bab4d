"""Prometheus metrics of a running plant, on the default registry."""

from datetime import datetime

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from dashboards.view import BoardSnapshot


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
        self._counted = (0, 0)

    @classmethod
    def unregistered(cls) -> "Metrics":
        """On a registry of its own: for a second runtime in one process."""
        return cls(CollectorRegistry())

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
