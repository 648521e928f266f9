"""A connector's claim to be alive: how long its holder may act on it, and when others may say that it has run out.

The holder renews `connectors/{id}` once a heartbeat: a counter that moves. Nobody compares clocks. The holder counts its
time from *before* it sent a renewal; an observer counts from when it *saw* that renewal, which is later. So the holder always
stops first, by the safety margin and by whatever the renewal took on its way.

Two rules make this hold whatever is late, lost, asleep or paused:

- An observer's news may be on its way. So who calls a lease expired writes that into the holder's document, on condition that
  it is still the one that was seen (`LeaseWatch.beat`), before doing anything else. A renewal that nobody heard of refuses it.
- A lease that ran out is never held again, also when a late answer says that a renewal had succeeded. The holder acquires a
  new one (a new incarnation), as if it had just started, and asks anew what is its own.

What is assumed: clocks that run at most 1 % wrong, and bytes that leave within what is left of the margin after a check.

A lease says that its holder works, not only that something of it still runs. So what renews it asks for a sign of life of what
does the work (`SignsOfLife`), and lets the lease run out without one: a connector that hangs falls silent, so that others act.
"""

from __future__ import annotations

from dataclasses import dataclass

# 10 % of the TTL. 2 % are eaten by the clocks (one 1 % slow, the other 1 % fast); the rest, 0.24 s for `extreme`, is for what
# happens between asking `holds` and the last byte arriving at WhatsApp (a round trip of 0.1 to 0.2 s at most, in one region).
SAFETY_MARGIN = 0.10
CLOCK_DRIFT_MAX = 0.01
# What the lease is for may be late with its sign of life by this many TTLs. It is late whenever it is busy: a hundred logins on
# a machine that has other things to do hold it up for seconds, and a lease lost then makes a hundred more. What is later than
# twice the time after which a dead connector is replaced is not busy: it hangs, and others act after a third TTL.
SIGN_OF_LIFE_TTLS = 2
# An observer that has not looked for this part of a TTL may be the one that slept, and begins anew.
LOOK_GAP_MAX = 0.5


@dataclass(frozen=True)
class LeaseProfile:
    """The pace of a connector's leases. A shorter TTL finds a dead connector sooner, and costs more writes.

    `keep_alive_s`: how soon WhatsApp is asked for an answer on a connection that is quiet (keep_alive.py).
    """

    name: str
    heartbeat_s: float
    ttl_s: float
    keep_alive_s: float

    @property
    def held_s(self) -> float:
        """How long the holder acts on a renewal, from before it was sent."""
        return self.ttl_s * (1 - SAFETY_MARGIN)

    @property
    def sign_of_life_max_s(self) -> float:
        """How old the last sign of life may be when the lease is renewed."""
        return self.ttl_s * SIGN_OF_LIFE_TTLS

    @property
    def sign_of_life_s(self) -> float:
        """How often there is to be one."""
        return self.heartbeat_s / 2


# Three heartbeats to a TTL: one lost or slow renewal is no failover. One write a second is 2.6 million a month and connector.
# A question every 3.2 s, and up to 1.75 s for its answer, find a silent far end within 5 s. It is 27,000 questions a day for an
# idle device, more than WhatsApp's own clients ask; every 10 s it is 9,000.
EXTREME = LeaseProfile("extreme", heartbeat_s=1.0, ttl_s=3.0, keep_alive_s=3.2)
NORMAL = LeaseProfile("normal", heartbeat_s=5.0, ttl_s=15.0, keep_alive_s=10.0)
PROFILES = {profile.name: profile for profile in (EXTREME, NORMAL)}


class HeldLease:
    """The holder's own view. Times are seconds of a monotonic clock that goes on while the machine is suspended."""

    def __init__(self, profile: LeaseProfile) -> None:
        self._profile = profile
        self._deadline_s: float | None = None
        self.incarnation = 0  # how often it has been acquired; 0: never

    @property
    def deadline_s(self) -> float | None:
        """Until when the holder may act; None when it holds nothing. It may lie in the past."""
        return self._deadline_s

    def acquired(self, sent_at_s: float, now_s: float) -> bool:
        """The write that begins a new incarnation was sent at `sent_at_s` and is durable. False: it took too long, again."""
        self._deadline_s = None
        deadline_s = sent_at_s + self._profile.held_s
        if now_s >= deadline_s:
            return False
        self.incarnation += 1
        self._deadline_s = deadline_s
        return True

    def renewed(self, sent_at_s: float, now_s: float) -> bool:
        """A renewal that was sent at `sent_at_s` is durable. False: it came too late, and the lease is lost."""
        if not self.holds(now_s):
            return False
        assert self._deadline_s is not None
        self._deadline_s = max(self._deadline_s, sent_at_s + self._profile.held_s)
        return True

    def lost(self) -> None:
        """It is given back, or somebody else says that it is over."""
        self._deadline_s = None

    def holds(self, now_s: float) -> bool:
        """Whether the holder may act now. Once this has been False it stays so, until the lease is acquired anew."""
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._deadline_s = None
        return self._deadline_s is not None


class SignsOfLife:
    """Whether what a lease is kept for still works. Times are seconds of the holder's clock."""

    def __init__(self, profile: LeaseProfile) -> None:
        self._profile = profile
        self._seen_at_s: float | None = None

    def seen(self, now_s: float) -> None:
        """It works at this moment."""
        self._seen_at_s = now_s

    def allow_renewal(self, now_s: float) -> bool:
        """Whether there was a sign lately."""
        return self._seen_at_s is not None and now_s - self._seen_at_s <= self._profile.sign_of_life_max_s


class LeaseWatch:
    """An observer's view of another connector. Times are seconds of the observer's own monotonic clock.

    `seen` with every look, whether the counter has moved or not; `expired` after it. Who acts on `expired` must do so on
    condition that `beat` is still what stands in the document.
    """

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self.beat: int | None = None
        self._still_since_s = 0.0
        self._looked_at_s: float | None = None

    def seen(self, beat: int, now_s: float) -> None:
        """The counter stood at `beat` when this was read. Any change counts: a new incarnation may begin at 1 again."""
        self._look(now_s)
        if beat != self.beat:
            self.beat = beat
            self._still_since_s = now_s

    def expired(self, now_s: float) -> bool:
        """Whether the counter has stood still for a whole TTL while this observer was awake and watching."""
        self._look(now_s)
        return self.beat is not None and now_s - self._still_since_s >= self.ttl_s

    def _look(self, now_s: float) -> None:
        last_s, self._looked_at_s = self._looked_at_s, now_s
        if last_s is None or now_s - last_s > self.ttl_s * LOOK_GAP_MAX:
            self._still_since_s = now_s
