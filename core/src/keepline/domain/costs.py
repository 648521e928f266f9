"""What Keepline costs on Google Cloud: from counted operations and list prices to an estimate. A bill has the last word.

Left out on purpose: what is free (the first operations of each day, the first GiB), taxes, discounts, support, and traffic to
WhatsApp (about 1 KiB a message; an account's keep-alives are 1 to 3 MB a day at $0.12 a GiB).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from keepline.domain.lease import LeaseProfile

DAY_S = 86_400.0
MONTH_DAYS = 30


@dataclass(frozen=True)
class Price:
    """US dollars for `per` units."""

    usd: float
    per: float
    unit: str
    source: str

    def of(self, quantity: float) -> float:
        return quantity / self.per * self.usd


_FIRESTORE = "https://cloud.google.com/firestore/pricing (Standard edition, nam5)"
_CLOUD_RUN = "https://cloud.google.com/run/pricing (tier 1)"
# As the lists stood on this day. A single region of Firestore costs about half of the multi-region that is meant here.
PRICES_OF = "2026-11-22"
PRICES: Mapping[str, Price] = {
    "firestore_reads": Price(0.06, 100_000, "reads", _FIRESTORE),
    "firestore_writes": Price(0.18, 100_000, "writes", _FIRESTORE),
    "firestore_deletes": Price(0.02, 100_000, "deletes", _FIRESTORE),
    "firestore_gib_months": Price(0.18, 1, "GiB months", _FIRESTORE),
    # An instance that is always on, as a worker pool's is.
    "connector_cpu_s": Price(0.000018, 1, "vCPU seconds", _CLOUD_RUN),
    "connector_gib_s": Price(0.000002, 1, "GiB seconds", _CLOUD_RUN),
    # One that is there for a request. A function is one of those.
    "function_cpu_s": Price(0.000024, 1, "vCPU seconds", _CLOUD_RUN),
    "function_gib_s": Price(0.0000025, 1, "GiB seconds", _CLOUD_RUN),
    "function_calls": Price(0.40, 1_000_000, "calls", _CLOUD_RUN),
    "schedules": Price(0.10, 1, "job months", "https://cloud.google.com/scheduler/pricing"),
    "key_operations": Price(0.03, 10_000, "operations", "https://cloud.google.com/kms/pricing"),
}


@dataclass(frozen=True)
class Usage:
    """Quantities by the names of `PRICES`."""

    firestore_reads: float = 0.0
    firestore_writes: float = 0.0
    firestore_deletes: float = 0.0
    firestore_gib_months: float = 0.0
    connector_cpu_s: float = 0.0
    connector_gib_s: float = 0.0
    function_cpu_s: float = 0.0
    function_gib_s: float = 0.0
    function_calls: float = 0.0
    schedules: float = 0.0
    key_operations: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def times(self, factor: float) -> Usage:
        return Usage(*(getattr(self, one.name) * factor for one in fields(self)))


@dataclass(frozen=True)
class Part:
    """One line of an estimate."""

    name: str
    quantity: float
    unit: str
    usd: float


def estimate(usage: Usage) -> list[Part]:
    """The lines that cost anything, the dearest first."""
    parts = [
        Part(name, quantity, price.unit, price.of(quantity))
        for name, price in PRICES.items()
        if (quantity := getattr(usage, name)) > 0
    ]
    return sorted(parts, key=lambda part: -part.usd)


def total_usd(usage: Usage) -> float:
    return sum(part.usd for part in estimate(usage))


@dataclass(frozen=True)
class PerMessage:
    """What one message costs, as it was counted. `bench/accept_to_wire.py` counts the writes of those that are sent
    (docs/reliability.md, "What a message costs"); reads, calls and times are counted in the code and are named below."""

    writes: float
    reads: float
    journal_bytes: float
    calls: float
    cpu_s: float


# One at a time, in a queue that is empty: what nearly every account looks like. Its writes are 6 documents, of which accepting
# it is two. It is read twice while it is accepted (an earlier one with its key, its session), once by the connector's listener
# and once for each of its four changes by the trigger. Calls: the API's and four of the trigger. Times: 1.3 ms for the API
# (docs/performance.md) and as much for each call of the trigger; instances have one vCPU, and other calls share it.
SENT = PerMessage(writes=6.0, reads=7.0, journal_bytes=1_400.0, calls=5.0, cpu_s=0.0065)
# Written once with its segment of the session, and read by the trigger. A receipt for its sender changes nothing in Firestore.
RECEIVED = PerMessage(writes=2.0, reads=1.0, journal_bytes=700.0, calls=1.0, cpu_s=0.0013)
# Its place in a lane and in the deliveries, what became of it; the lane is taken and left.
DELIVERED_TO_WEBHOOK = PerMessage(writes=4.0, reads=4.0, journal_bytes=1_500.0, calls=1.0, cpu_s=0.002)
# A function's memory, for as long as it computes.
_FUNCTION_GIB = 0.5


def messages(sent: float, received: float, to_webhooks: float) -> Usage:
    """What messages cost, beside what is there without any."""
    return (
        _of_messages(SENT).times(sent)
        + _of_messages(RECEIVED).times(received)
        + _of_messages(DELIVERED_TO_WEBHOOK).times(to_webhooks)
    )


def _of_messages(one: PerMessage) -> Usage:
    return Usage(
        firestore_reads=one.reads,
        firestore_writes=one.writes,
        function_calls=one.calls,
        function_cpu_s=one.cpu_s,
        function_gib_s=one.cpu_s * _FUNCTION_GIB,
    )


DEVICES_PER_CONNECTOR = 200
CONNECTORS_MIN = 2
# A connector's vCPU. Its memory: 120 MB for each process of 50 devices, 12 MB for each device, and the supervisor.
_CONNECTOR_CPU = 1.0
_PROCESS_MB, _DEVICE_MB, _SUPERVISOR_MB = 120, 12, 150
_DEVICES_PER_PROCESS = 50


@dataclass(frozen=True)
class Fleet:
    """An installation: how many accounts with how many linked devices, and how many connectors hold them."""

    accounts: int
    devices: int
    connectors: int
    profile: LeaseProfile

    @property
    def gib(self) -> float:
        """The memory of one connector with its share of the devices."""
        held = math.ceil(self.devices / max(1, self.connectors))
        processes = math.ceil(held / _DEVICES_PER_PROCESS)
        return max(0.5, (_PROCESS_MB * processes + _DEVICE_MB * held + _SUPERVISOR_MB) / 1024)


def sized(accounts: int, profile: LeaseProfile, *, standby: bool) -> Fleet:
    """An installation of this size, as docs/operations.md wants it: with standbys each region has room for what the other one
    loses, which is twice what is needed on a good day."""
    devices = accounts * (2 if standby else 1)
    places = devices * (2 if standby else 1)
    return Fleet(accounts, devices, max(CONNECTORS_MIN, math.ceil(places / DEVICES_PER_CONNECTOR)), profile)


# What the rounds of a minute read without finding anything, and write of what they watch.
_ROUND_READS, _ROUND_WRITES = 60.0, 6.0
_ROUNDS_OF_A_DAY = 1_440
_SCHEDULES = 3
# The uptime checks loop inside of their minute, and mostly wait: their instance, a third of a vCPU, is there all day
# (infra/functions.json).
_WATCH_CPU = 0.333


def day_without_messages(fleet: Fleet) -> Usage:
    """A day of an installation in which nobody writes.

    Heartbeats are most of it: every connector writes one and reads everybody's. So the reads rise with the square of the
    connectors, and large installations choose the calmer profile.
    """
    beats = DAY_S / fleet.profile.heartbeat_s * fleet.connectors
    return Usage(
        firestore_reads=beats * fleet.connectors + _ROUNDS_OF_A_DAY * _ROUND_READS,
        firestore_writes=beats + _ROUNDS_OF_A_DAY * _ROUND_WRITES,
        connector_cpu_s=DAY_S * _CONNECTOR_CPU * fleet.connectors,
        connector_gib_s=DAY_S * fleet.gib * fleet.connectors,
        function_cpu_s=DAY_S * _WATCH_CPU,
        function_gib_s=DAY_S * _FUNCTION_GIB,
        function_calls=_ROUNDS_OF_A_DAY * _SCHEDULES,
        schedules=_SCHEDULES / MONTH_DAYS,
        key_operations=fleet.devices * 2.0,
    )


def account_month_usd(fleet: Fleet, sent_per_day: float, received_per_day: float, to_webhooks_per_day: float) -> float:
    """What one account of an installation costs a month, its share of what all have in common included."""
    of_messages = messages(sent_per_day, received_per_day, to_webhooks_per_day)
    day = of_messages + day_without_messages(fleet).times(1 / fleet.accounts)
    stored_gib = (sent_per_day * SENT.journal_bytes + received_per_day * RECEIVED.journal_bytes) * MONTH_DAYS / 2**30
    return total_usd(day.times(MONTH_DAYS) + Usage(firestore_gib_months=stored_gib))
