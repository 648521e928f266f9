"""How many messages of a session may wait, and how often they must be counted to hold that. See ADR 31."""

from __future__ import annotations

from dataclasses import dataclass

from keepline.domain.rate_limits import Limit

# Room for a large mailing. The cap is there for the program that has gone wild: whatever waits is a promise, and costs money.
QUEUED_MAX = 10_000
# Far from the cap a count is good for this long, whatever the user's limit. Near it every message is counted for.
COUNT_GOOD_FOR_S = 5.0
# And for up to this long while the user's limit lets nobody fill the queue: what a person changes by hand is noticed at last.
COUNT_GOOD_FOR_S_MAX = 600.0
# From here on it is near: to get from here to the cap within that time, a session would have to accept 1,000 messages a second.
NEAR_THE_CAP = QUEUED_MAX // 2


@dataclass(frozen=True)
class Counted:
    """How many messages waited at a time of a monotonic clock, with those accepted since by whoever remembers this."""

    queued: int
    at_s: float

    def is_good(self, now_s: float, limit: Limit) -> bool:
        """Whether this is new enough, and far enough from the cap, to accept one more message without counting again.

        `limit` is the user's, which holds over all instances: it says how many may have been queued since by anybody.
        """
        age_s = now_s - self.at_s
        if self.queued >= NEAR_THE_CAP or age_s > COUNT_GOOD_FOR_S_MAX:
            return False
        return age_s <= COUNT_GOOD_FOR_S or self.queued + limit.burst + age_s / limit.interval_s < QUEUED_MAX

    def has_room(self) -> bool:
        """Whether one more message fits."""
        return self.queued < QUEUED_MAX
