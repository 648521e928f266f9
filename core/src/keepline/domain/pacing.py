"""How fast an account may send, so that WhatsApp takes it for what it is: somebody's messages, not a flood.

- Spacing: pauses between an account's messages vary as a person's do, around the profile's mean. Within a chat a few may follow
  each other quickly, then one every 6 s: WhatsApp's own business platform has that limit per recipient (bursts are borrowed
  from the time after), documented as one message per 6 s and pair, at most 45 in a burst.
- First contacts (chats in which nothing was said before, by nobody) are what gets numbers banned: users report 5 a minute as
  very risky. They have limits per minute and per day, and both start low for a number that is new here and double every 3 days
  (warm-up). The business platform starts numbers at 250 new recipients a day; an ordinary number gets less.
- Signals: 463 (the reach-out time-lock) stops first contacts, replies go on. 429 halves the pace for a while. A temporary ban
  stops everything until it ends, and afterwards its reason decides: too many strangers (101) stops first contacts for a day.
  A pace that was slowed comes back by a tenth a minute without a new signal.

`off` is for those that pace themselves, and for benches: it spaces nothing and limits nothing, but still obeys the signals.
What is not WhatsApp's or a user's figure is our estimate, on the careful side. What the day has had, and the signals, are kept
with the right to send (`PacingMemory`): they hold for the number, whichever device or connector sends for it.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAY_S = 86_400.0
MINUTE_S = 60.0

# A time-lock's length is not told in the refusal; users report hours to days. After this one first contact may find out.
TIME_LOCK_REST_S = 6 * 3_600.0
AFTER_STRANGERS_BAN_S = DAY_S
# Of a ban that does not say when it ends. A person is told by the session's state anyway.
BAN_UNKNOWN_S = DAY_S
RATE_REST_S = 30.0
SLOWNESS_MAX = 16.0
RECOVERY_PER_MINUTE = 0.9
WARM_UP_DOUBLES_EVERY_S = 3 * DAY_S
# Chats whose bursts are remembered; one that is forgotten has had time to recover, or there are more chats than limits allow.
CHATS_MAX = 10_000
# Sums of seconds are not exact; whoever waited for what was said must not be told to wait for the rest of a rounding.
_ROUNDING_S = 1e-6

FIRST_CONTACT_CODES = frozenset({"wa_463", "ban_101"})
SLOW_CODES = frozenset({"wa_429"})
BAN_PREFIX = "ban_"


@dataclass(frozen=True)
class PacingProfile:
    """An account's limits. 0 in a gap, or infinity in a limit, is none."""

    name: str
    gap_s: float  # the mean pause between two messages of an account
    chat_gap_s: float  # in the long run between two messages of a chat
    chat_burst: int  # messages of a chat that need not wait for that
    first_contacts_per_minute: float
    first_contacts_per_day: float  # once warmed up
    first_contacts_per_day_new: float  # of a number that is new here


CAREFUL = PacingProfile("careful", 3.0, 6.0, 5, 1, 50, 5)
NORMAL = PacingProfile("normal", 1.0, 6.0, 20, 2, 200, 10)
OFF = PacingProfile("off", 0.0, 0.0, 1, math.inf, math.inf, math.inf)
PROFILES = {profile.name: profile for profile in (CAREFUL, NORMAL, OFF)}


@dataclass(frozen=True)
class PacingMemory:
    """What outlives a process, in the time of calendars. `closed_until` is by reason."""

    first_contacts: tuple[datetime, ...] = ()
    closed_until: Mapping[str, datetime] = field(default_factory=dict)
    slowness: float = 1.0
    slowed_at: datetime | None = None


@dataclass(frozen=True)
class Wait:
    """How long a message must wait, and why: `spacing`, `chat`, `first_contacts`, `time_lock`, `rate_limit`, `banned` or None."""

    seconds: float
    because: str | None = None


