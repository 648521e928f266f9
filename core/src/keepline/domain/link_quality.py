"""How good a device's connection is: a score from 0 to 100, what it means, and why, in words for people.

The score starts at 100 and loses points for what is measured, each by the part of the way from its `fine` to its `bad` value:
the round trip, the segments sent twice, how long WhatsApp takes to acknowledge a message, how long its kernel owes an
acknowledgement, and how long nothing has come back after bytes that went up.

Silence alone is never enough: the library's own acknowledgements want no answer. It asks for a probe (`wants_probe`), a question
that WhatsApp must answer, and an unanswered probe is the proof.

`suspect` begins below 60 and ends at 80: a score at a threshold must not switch devices to and fro. `dead` is left by a new
connection, or by bytes that come after all. The shell switches sending to the standby first and reconnects afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class PathSample:
    """What is known of a device's connection at a moment; None is what the kernel does not tell."""

    at_s: float  # of a monotonic clock
    frame_age_ms: int  # since bytes last came from WhatsApp
    silent_ms: int  # since the first bytes to WhatsApp that nothing has come back after; 0 if nothing waits
    round_trip_ms: float | None = None
    retransmitted: int | None = None  # segments, since the connection began
    unacked_ms: int | None = None  # how long WhatsApp's kernel has owed an acknowledgement; 0 if it owes none
    ack_age_ms: int | None = None  # since WhatsApp's kernel was last heard of
    connection: int = 0  # which one it is of those that the cell has had


class Quality(Enum):
    """What to do with a connection."""

    GOOD = "good"  # use it
    SUSPECT = "suspect"  # send through the standby while this one is looked into
    DEAD = "dead"  # cut it and connect again


SUSPECT_BELOW = 60
GOOD_FROM = 80


@dataclass(frozen=True)
class Measure:
    """A figure's range: up to `fine` it costs nothing, from `bad` on it costs all its `points`."""

    code: str
    sentence: str
    fine: float
    bad: float
    points: int

    def cost(self, value: float) -> float:
        part = (value - self.fine) / (self.bad - self.fine)
        return self.points * min(1.0, max(0.0, part))


# Between continents 300 ms is usual; beyond a second people wait for their messages.
ROUND_TRIP_MS = Measure("slow_path", "The way to WhatsApp and back takes long.", 400, 1_500, 30)
# Segments sent twice in the last window; a loss now and then is how networks are.
RETRANSMITTED = Measure("lossy_path", "Much of what is sent to WhatsApp must be sent twice.", 2, 12, 35)
# WhatsApp's answer to a message, smoothed: a round trip and its own work, well under a second. The library waits for 75 s.
ACK_MS = Measure("slow_acks", "WhatsApp takes long to accept messages.", 1_500, 5_000, 45)
# The kernel gives a socket up after 1.5 s of this.
UNACKED_MS = Measure("path_silent", "WhatsApp's side of the network does not answer.", 400, 1_200, 100)
# Not enough for a suspicion alone, and enough together with anything else.
SILENT_MS = Measure("whatsapp_silent", "WhatsApp has been silent since something was sent to it.", 1_500, 5_000, 35)
PROBE_UNANSWERED = "probe_unanswered"

DEAD_UNACKED_MS = 1_200
# The library pings every 20 to 30 s and waits 10 s for the answer: silence for longer has seen a ping that was not answered,
# also when nobody probed.
DEAD_SILENT_MS = 42_000
# Over which retransmissions are counted, and after which a slow acknowledgement is forgotten if none follows.
WINDOW_S = 10.0
# The newest acknowledgement weighs this much: three slow ones in a row are a trend, one is not.
ACK_WEIGHT = 0.4


@dataclass(frozen=True)
class Assessment:
    """`score` from 0 to 100. `because` has the code of what cost most, worst first; `sentence` is for people."""

    quality: Quality
    score: int
    because: tuple[str, ...]
    wants_probe: bool = False  # ask WhatsApp something, as soon as the keep-alive allows

    @property
    def sentence(self) -> str:
        return _SENTENCES[self.because[0]] if self.because else "The connection is good."


