"""What becomes of a delivery after a try: when it is tried again, when it is given up, and when its endpoint has to rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum

# The pauses before the second try, the third and so on, in seconds; the last one repeats. Standard Webhooks' example has the same
# beginning and end; in between there are more tries.
PAUSES_S: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0)
# A pause is up to so much longer, by chance, so that what failed together is not tried together.
JITTER = 0.2
# An event is given up once it has waited this long while its endpoint failed.
GIVEN_UP_AFTER_S = 26 * 3600.0
# The longest that a `Retry-After` holds an endpoint's events back.
RETRY_AFTER_S_MAX = 3_600.0

FAILURES_BEFORE_REST = 10
REST_FIRST_S = 30.0
REST_MAX_S = 600.0
# Longer than one try takes: whoever probes has said so by then.
PROBE_S = 30.0


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"  # Waits for its turn, or for its next try.
    DELIVERED = "delivered"  # The receiver answered 2xx.
    DEAD = "dead"  # Given up; a person may replay it.


class Verdict(Enum):
    """What an answer means."""

    DELIVERED = "the receiver has it"
    FAILED = "it may go better later"
    GONE = "the receiver wants no more of these"


def judge(status: int | None) -> Verdict:
    """`status` is None where there was no answer. A redirect is a failure: an endpoint is what its owner has named."""
    if status is not None and 200 <= status < 300:
        return Verdict.DELIVERED
    return Verdict.GONE if status == 410 else Verdict.FAILED


def pause_s(failures: int, jitter: float, retry_after_s: float | None = None) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1 or more); `jitter` is drawn from 0 to 1."""
    own_s = PAUSES_S[min(failures, len(PAUSES_S)) - 1] * (1 + JITTER * jitter)
    return max(own_s, min(retry_after_s or 0.0, RETRY_AFTER_S_MAX))


def is_given_up(queued_at: datetime, failing_since: datetime | None, now: datetime) -> bool:
    """Whether an event has waited its whole time while its endpoint failed.

    The time before the first failure does not count: it was ours, or a queue's.
    """
    if failing_since is None:
        return False
    return now - max(queued_at, failing_since) >= timedelta(seconds=GIVEN_UP_AFTER_S)


@dataclass(frozen=True)
class Breaker:
    """Of one endpoint, over all chats: after many failures in a row it rests, and then one event at a time probes it.

    `opened_at` and `rests_until` are None while it is closed.
    """

    failures: int = 0
    opened_at: datetime | None = None
    rests_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None

    def is_resting(self, now: datetime) -> bool:
        """Whether nothing may be tried now."""
        return self.rests_until is not None and now < self.rests_until

    def probing(self, now: datetime) -> Breaker:
        """While somebody probes, all others wait."""
        return replace(self, rests_until=now + timedelta(seconds=PROBE_S))

    def failed(self, now: datetime, jitter: float) -> Breaker:
        """After one more failure; `jitter` is drawn from 0 to 1."""
        failures = self.failures + 1
        if failures < FAILURES_BEFORE_REST:
            return Breaker(failures)
        doublings = min(failures - FAILURES_BEFORE_REST, 16)  # far past the limit, and short of an overflow
        rest_s = min(REST_FIRST_S * 2**doublings, REST_MAX_S) * (1 + JITTER * jitter)
        return Breaker(failures, self.opened_at or now, now + timedelta(seconds=rest_s))
