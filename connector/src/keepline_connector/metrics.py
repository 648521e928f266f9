"""What Prometheus reads from a connector: `/metrics` beside its health page, for a collector in the same machine or pod.

What happens is counted where it happens (`LinkMetrics`); what stands is read from the connector at each reading. No label says
which number, session or chat: these are many, and theirs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keepline.domain import link_events as link

# WhatsApp answers a send within 0.1 to 0.5 s; the library gives up after 75.
_ACK_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 75.0)
_LAG_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# How often the loop is asked how late it is.
LAG_INTERVAL_S = 0.5

# The losses of a connection that are counted, by the event that tells of them.
_LOSSES: dict[type[Any], str] = {
    link.Disconnected: "socket_closed",
    link.CellLost: "cell_lost",
    link.LoggedOut: "logged_out",
    link.Banned: "banned",
    link.Outdated: "outdated",
    link.Replaced: "replaced",
    link.LinkFailed: "failed",
}


class LinkMetrics:
    """What the devices' links do, and what cells have told that Firestore does not have yet. Lives in one event loop."""

    def __init__(self, registry: CollectorRegistry, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._unwritten: dict[str, dict[int, float]] = {}  # by device: the number in its journal, and since when
        self._sends = Counter(
            "keepline_sends",
            "Messages that were handed to WhatsApp's library, by result.",
            ("result",),
            registry=registry,
        )
        self._acks = Histogram(
            "keepline_ack_seconds",
            "From handing a message over to WhatsApp's acknowledgement, of those that were sent.",
            buckets=_ACK_BUCKETS_S,
            registry=registry,
        )
        self._attempts = Counter("keepline_connects", "Connections to WhatsApp that were begun.", registry=registry)
        self._logins = Counter("keepline_logins", "Connections that were logged in.", registry=registry)
        self._losses = Counter(
            "keepline_losses", "Connections that were lost, by cause.", ("cause",), registry=registry
        )
        self._rate_signals = Counter(
            "keepline_rate_signals", "How often WhatsApp said that it is too much.", registry=registry
        )
        self._heard = Counter("keepline_messages_heard", "Messages that WhatsApp brought.", registry=registry)

    def sent(self, outcome: link.SendOutcome, took_s: float) -> None:
        """A hand-over has an outcome."""
        self._sends.labels(outcome.result).inc()
        if outcome.result == "sent":
            self._acks.observe(took_s)

    def connecting(self) -> None:
        """An attempt to connect was begun."""
        self._attempts.inc()

    def told(self, device: str, event: link.LinkEvent) -> None:
        """A cell has told of something; what has a number in its journal waits to be written."""
        if isinstance(event, link.Connected):
            self._logins.inc()
        elif isinstance(event, link.RateSignal):
            self._rate_signals.inc()
        elif isinstance(event, link.MessageHeard):
            self._heard.inc()
        elif (cause := _LOSSES.get(type(event))) is not None:
            self._losses.labels(cause).inc()
        seq = getattr(event, "seq", None)
        if seq is not None:
            # One that is told again after a cell's death has waited since the first time.
            self._unwritten.setdefault(device, {}).setdefault(seq, self._monotonic_s())

    def written(self, device: str, seqs: Sequence[int]) -> None:
        """Firestore has these."""
        waiting = self._unwritten.get(device, {})
        for seq in seqs:
            waiting.pop(seq, None)

    def let_go(self, device: str) -> None:
        """The device is somebody else's; so is what its journal has."""
        self._unwritten.pop(device, None)

    def journal_lag(self) -> tuple[int, float]:
        """How many journalled events are not in Firestore, and for how long the oldest has waited."""
        since = [at_s for waiting in tuple(self._unwritten.values()) for at_s in tuple(waiting.values())]
        return len(since), max(0.0, self._monotonic_s() - min(since)) if since else 0.0


class ConnectorMetrics:
    """One connector's. `snapshot` is what the health page shows."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]]) -> None:
        self._registry = CollectorRegistry()
        self.links = LinkMetrics(self._registry)
        self._lag = Histogram(
            "keepline_event_loop_lag_seconds",
            "How late the connector's event loop comes to what is due.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )
        ProcessCollector(namespace="keepline", registry=self._registry)
        self._registry.register(_Standing(snapshot, self.links))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    async def watch_loop(self) -> None:
        """Ask the loop how late it is, until cancelled."""
        while True:
            due_s = time.monotonic() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._lag.observe(max(0.0, time.monotonic() - due_s))


class _Standing(Collector):
    """What stands at the moment of reading."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], links: LinkMetrics) -> None:
        self._snapshot = snapshot
        self._links = links

    def describe(self) -> Iterable[Metric]:
        return []  # Nothing is known when it is registered.

    def collect(self) -> Iterator[Metric]:
        seen = self._snapshot()
        beat_s, egress, cells = seen["last_beat_s"], seen["egress"], seen["cells"]
        age_s = time.monotonic() - beat_s if beat_s is not None else float("inf")
        yield GaugeMetricFamily("keepline_heartbeat_age_seconds", "Since Firestore took the last heartbeat.", age_s)
        yield GaugeMetricFamily("keepline_hangs", "1 while it shows no sign of life.", float(seen["hangs"]))
        yield GaugeMetricFamily("keepline_devices", "Linked devices that it holds.", seen["devices"])
        yield GaugeMetricFamily("keepline_devices_max", "How many it may hold.", seen["devices_max"])
        yield GaugeMetricFamily("keepline_draining", "1 while it gives its devices away.", float(seen["draining"]))
        yield _by(
            "keepline_sessions_opened", "Stored sessions that were opened, by how.", "how", seen["sessions_opened"]
        )
        unwritten, oldest_s = self._links.journal_lag()
        yield GaugeMetricFamily(
            "keepline_journal_unwritten", "Events in journals that Firestore does not have.", unwritten
        )
        yield GaugeMetricFamily("keepline_journal_oldest_seconds", "How long the oldest of them has waited.", oldest_s)
        yield GaugeMetricFamily("keepline_cells", "Processes that hold devices.", len(cells))
        yield GaugeMetricFamily(
            "keepline_cells_memory_bytes", "How much memory they have.", sum(cell["rss_mb"] for cell in cells) * 2**20
        )
        yield CounterMetricFamily("keepline_cells_recycled", "Processes that were replaced.", seen["cells_recycled"])
        yield CounterMetricFamily("keepline_store_commits", "Commits to Firestore.", seen["store"]["commits"])
        yield CounterMetricFamily("keepline_store_documents", "Documents in them.", seen["store"]["documents"])
        yield from _of_egress(egress)


def _of_egress(egress: dict[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily("keepline_egress_connections", "Connections to WhatsApp that stand.", egress["connections"])
    # These are of the cells that live: a cell that is replaced takes its share with it, which to Prometheus is a restart.
    yield CounterMetricFamily("keepline_egress_cut", "Connections that this side has ended.", egress["cut"])
    by_way = {"sent": egress["sent_bytes"], "heard": egress["heard_bytes"]}
    yield _by("keepline_egress_bytes", "Bytes to and from WhatsApp, as TLS carries them.", "way", by_way)
    yield _by(
        "keepline_egress_failed_dials", "Connections that could not be made, by code.", "code", egress["failed_dials"]
    )
    yield GaugeMetricFamily(
        "keepline_egress_round_trip_seconds",
        "The longest round trip of the connections that stand.",
        egress["round_trip_ms_max"] / 1000,
    )
    yield GaugeMetricFamily(
        "keepline_egress_segments", "Segments that the connections that stand have sent.", egress["segments"]
    )
    yield GaugeMetricFamily(
        "keepline_egress_segments_retransmitted",
        "Those of them that were sent again.",
        egress["segments_retransmitted"],
    )


def _by(name: str, words: str, label: str, counts: dict[str, Any]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
