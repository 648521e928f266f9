"""When to connect again, in words:

- A loss is transient or permanent by its cause. A permanent one (logged out, banned, outdated, replaced) is never tried again by
  itself: a person must do something, or a ban must end.
- The first try after a connection that had stood is made at once: most resets are nothing. Then pauses grow,
  min(1 s x 1.5^(n-1), 60 s), each with jitter, so that a fleet does not come back in step.
- After 5 failed tries the breaker opens and people are told. Slow probes go on: a probe is the half-open breaker's one try. Half
  a minute bounds how late the end of an outage is noticed; after some minutes of it they slow down to once a minute.
- What WhatsApp says about when to come back (a ban's end, a rate limit) is obeyed, also by people who ask for a try.
- At most one attempt is under way. An attempt has a time limit, and a try that the library makes by itself is an attempt too.

Behind the table is what the client was seen to do when things fail (TCP abort: the library is back in 0.01 s by itself; a failed
first connect or an unmapped login failure is not tried again by it; 401, 402, 405 and `replaced` end it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

BACK_OFF_BASE_S = 1.0
BACK_OFF_FACTOR = 1.5
BACK_OFF_MAX_S = 60.0

TRIES_BEFORE_OPEN = 5
# With its jitter 12 to 24 s apart: an outage's end is noticed, and the connection made, within half a minute.
PROBE_INTERVAL_S = 24.0
# About 9 minutes of them. Whatever lasts longer is no hiccup, and a login a minute is little enough for days.
PROBES_EAGER = 30
# A connection that stood for less is a failed try in disguise: its end does not begin the count anew.
STABLE_AFTER_S = 30.0
# One that fell within this after its login, for the second time, is not left to the library: that would be back at once, for
# ever.
FLAPPING_S = 5.0
# WhatsApp logs a client in within a second or two. The library gives its dial and handshake 20 s and more.
ATTEMPT_LIMIT_S = 30.0
# How long the library may try by itself before a new client is made in its place. Its first try takes 10 ms, its second comes
# after 2 s, and then it slows down without a limit or jitter.
LIBRARY_LIMIT_S = 3.0
# Other devices of the connector have got through: how far the others' tries are spread. 100 devices make 10 tries a second.
REACHED_SPREAD_S = 10.0
# A login that WhatsApp refuses and names in no way that the library knows: 429 is among them, and trying sooner is what that
# complains about.
REFUSED_WAIT_S = 60.0
# A device that was replaced waits this long: whoever did it may be its own earlier holder, which is falling silent.
REPLACED_WAIT_S = 1.0


class Kind(Enum):
    """What a cause means for trying again."""

    LIBRARY = "library"  # the library is trying by itself at this moment; ours is the second try
    TRANSIENT = "transient"  # nobody tries but us
    PERMANENT = "permanent"  # not before a person asks, or the time is over that WhatsApp gave


@dataclass(frozen=True)
class Cause:
    """Why a connection is lost or an attempt failed."""

    kind: Kind
    wait_s_min: float = 0.0


# By the codes of session reasons, and two that only the runner of a device can tell.
CAUSES = {
    "socket_closed": Cause(Kind.LIBRARY),
    "no_answer": Cause(Kind.TRANSIENT),  # the library notices after minutes; the socket is cut by us
    "attempt_timed_out": Cause(Kind.TRANSIENT),
    "unreachable": Cause(Kind.TRANSIENT),
    "proxy_unreachable": Cause(Kind.TRANSIENT),
    "proxy_login": Cause(Kind.TRANSIENT),
    "proxy_refused": Cause(Kind.TRANSIENT),
    "proxy_not_allowed": Cause(Kind.TRANSIENT),  # its name may lead elsewhere the next time
    "login_refused": Cause(Kind.TRANSIENT, wait_s_min=REFUSED_WAIT_S),
    "cell_lost": Cause(Kind.TRANSIENT),
    "replaced_once": Cause(Kind.TRANSIENT, wait_s_min=REPLACED_WAIT_S),
    "banned": Cause(Kind.PERMANENT),
    "logged_out": Cause(Kind.PERMANENT),
    "outdated": Cause(Kind.PERMANENT),
    "replaced": Cause(Kind.PERMANENT),
    "pairing_timed_out": Cause(Kind.PERMANENT),
}
# What we do not know is not tried blindly.
UNKNOWN = Cause(Kind.PERMANENT)


class Breaker(Enum):
    """Whether trying is worth its cost. Tries move it, nobody else."""

    CLOSED = "closed"  # fast tries
    OPEN = "open"  # too many failed: it waits for the next probe
    HALF_OPEN = "half_open"  # a probe is under way, or its connection has yet to prove itself


class Loss(Enum):
    """What a loss led to, for those who tell people."""

    RETRYING = "retrying"
    OPENED = "opened"  # the breaker has just opened: an alert is due
    STOPPED = "stopped"  # nothing more happens by itself


def back_off_s(failures: int, jitter: float) -> float:
    """Seconds to wait after `failures` failed tries in a row (1 for the first). `jitter` is uniform in [0, 1).

    The pause lies between half and the whole of min(base x 1.5^(n-1), 60 s): spread enough that a fleet does not come back
    in step, never so short that it is no pause.
    """
    exponent = min(failures - 1, 32)  # Beyond it the maximum holds, and the power would only overflow.
    ceiling_s = min(BACK_OFF_BASE_S * BACK_OFF_FACTOR**exponent, BACK_OFF_MAX_S)
    return ceiling_s * (0.5 + jitter / 2)


class Reconnecting:
    """One device's tries. Times are seconds of a monotonic clock; `jitter` is uniform in [0, 1).

    The shell calls `begin` when `due_s` has come, makes the attempt if it says so, and reports `connected` or `lost`.
    """

    def __init__(self, now_s: float) -> None:
        self.failures = 0  # failed tries in a row; a connection that stood begins anew
        self.cause: str | None = None  # of the last loss
        self._due_s: float | None = now_s
        self._attempt_until_s: float | None = None
        self._connected_at_s: float | None = None
        self._not_before_s = -math.inf  # what WhatsApp said
        self._tried_at_once = False  # since a connection last stood
        self._brought_forward = False

    @property
    def proven_s(self) -> float | None:
        """When a connection that came after failures will have stood long enough to begin anew; None when there is none such."""
        return None if self._connected_at_s is None or not self.failures else self._connected_at_s + STABLE_AFTER_S

    @property
    def due_s(self) -> float | None:
        """When to call `begin` next: for a try that is due, or an attempt whose limit is over. None: nothing is planned."""
        return self._attempt_until_s if self._due_s is None else self._due_s

    @property
    def attempting(self) -> bool:
        """Whether an attempt is under way, ours or the library's."""
        return self._attempt_until_s is not None

    def breaker(self, now_s: float) -> Breaker:
        """Whether it is worth trying at this moment."""
        if self.failures < TRIES_BEFORE_OPEN or self._stood(now_s):
            return Breaker.CLOSED
        proving = self.attempting or self._connected_at_s is not None
        return Breaker.HALF_OPEN if proving else Breaker.OPEN

    def begin(self, now_s: float, jitter: float) -> bool:
        """Whether to make an attempt at this moment. True at most once until it is known how that went."""
        if self._attempt_until_s is not None and now_s >= self._attempt_until_s:
            self.lost("attempt_timed_out", now_s, jitter)
        if self._due_s is None or now_s < self._due_s:
            return False
        self._due_s = None
        self._attempt_until_s = now_s + ATTEMPT_LIMIT_S
        return True

    def taken(self, now_s: float) -> None:
        """The attempt was ordered and had to wait for its turn; its limit counts from now."""
        if self._attempt_until_s is not None:
            self._attempt_until_s = now_s + ATTEMPT_LIMIT_S

    def linked(self, now_s: float) -> None:
        """A phone has linked it. The library ends its connection and logs in by itself: an attempt like ours."""
        self._due_s = self._connected_at_s = None
        self._attempt_until_s = now_s + ATTEMPT_LIMIT_S

    def connected(self, now_s: float) -> None:
        """It is logged in, or has got as far as a QR code: whatever was planned is not needed."""
        self._due_s = None
        self._attempt_until_s = None
        if self._connected_at_s is None:
            self._connected_at_s = now_s

    def lost(self, cause: str, now_s: float, jitter: float, wait_s: float = 0.0) -> Loss:
        """The connection is lost, or the attempt failed. `wait_s` is what WhatsApp asked for, 0 if nothing.

        Of one failure several things may be heard. Only the first one counts; later ones can make it worse, not try sooner.
        A library that tries by itself is to be barred if no attempt is under way afterwards.
        """
        known = CAUSES.get(cause, UNKNOWN)
        self.cause = cause
        self._not_before_s = max(self._not_before_s, now_s + max(wait_s, known.wait_s_min))
        if known.kind is Kind.PERMANENT:
            return self._stop(wait_s)
        if self._connected_at_s is None and not self.attempting:
            # An echo of what is being dealt with, or something late while nobody wants a connection.
            self._due_s = None if self._due_s is None else max(self._due_s, self._not_before_s)
            return Loss.RETRYING if self._due_s is not None else Loss.STOPPED
        if self._attempt_until_s is not None and known.kind is Kind.LIBRARY:
            return Loss.RETRYING  # within the attempt the library tries again by itself; the limit stands
        stood = self._stood(now_s)
        at_once = self._connected_at_s is not None and (stood or not self._tried_at_once)
        lasted = self._connected_at_s is not None and now_s - self._connected_at_s >= FLAPPING_S
        self._tried_at_once = at_once or self._tried_at_once
        self._connected_at_s = None
        self._attempt_until_s = None
        if stood:
            self.failures = 0
        self._brought_forward = False
        if known.kind is Kind.LIBRARY and (at_once or lasted):
            self._attempt_until_s = now_s + LIBRARY_LIMIT_S
            return Loss.RETRYING
        self.failures += not at_once
        self._due_s = max(now_s + (0.0 if at_once else self._pause_s(jitter)), self._not_before_s)
        return Loss.OPENED if self.failures == TRIES_BEFORE_OPEN and not at_once else Loss.RETRYING

    def proven(self, now_s: float) -> None:
        """Time has passed: a connection that has stood makes its failures history."""
        if self._stood(now_s):
            self.failures = 0

    def cut(self, now_s: float, jitter: float) -> None:
        """We have cut the connection, or barred the library's tries, so that another device could act. The next try is ours."""
        if self._connected_at_s is not None:
            self.lost("no_answer", now_s, jitter)
        elif self.attempting:
            self._attempt_until_s = None
            self._due_s = max(now_s, self._not_before_s)

    def renewed(self, now_s: float) -> None:
        """Another connection is wanted in the place of the present one, or of the try that is planned or under way: at once."""
        if self.attempting or self._connected_at_s is not None or self._due_s is not None:
            self._attempt_until_s = self._connected_at_s = None
            self._due_s = max(now_s, self._not_before_s)

    def asked(self, now_s: float) -> None:
        """A person or a program wants a try now: it comes as soon as WhatsApp allows, unless one is under way."""
        if not self.attempting and self._connected_at_s is None:
            self._due_s = max(now_s, self._not_before_s)

    def others_reached(self, now_s: float, jitter: float) -> None:
        """Another device of this connector has just connected after an outage: the next try comes forward, spread out."""
        # Once per pause: the smallest of many draws would be no spread.
        if self._due_s is not None and not self._brought_forward:
            self._brought_forward = True
            self._due_s = max(min(self._due_s, now_s + jitter * REACHED_SPREAD_S), self._not_before_s)

    def _stood(self, now_s: float) -> bool:
        # By the same sum as `proven_s`: a difference is rounded otherwise, and whoever waited for that moment would be early.
        return self._connected_at_s is not None and now_s >= self._connected_at_s + STABLE_AFTER_S

    def _stop(self, wait_s: float) -> Loss:
        self._attempt_until_s = None
        self._connected_at_s = None
        self._due_s = self._not_before_s if wait_s > 0 else None
        return Loss.STOPPED

    def _pause_s(self, jitter: float) -> float:
        if self.failures < TRIES_BEFORE_OPEN:
            return back_off_s(self.failures, jitter)
        probes = self.failures - TRIES_BEFORE_OPEN
        ceiling_s = PROBE_INTERVAL_S if probes < PROBES_EAGER else BACK_OFF_MAX_S
        return ceiling_s * (0.5 + jitter / 2)
