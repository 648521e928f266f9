"""The application's keep-alive: how often to ask WhatsApp itself whether it still answers, when nothing else proves it.

It is an IQ that the server sees, so it is not sent while real traffic is proof enough, and it gives way: a rate signal doubles
the interval, and for 5 minutes nothing is asked at all. After that it creeps back, a tenth with every answered ping.

How soon it may ask is the profile's choice (lease.py: 10 s, or 3.2 s); it never waits longer than 60 s. The library's own ping
comes every 20 to 30 s and is left alone; ours is the shorter one while all is well, because its answer is evidence that we see.
"""

from __future__ import annotations

INTERVAL_S_MAX = 60.0
REST_S = 300.0
_CREEP = 0.9
# Each interval is shortened by up to this part, so that the devices of a connector do not ask in step.
_JITTER = 0.1


class KeepAlive:
    """One device's. Times are seconds of a monotonic clock; `jitter` is uniform in [0, 1)."""

    def __init__(self, interval_s_min: float, now_s: float) -> None:
        self._interval_s_min = interval_s_min
        self.interval_s = interval_s_min
        self._proof_s = now_s
        self._rest_until_s = now_s
        self._shortened = 0.0

    def due_s(self) -> float:
        """When to ask next, if nothing is heard until then."""
        return max(self._proof_s + self.interval_s * (1 - self._shortened), self._rest_until_s)

    def heard(self, now_s: float, jitter: float) -> None:
        """Real traffic came from WhatsApp: nothing to ask for a while."""
        self._proof_s = max(self._proof_s, now_s)
        self._shortened = _JITTER * jitter

    def answered(self, now_s: float, jitter: float) -> None:
        """A ping was answered: the interval creeps back towards its minimum."""
        self.heard(now_s, jitter)
        self.interval_s = max(self._interval_s_min, self.interval_s * _CREEP)

    def rate_signal(self, now_s: float) -> None:
        """WhatsApp says that it is too much (429, or a ban): rest, and be slower afterwards.

        Several signals of one rest are one: they tell of what was sent before it.
        """
        if now_s < self._rest_until_s:
            return
        self.interval_s = min(INTERVAL_S_MAX, self.interval_s * 2)
        self._rest_until_s = now_s + REST_S
