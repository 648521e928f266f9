"""How good a device's connection is: a score from 0 to 100, why, and whether that is `poor` for long enough to act on it.

The score starts at 100 and loses points for what is measured, each by the part of the way from its `fine` to its `bad` value:
how long WhatsApp takes to acknowledge a message, the segments that were sent twice, the round trip, and silence while WhatsApp
owes an answer. What is slow because the country is far away costs points, and is not poor by itself: another connection would be
as slow. A connection that is dead or mute is noticed sooner and elsewhere (the kernel, and the cell's watch for stalls).

`poor` begins below 60 after 2 s and ends at 80 after 10 s: a score at a threshold, or one bad moment, must not move anything.
See ADR 18.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class PathSample:
    """What is known of a device's connection at a moment; None is what the kernel does not tell."""

    at_s: float  # of a monotonic clock
    frame_age_ms: int  # since bytes last came from WhatsApp
    silent_ms: int  # since the first bytes to WhatsApp that nothing has come back after; 0 if nothing waits
    round_trip_ms: float | None = None
    sent: int | None = None  # segments with data, since the connection began
    retransmitted: int | None = None  # of them those that were sent again
    unacked_ms: int | None = None  # how long WhatsApp's kernel has owed an acknowledgement; 0 if it owes none
    ack_age_ms: int | None = None  # since WhatsApp's kernel was last heard of
    connection: int = 0  # which one it is of those that the cell has had


POOR_BELOW = 60
GOOD_FROM = 80
POOR_AFTER_S = 2.0
GOOD_AFTER_S = 10.0
# A poor connection is left for a new one, and its device passes the sending on. If that did not help, it is the network or
# WhatsApp: trying again and again would only add its own gaps.
LEAVE_AGAIN_AFTER_S = 300.0


@dataclass(frozen=True)
class Measure:
    """A figure's range: up to `fine` it costs nothing, from `bad` on it costs all its `points`."""

    code: str
    fine: float
    bad: float
    points: int

    def cost(self, value: float) -> float:
        part = (value - self.fine) / (self.bad - self.fine)
        return self.points * min(1.0, max(0.0, part))


# WhatsApp's answer to a message: mostly a round trip and its own work, well under a second; the first one to somebody takes a
# few round trips more. Poor alone from 3 s on: the queue of a busy chat falls behind.
ACK_MS = Measure("slow_acks", 1_000, 4_000, 60)
# Of the segments of the last while, the share in percent that was sent again. A loss now and then is how networks are; poor
# alone from a quarter on, when every message waits for the kernel's timers.
LOSS_PERCENT = Measure("lossy_path", 5, 30, 50)
# Between continents 300 ms is usual. Never poor alone.
ROUND_TRIP_MS = Measure("slow_path", 400, 1_500, 30)
# While an answer is owed. At 1.5 s it is called a stall.
SILENT_MS = Measure("whatsapp_silent", 500, 1_500, 60)

LOSS_WINDOW_S = 10.0
# After this an acknowledgement is forgotten if none follows: what it was like then says little about now.
ACK_MEMORY_S = 30.0
# Fewer are no share of anything.
RETRANSMITTED_MIN = 4
# The newest acknowledgement weighs this much: three slow ones in a row are a trend, one is not, however slow.
ACK_WEIGHT = 0.4


@dataclass(frozen=True)
class Assessment:
    """`score` from 0 to 100. `because` is the code of what costs most, "" for nothing."""

    score: int
    because: str
    is_poor: bool


