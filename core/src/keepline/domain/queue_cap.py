"""How many messages of a session may wait, and how often they must be counted to hold that."""

from __future__ import annotations

from dataclasses import dataclass

# Room for a large mailing. The cap is there for the program that has gone wild: whatever waits is a promise, and costs money.
QUEUED_MAX = 10_000
# Far from the cap a count is good for this long. Near it every message is counted for.
COUNT_GOOD_FOR_S = 5.0
# From here on it is near: to get from here to the cap within that time, a session would have to accept 1,000 messages a second.
NEAR_THE_CAP = QUEUED_MAX // 2


@dataclass(frozen=True)
class Counted:
    """How many messages waited at a time of a monotonic clock, with those accepted since by whoever remembers this."""

    queued: int
    at_s: float

    def is_good(self, now_s: float) -> bool:
        """Whether this is new enough, and far enough from the cap, to accept one more message without counting again."""
        return self.queued < NEAR_THE_CAP and now_s - self.at_s <= COUNT_GOOD_FOR_S

    def has_room(self) -> bool:
        """Whether one more message fits."""
        return self.queued < QUEUED_MAX