class Pacing:
    """One account's. Times are seconds of a monotonic clock; `jitter` is uniform in [0, 1)."""

    def __init__(
        self, profile: PacingProfile, now_s: float, age_s: float = 0.0, first_contacts_at_s: Iterable[float] = ()
    ) -> None:
        """`age_s`: for how long the number has been linked here. `first_contacts_at_s`: when those of the last day were."""
        self._profile = profile
        self._born_s = now_s - age_s
        self._next_s = now_s
        self._chats: OrderedDict[str, float] = (
            OrderedDict()
        )  # until when a chat's burst is borrowed, least recent first
        self._first_contacts = deque(sorted(first_contacts_at_s))
        self._closed: dict[str, float] = {}  # until when, by reason
        self._slowness = 1.0
        self._slowed_at_s = now_s

    @classmethod
    def resumed(
        cls, profile: PacingProfile, memory: PacingMemory, now: datetime, now_s: float, linked_at: datetime
    ) -> Pacing:
        """The pacing of a number that has been here since `linked_at`, by whoever takes over from here."""

        def at_s(moment: datetime) -> float:
            return now_s + (moment - now).total_seconds()

        pacing = cls(profile, now_s, now_s - at_s(linked_at), map(at_s, memory.first_contacts))
        pacing._closed = {reason: at_s(until) for reason, until in memory.closed_until.items()}
        if memory.slowed_at is not None:
            pacing._slowness, pacing._slowed_at_s = memory.slowness, at_s(memory.slowed_at)
        return pacing

    def memory(self, now: datetime, now_s: float) -> PacingMemory:
        """What the next one has to know. What is over is left out."""

        def at(moment_s: float) -> datetime:
            return now + timedelta(seconds=moment_s - now_s)

        self._forget(now_s)
        slowed = self._slowness_at(now_s) > 1.0
        return PacingMemory(
            first_contacts=tuple(map(at, self._first_contacts)) if self._limits_first_contacts else (),
            closed_until={reason: at(until_s) for reason, until_s in self._closed.items() if until_s > now_s},
            slowness=self._slowness if slowed else 1.0,
            slowed_at=at(self._slowed_at_s) if slowed else None,
        )

    @property
    def spaces(self) -> bool:
        """Whether there are pauses between messages: then they go one by one."""
        return self._profile.gap_s > 0

    def tells_strangers(self, now_s: float) -> bool:
        """Whether it matters at present that a message is a first contact."""
        return self._limits_first_contacts or self._closed.get("time_lock", -math.inf) > now_s

    @property
    def _limits_first_contacts(self) -> bool:
        return math.isfinite(self._profile.first_contacts_per_day)

    def wait(self, now_s: float, chat: str, *, first_contact: bool) -> Wait:
        """What stands in the way of a message at this moment; the longest of all reasons."""
        profile = self._profile
        waits = [Wait(self._next_s - now_s, "spacing")]
        for reason, until_s in self._closed.items():
            if reason != "time_lock" or first_contact:
                waits.append(Wait(until_s - now_s, reason))
        borrowed_until_s = self._chats.get(chat, -math.inf)
        waits.append(Wait(borrowed_until_s - (profile.chat_burst - 1) * profile.chat_gap_s - now_s, "chat"))
        if first_contact:
            waits.append(Wait(self._first_contact_at_s(now_s) - now_s, "first_contacts"))
        longest = max(waits, key=lambda wait: wait.seconds)
        return longest if longest.seconds > _ROUNDING_S else Wait(0.0)

    def wait_s(self, now_s: float, chat: str, *, first_contact: bool) -> float:
        """Seconds until the message may go; 0 means now. Asking changes nothing, so asking often gains nothing."""
        return self.wait(now_s, chat, first_contact=first_contact).seconds

    def sent(self, now_s: float, chat: str, jitter: float, *, first_contact: bool) -> None:
        """A message was handed to WhatsApp, whatever comes of it. Draws the pause after it."""
        profile = self._profile
        slowness = self._slowness_at(now_s)
        # Short pauses are frequent and long ones rare, as between the messages of a person; the mean is the profile's.
        drawn = min(-math.log(1.0 - jitter), 5.0)
        self._next_s = now_s + profile.gap_s * slowness * (0.4 + 0.6 * drawn)
        self._chats[chat] = max(self._chats.get(chat, now_s), now_s) + profile.chat_gap_s * slowness
        self._chats.move_to_end(chat)
        while len(self._chats) > CHATS_MAX:
            self._chats.popitem(last=False)
        if first_contact and self._limits_first_contacts:
            self._first_contacts.append(now_s)

    def signal(self, code: str, now_s: float, lasts_s: float = 0.0) -> bool:
        """WhatsApp says something about our pace. `lasts_s` is how long a ban lasts, 0 if it did not say. False: no signal."""
        if code.startswith(BAN_PREFIX):
            ends_s = now_s + (lasts_s or BAN_UNKNOWN_S)
            self._close("banned", ends_s)
            self._slow(ends_s)
            if code in FIRST_CONTACT_CODES:
                self._close("time_lock", ends_s + AFTER_STRANGERS_BAN_S)
        elif code in FIRST_CONTACT_CODES:
            self._close("time_lock", now_s + (lasts_s or TIME_LOCK_REST_S))
        elif code in SLOW_CODES:
            if self._closed.get("rate_limit", -math.inf) <= now_s:  # of one flood many messages are refused
                self._slow(now_s)
            self._close("rate_limit", now_s + (lasts_s or RATE_REST_S))
        else:
            return False
        return True

    def _first_contact_at_s(self, now_s: float) -> float:
        """From when on the limits per minute and per day allow one more."""
        self._forget(now_s)
        slowness = self._slowness_at(now_s)
        at_s = -math.inf
        for limit, period_s in (
            (self._profile.first_contacts_per_minute / slowness, MINUTE_S),
            (self._per_day(now_s), DAY_S),
        ):
            count = max(1, math.floor(min(limit, 1e9)))
            # Below one a minute the period grows instead.
            period_s = period_s if limit >= 1 else period_s / limit
            if len(self._first_contacts) >= count:
                at_s = max(at_s, self._first_contacts[-count] + period_s)
        return at_s

    def _per_day(self, now_s: float) -> float:
        profile = self._profile
        doublings = min((now_s - self._born_s) / WARM_UP_DOUBLES_EVERY_S, 60.0)
        warmed_up = profile.first_contacts_per_day_new * math.pow(2, math.floor(doublings))
        return min(profile.first_contacts_per_day, warmed_up)

    def _forget(self, now_s: float) -> None:
        while self._first_contacts and self._first_contacts[0] <= now_s - DAY_S:
            self._first_contacts.popleft()

    def _close(self, reason: str, until_s: float) -> None:
        self._closed[reason] = max(self._closed.get(reason, -math.inf), until_s)

    def _slow(self, from_s: float) -> None:
        self._slowness = min(SLOWNESS_MAX, self._slowness_at(from_s) * 2)
        self._slowed_at_s = from_s

    def _slowness_at(self, now_s: float) -> float:
        minutes = max(0.0, now_s - self._slowed_at_s) / MINUTE_S
        return max(1.0, self._slowness * math.pow(RECOVERY_PER_MINUTE, minutes))