class LinkQuality:
    """One device's score. Times are seconds of the samples' monotonic clock."""

    def __init__(self) -> None:
        self._connection: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._is_poor = False
        self._crossed_at_s: float | None = None  # since when the score has spoken for the other side
        self._ack_ms = 0.0
        self._acked_at_s = 0.0
        self._counts: list[
            tuple[float, int, int]
        ] = []  # when, and how many segments had been sent, and sent again, by then

    def begin_anew(self) -> None:
        """What was said of the connection does not hold any more, good or bad: it has been silent in between."""
        self._forget()

    def acknowledged(self, latency_ms: float, now_s: float) -> None:
        """WhatsApp has answered a message `latency_ms` after it was handed to the library."""
        self._ack_ms = _smoothed(self._ack_ms_at(now_s), latency_ms)
        self._acked_at_s = now_s

    def assess(self, sample: PathSample, waiting_ms: Iterable[float] = ()) -> Assessment:
        """The assessment after one more sample; samples come in order. One of another connection begins anew.

        `waiting_ms`: for how long each message that is with the library has waited for WhatsApp's answer.
        """
        if sample.connection != self._connection:
            self._connection = sample.connection
            self._forget()
        waits = sorted(waiting_ms)
        owed_ms = waits[-1] if waits else 0.0
        costs = [
            (ACK_MS.cost(self._expected_ack_ms(waits, sample.at_s)), ACK_MS.code),
            (LOSS_PERCENT.cost(self._loss_percent(sample)), LOSS_PERCENT.code),
            (ROUND_TRIP_MS.cost(sample.round_trip_ms or 0.0), ROUND_TRIP_MS.code),
            (SILENT_MS.cost(min(sample.silent_ms, owed_ms)), SILENT_MS.code),
        ]
        score = max(0, round(100 - sum(cost for cost, _ in costs)))
        worst, because = max(costs)
        self._judge(score, sample.at_s)
        return Assessment(score, because if worst >= 1 else "", self._is_poor)

    def _judge(self, score: int, now_s: float) -> None:
        crossed = score >= GOOD_FROM if self._is_poor else score < POOR_BELOW
        if not crossed:
            self._crossed_at_s = None
            return
        if self._crossed_at_s is None:
            self._crossed_at_s = now_s
        if now_s - self._crossed_at_s >= (GOOD_AFTER_S if self._is_poor else POOR_AFTER_S):
            self._is_poor, self._crossed_at_s = not self._is_poor, None

    def _expected_ack_ms(self, waits: Iterable[float], now_s: float) -> float:
        """What the acknowledgements would look like if those that are waited for came now."""
        expected_ms = self._ack_ms_at(now_s)
        for waiting_ms in waits:
            if waiting_ms > expected_ms:
                expected_ms = _smoothed(expected_ms, waiting_ms)
        return expected_ms

    def _ack_ms_at(self, now_s: float) -> float:
        return self._ack_ms if now_s - self._acked_at_s <= ACK_MEMORY_S else 0.0

    def _loss_percent(self, sample: PathSample) -> float:
        if sample.sent is None or sample.retransmitted is None:
            return 0.0
        self._counts.append((sample.at_s, sample.sent, sample.retransmitted))
        # One older than the window stays: it is what the window began with.
        while len(self._counts) > 1 and self._counts[1][0] <= sample.at_s - LOSS_WINDOW_S:
            del self._counts[0]
        _, sent_before, retransmitted_before = self._counts[0]
        retransmitted = sample.retransmitted - retransmitted_before
        if retransmitted < RETRANSMITTED_MIN:
            return 0.0
        # Some kernels count what they send again among what they send, some tell no more than the former.
        return 100 * retransmitted / max(sample.sent - sent_before, retransmitted)


class LeavingPoorConnections:
    """When a poor connection may be left for another: at once, and then not again for some minutes."""

    def __init__(self) -> None:
        self._left_at_s: float | None = None

    def left(self, now_s: float) -> None:
        self._left_at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """How long the next time must wait."""
        return 0.0 if self._left_at_s is None else max(0.0, self._left_at_s + LEAVE_AGAIN_AFTER_S - now_s)


def _smoothed(before_ms: float, latency_ms: float) -> float:
    # Capped, or a single message that WhatsApp never answers would be a trend.
    return before_ms + ACK_WEIGHT * (min(latency_ms, ACK_MS.bad) - before_ms)
