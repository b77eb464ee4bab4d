"""Prometheus metrics of the sources, made from what the collectors say whenever somebody asks."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collectors.gaps import Gap
from dashboards.view import SignalView, SourceDetail

MOST_SIGNALS = 10_000
"""With more signals than this, none has series of its own: each takes two."""


class SourceMetrics(Collector):
    """`lineside_source_*` per source, `lineside_signal_*` per signal."""

    def __init__(
        self,
        views: Callable[[], Sequence[SourceDetail]],
        gaps: Callable[[], Sequence[Gap]],
        registry: CollectorRegistry,
    ) -> None:
        self._views, self._gaps = views, gaps
        registry.register(self)

    def describe(self) -> Sequence[Metric]:
        """None in advance: registering must not ask for the sources."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All series as of the last look."""
        views = self._views()
        yield from _sources(views, self._gaps())
        signals = sum(view["signals"] for view in views)
        left = GaugeMetricFamily(
            "lineside_signals_without_series", "Signals that are too many for series of their own"
        )
        left.add_metric([], signals if signals > MOST_SIGNALS else 0)
        yield left
        if signals <= MOST_SIGNALS:
            yield from _signals(views, datetime.now(UTC))


def _sources(views: Sequence[SourceDetail], gaps: Sequence[Gap]) -> Iterator[Metric]:
    connected = GaugeMetricFamily(
        "lineside_source_connected",
        "1: connected, 0: away or its collector is silent",
        labels=["source", "protocol"],
    )
    lag = GaugeMetricFamily(
        "lineside_source_lag_seconds", "Age of the newest sample when it came", labels=["source"]
    )
    bad = GaugeMetricFamily("lineside_source_bad_signals", "Signals without a value", labels=["source"])
    silent = GaugeMetricFamily(
        "lineside_source_silent_signals", "Signals nothing comes from", labels=["source"]
    )
    samples = CounterMetricFamily("lineside_source_samples", "Samples taken and on disk", labels=["source"])
    overruns = CounterMetricFamily(
        "lineside_source_overruns", "Polls left out because an earlier one took too long", labels=["source"]
    )
    overflows = CounterMetricFamily(
        "lineside_source_overflows",
        "Times the source dropped values before they were taken",
        labels=["source"],
    )
    lost = CounterMetricFamily(
        "lineside_source_gaps", "Times for which samples are lost for good", labels=["source"]
    )
    counted: dict[str, int] = {}
    for gap in gaps:
        counted[gap.source] = counted.get(gap.source, 0) + 1
    for view in views:
        label = [view["id"]]
        connected.add_metric([*label, view["protocol"]], float(view["connected"]))
        bad.add_metric(label, view["counts"]["bad"])
        silent.add_metric(label, view["counts"]["silent"])
        samples.add_metric(label, view["samples"])
        overruns.add_metric(label, view["overruns"])
        overflows.add_metric(label, view["overflows"])
        lost.add_metric(label, counted.get(view["id"], 0))
        if view["connected"] and view["lag"] is not None:
            lag.add_metric(label, view["lag"])
    yield from (connected, lag, bad, silent, samples, overruns, overflows, lost)


def _signals(views: Sequence[SourceDetail], now: datetime) -> Iterator[Metric]:
    labels = ["source", "equipment", "signal"]
    age = GaugeMetricFamily("lineside_signal_age_seconds", "Since its newest sample came", labels=labels)
    quality = GaugeMetricFamily(
        "lineside_signal_quality", "Of what it gives now: 0 good, 1 uncertain, 2 no value", labels=labels
    )
    for view in views:
        for signal in view["signal_list"]:
            values = [view["id"], signal["equipment"], signal["signal"]]
            if signal["received"] is not None:
                received = datetime.fromisoformat(signal["received"])
                age.add_metric(values, (now - received).total_seconds())
            quality.add_metric(values, _quality(signal))
    yield from (age, quality)


def _quality(signal: SignalView) -> int:
    return {"ok": 0, "uncertain": 1}.get(signal["state"], 2)
