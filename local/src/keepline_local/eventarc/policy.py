"""When a failed event is delivered again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RedeliveryPolicy:
    """Eventarc's retries: exponential up to 10 minutes, given up after 24 hours.

    Eventarc waits at least 10 s before the second try; here it is one second, because someone is watching.
    """

    delay_first_s: float = 1.0
    delay_factor: float = 2.0
    delay_max_s: float = 600.0
    lifetime_s: float = 24 * 3600.0

    def delay_s(self, failures: int, age_s: float) -> float | None:
        """Seconds to wait after the `failures`-th failure (1 or more) of an event that came `age_s` ago; None gives it up."""
        exponent = min(failures - 1, 64)  # far past every limit, and short of an overflow
        delay_s = min(self.delay_first_s * self.delay_factor**exponent, self.delay_max_s)
        return delay_s if age_s + delay_s <= self.lifetime_s else None
