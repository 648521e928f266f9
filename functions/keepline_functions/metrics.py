"""What Prometheus reads: this process's requests, and the installation as its documents have it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keepline.usecases.fleet import FleetView

# An accepted message takes some tens of milliseconds, a wait for a pairing code 8 s; a call ends after 15 s at the latest.
_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class Metrics:
    """One process's. Labels are routes and not addresses: nobody outside can make new ones."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._fleet = _FleetCollector()
        self._lock = threading.Lock()
        ProcessCollector(namespace="keepline", registry=self._registry)
        self._registry.register(self._fleet)
        self._requests = Counter(
            "keepline_http_requests",
            "Requests that this process has answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "keepline_http_request_seconds",
            "How long this process took for them.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self, fleet: FleetView | None) -> bytes:
        """Everything, in Prometheus' text format. `fleet` is None when the store does not answer."""
        with self._lock:
            self._fleet.view = fleet
            return generate_latest(self._registry)


class _FleetCollector(Collector):
    """Gauges that are made anew at each reading: what is gone has none any more."""

    def __init__(self) -> None:
        self.view: FleetView | None = None

    def describe(self) -> Iterable[Metric]:
        return []  # Nothing is known when it is registered.

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("keepline_store_up", "Whether Firestore answers.", float(self.view is not None))
        if self.view is None:
            return
        sessions = GaugeMetricFamily(
            "keepline_sessions", "Sessions by the state that was written last.", labels=["state"]
        )
        for state, count in self.view.sessions.items():
            sessions.add_metric([state.value], count)
        yield sessions
        events = GaugeMetricFamily(
            "keepline_events_last_hour", "What happened in the last hour, by kind.", labels=["kind"]
        )
        for kind, count in self.view.events.items():
            events.add_metric([kind.value], count)
        yield events
        gauges = {
            name: GaugeMetricFamily(f"keepline_connector_{name}", words, labels=["connector", "region"])
            for name, words in _OF_CONNECTOR.items()
        }
        for one in self.view.connectors:
            for name, gauge in gauges.items():
                gauge.add_metric([one.id, one.region], float(getattr(one, _FIELDS.get(name, name))))
        yield from gauges.values()


_OF_CONNECTOR = {
    "heartbeat_age_seconds": "Since its newest heartbeat.",
    "silent": "1 when its lease is over and it has not said that it stops.",
    "stopped": "1 when it has said that it stops.",
    "draining": "1 while it gives its devices away.",
    "capacity": "How many devices it may hold.",
    "devices": "How many it holds.",
    "poor_devices": "How many of them have a poor connection.",
    "held_devices": "How many of them are held back by their pacing.",
    "queued_messages": "Messages that wait with it.",
    "oldest_queued_seconds": "How long the first of them has waited.",
}
_FIELDS = {
    "heartbeat_age_seconds": "beat_age_s",
    "queued_messages": "queued",
    "oldest_queued_seconds": "oldest_queued_s",
}