_SENTENCES = {
    measure.code: measure.sentence for measure in (ROUND_TRIP_MS, RETRANSMITTED, ACK_MS, UNACKED_MS, SILENT_MS)
}
_SENTENCES[PROBE_UNANSWERED] = "WhatsApp has not answered a question on this connection."


class LinkQuality:
    """One device's score. Times are seconds of the samples' monotonic clock."""

    def __init__(self) -> None:
        self._quality = Quality.GOOD
        self._ack_ms: float | None = None
        self._acked_at_s = 0.0
        self._counts: list[tuple[float, int]] = []  # when, and how many segments had been sent twice by then
        self._mute_since_s: float | None = None  # when a probe went up that was not answered

    def connected(self) -> None:
        """A new connection: what was known of the one before says nothing about it."""
        self._quality, self._ack_ms, self._counts, self._mute_since_s = Quality.GOOD, None, [], None

    def unanswered(self, asked_at_s: float) -> None:
        """A probe that went up at `asked_at_s` has not been answered in its time."""
        self._mute_since_s = asked_at_s

    def acknowledged(self, latency_ms: float, now_s: float) -> None:
        """WhatsApp has acknowledged a message `latency_ms` after it was handed to the library."""
        before_ms = self._ack_ms_at(now_s)
        self._ack_ms = latency_ms if before_ms is None else before_ms + ACK_WEIGHT * (latency_ms - before_ms)
        self._acked_at_s = now_s

    def assess(self, sample: PathSample, waiting_ms: float = 0.0) -> Assessment:
        """The assessment after one more sample; samples come in order.

        `waiting_ms`: for how long the oldest message that is with the library has waited for WhatsApp's acknowledgement.
        """
        heard_at_s = sample.at_s - sample.frame_age_ms / 1000
        if self._mute_since_s is not None and heard_at_s > self._mute_since_s:
            self._mute_since_s = None
        costs = sorted(
            (
                (measure.cost(value), measure.code)
                for measure, value in (
                    (ROUND_TRIP_MS, sample.round_trip_ms),
                    (RETRANSMITTED, self._retransmitted_lately(sample)),
                    (ACK_MS, max(waiting_ms, self._ack_ms_at(sample.at_s) or 0.0)),
                    (UNACKED_MS, sample.unacked_ms),
                    (SILENT_MS, sample.silent_ms),
                )
                if value is not None
            ),
            reverse=True,
        )
        score = max(0, round(100 - sum(cost for cost, _ in costs)))
        because = tuple(code for cost, code in costs if cost >= 1)
        if self._mute_since_s is not None:
            because = (PROBE_UNANSWERED, *because)
        self._quality = self._next(score, sample)
        wants_probe = self._quality is not Quality.DEAD and sample.silent_ms > SILENT_MS.fine
        return Assessment(self._quality, 0 if self._quality is Quality.DEAD else score, because, wants_probe)

    def _next(self, score: int, sample: PathSample) -> Quality:
        unacked_ms = sample.unacked_ms or 0
        if self._mute_since_s is not None or sample.silent_ms >= DEAD_SILENT_MS or unacked_ms >= DEAD_UNACKED_MS:
            return Quality.DEAD
        if self._quality is Quality.DEAD and (sample.silent_ms or unacked_ms):
            return Quality.DEAD
        if self._quality is Quality.GOOD:
            return Quality.SUSPECT if score < SUSPECT_BELOW else Quality.GOOD
        return Quality.GOOD if score >= GOOD_FROM else Quality.SUSPECT

    def _ack_ms_at(self, now_s: float) -> float | None:
        return self._ack_ms if now_s - self._acked_at_s <= WINDOW_S else None

    def _retransmitted_lately(self, sample: PathSample) -> int | None:
        if sample.retransmitted is None:
            return None
        self._counts.append((sample.at_s, sample.retransmitted))
        # One older than the window stays: it is what the window began with.
        while len(self._counts) > 1 and self._counts[1][0] <= sample.at_s - WINDOW_S:
            del self._counts[0]
        return max(0, sample.retransmitted - self._counts[0][1])
