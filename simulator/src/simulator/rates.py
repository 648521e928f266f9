"""WhatsApp's patience: how much sending it bears, and what it does then. Its own rules are secret; these are a model.

A breach of a limit is answered (a message with an error in its ack) and counts as a strike. Strikes beyond what is forgiven
may end in a temporary ban, as the dice of the account say. All times here are those of the policy; `time_scale` lets a day of
them pass in minutes.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import SimulatorError
from simulator.limits import RATE_CONTACTS_MAX, RATE_IDS_MAX, RATE_TEXTS_MAX, RATE_TIMES_MAX

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3_600.0, 86_400.0
# whatsmeow types/events `TempBanReason`.
TOO_MANY_PEOPLE, SAME_MESSAGE, BROADCAST = 101, 104, 106


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """The limits (None: there is none) and what follows from passing them. The figures are guesses: WhatsApp tells nobody."""

    # Messages of a number's linked devices.
    sends_per_minute: int | None = 60
    # First messages to someone who has not written to the number. Users report five a minute as very risky.
    first_contacts_per_minute: int | None = 5
    first_contacts_per_day: int | None = 100
    # Available/unavailable and typing together.
    presence_per_minute: int | None = 60
    # The same text, as phones see it (WhatsApp, which cannot read, has their reports).
    same_text_per_hour: int | None = 50
    # Errors in acks: 463 is what a message to a stranger gets, 429 any other.
    send_error: int = 429
    contact_error: int = 463
    # Breaches within a day that are forgiven; each further one leads to a ban with this probability.
    strikes_per_day: int = 5
    ban_probability: float = 0.25
    # Duration of the first ban, and how much longer each further one is, up to a month.
    ban_s: float = _DAY_S
    ban_growth: float = 3.0
    # How many seconds of the policy pass in one.
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            whole = "int" in str(one.type)
            if value is None and "None" in str(one.type):
                continue
            fits = isinstance(value, int) if whole else isinstance(value, (int, float))
            if not fits or isinstance(value, bool) or not 0 <= value <= _MOST.get(one.name, RATE_TIMES_MAX):
                what = "a whole number" if whole else "a number"
                raise _bad(f"`{one.name}` must be {what} from 0 to {_MOST.get(one.name, RATE_TIMES_MAX):g}.")
        if self.time_scale <= 0:
            raise _bad("`time_scale` must be above 0.")

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> RatePolicy:
        """What is not named keeps its default; null takes a limit away."""
        known = {one.name for one in fields(cls)}
        unknown = sorted(set(body) - known)
        if unknown:
            raise _bad(f"A rate policy does not know: {', '.join(unknown)[:200]}.")
        return cls(**body)

    @classmethod
    def load(cls, source: str) -> RatePolicy:
        """`default`, or a JSON file."""
        if source == "default":
            return cls()
        try:
            body = json.loads(Path(source).read_text())
        except (OSError, ValueError) as problem:
            raise _bad(f"{source} cannot be read as a rate policy: {problem}.") from None
        if not isinstance(body, dict):
            raise _bad(f"{source} must hold a JSON object.")
        return cls.from_json(body)


_MOST = {
    "ban_probability": 1.0, "ban_s": 30 * _DAY_S, "ban_growth": 100.0, "time_scale": 1e6, "send_error": 999,
    "contact_error": 999,
}  # fmt: skip


def _bad(message: str) -> SimulatorError:
    return SimulatorError("bad_rates", message, "simulator/README.md lists what a rate policy takes.")


class Ban(NamedTuple):
    """`code` says why (101 too many people, 102 blocked, 103 groups, 104 the same message too often, 106 broadcasts)."""

    code: int
    until: float

    def seconds_left(self, now: float) -> int:
        # At least 1: a client must not read "0 s" as "no ban".
        return max(round(self.until - now), 1)


class Bans:
    """The accounts that may not log in for a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bans: dict[str, Ban] = {}

    def add(self, number: str, code: int, expire_s: float) -> None:
        self._bans[number] = Ban(code, self._clock() + expire_s)

    def of(self, number: str) -> Ban | None:
        """The ban that an account is under, if it has not run out."""
        ban = self._bans.get(number)
        if ban is not None and ban.until <= self._clock():
            del self._bans[number]
            return None
        return ban

    def list(self) -> list[dict[str, Any]]:
        """Every ban that holds: number, code, seconds left."""
        now = self._clock()
        found = [(number, ban) for number in list(self._bans) if (ban := self.of(number))]
        return [{"number": number, "code": ban.code, "seconds_left": ban.seconds_left(now)} for number, ban in found]

    def lift(self, number: str | None = None) -> int:
        """Ends the ban of a number, or all; gives how many there were."""
        chosen = list(self._bans) if number is None else [number] if number in self._bans else []
        for one in chosen:
            del self._bans[one]
        return len(chosen)


class _Window:
    """How often something happened in the last `per_s` seconds; what was refused does not count."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=RATE_TIMES_MAX)

    def full(self, limit: int | None, per_s: float, now: float) -> bool:
        times = self._times
        while times and times[0] <= now - per_s:
            times.popleft()
        return limit is not None and len(times) >= limit

    def add(self, now: float) -> None:
        self._times.append(now)


class _Account:
    """What is known about a number's behaviour."""

    def __init__(self, number: str, seed: int) -> None:
        # When its account-days began to count; None for a number that has no linked device.
        self.since: float | None = None
        self.random = random.Random(f"{seed}/rates/{number}")
        self.windows: dict[str, _Window] = {}
        # Numbers that it wrote to or that wrote to it.
        self.contacts: OrderedDict[str, None] = OrderedDict()
        # Ids of recent messages: one that is sent again is not counted again.
        self.ids: OrderedDict[str, None] = OrderedDict()
        self.texts: OrderedDict[bytes, _Window] = OrderedDict()
        self.sends = self.first_contacts = self.presences = self.refused = self.breaches = self.bans = 0

    def window(self, name: str) -> _Window:
        return self.windows.setdefault(name, _Window())

    def knows(self, number: str) -> bool:
        return number in self.contacts

    def meet(self, number: str) -> None:
        _remember(self.contacts, number, None, RATE_CONTACTS_MAX)


def _remember(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


# Carries out a ban: number, code, seconds on the world's clock.
BanNumber = Callable[[str, int, float], None]
# Puts an event into the truth log.
Tell = Callable[..., None]


class Rates:
    """Watches accounts under one policy. A changed policy is a new `Rates`: it begins to count anew."""

    def __init__(self, policy: RatePolicy, seed: int, clock: Callable[[], float], ban: BanNumber, tell: Tell) -> None:
        self.policy = policy
        self._seed = seed
        self._clock = clock
        self._ban, self._tell = ban, tell
        self._accounts: dict[str, _Account] = {}

    def _now(self) -> float:
        return self._clock() * self.policy.time_scale

    def _account(self, number: str) -> _Account:
        if number not in self._accounts:
            self._accounts[number] = _Account(number, self._seed)
        return self._accounts[number]

    # What happens

    def linked(self, number: str) -> None:
        """A number uses a linked device: its account-days begin to count."""
        account = self._account(number)
        if account.since is None:
            account.since = self._now()

    def wrote(self, number: str, to: str) -> None:
        """A phone wrote: whoever answers is no stranger. Phones themselves are not judged."""
        self._account(to).meet(number)

    def send(self, number: str, to: str | None, message_id: str) -> int | None:
        """A linked device sends; `to` is None for a group. Gives the error for the ack, or None."""
        self.linked(number)
        account, policy, now = self._account(number), self.policy, self._now()
        if message_id in account.ids:
            return None
        stranger = to is not None and not account.knows(to)
        minute, day = account.window("contacts_minute"), account.window("contacts_day")
        if stranger and (
            minute.full(policy.first_contacts_per_minute, _MINUTE_S, now)
            or day.full(policy.first_contacts_per_day, _DAY_S, now)
        ):
            return self._refuse(number, "first_contacts", policy.contact_error, TOO_MANY_PEOPLE)
        sends = account.window("sends")
        if sends.full(policy.sends_per_minute, _MINUTE_S, now):
            return self._refuse(number, "sends", policy.send_error, BROADCAST)
        sends.add(now)
        account.sends += 1
        _remember(account.ids, message_id, None, RATE_IDS_MAX)
        if stranger and to is not None:
            minute.add(now)
            day.add(now)
            account.first_contacts += 1
            account.meet(to)
        if to is not None:
            self.wrote(number, to)
        return None

    def presence(self, number: str) -> None:
        """A linked device says that it is available or typing; too often is a strike, but nothing is answered."""
        account, now = self._account(number), self._now()
        account.presences += 1
        window = account.window("presence")
        if window.full(self.policy.presence_per_minute, _MINUTE_S, now):
            self._strike(number, "presence", BROADCAST)
        else:
            window.add(now)

    def shown(self, number: str, text: str) -> None:
        """Somebody's phone shows a text that a number sent."""
        if not text or number not in self._accounts:
            return
        account, now = self._accounts[number], self._now()
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        window = account.texts.pop(key, None) or _Window()
        _remember(account.texts, key, window, RATE_TEXTS_MAX)
        if window.full(self.policy.same_text_per_hour, _HOUR_S, now):
            self._strike(number, "same_text", SAME_MESSAGE)
        else:
            window.add(now)

    # What follows

    def _refuse(self, number: str, rule: str, error: int, ban_code: int) -> int:
        self._accounts[number].refused += 1
        self._strike(number, rule, ban_code, error)
        return error

    def _strike(self, number: str, rule: str, ban_code: int, error: int | None = None) -> None:
        account, policy, now = self._accounts[number], self.policy, self._now()
        account.breaches += 1
        self._tell("rate", number=number, rule=rule, error=error)
        strikes = account.window("strikes")
        if not strikes.full(policy.strikes_per_day, _DAY_S, now):
            strikes.add(now)
        elif account.random.random() < policy.ban_probability:
            longest = _MOST["ban_s"]
            lasts = min(policy.ban_s * policy.ban_growth**account.bans, longest) if account.bans < 64 else longest
            account.bans += 1
            self._ban(number, ban_code, lasts / policy.time_scale)

    def as_json(self) -> dict[str, Any]:
        """The policy, each account's counts, and the totals, with bans per thousand account-days."""
        now = self._now()
        judged = {number: account for number, account in self._accounts.items() if account.since is not None}
        days = sum(now - (account.since or now) for account in judged.values()) / _DAY_S
        names = ("sends", "first_contacts", "presences", "refused", "breaches", "bans")
        accounts = [
            {"number": number, **{name: getattr(account, name) for name in names}} for number, account in judged.items()
        ]
        totals: dict[str, Any] = {name: sum(one[name] for one in accounts) for name in names}
        totals |= {"accounts": len(accounts), "account_days": days}
        totals["bans_per_1000_account_days"] = totals["bans"] / days * 1000 if days else None
        return {"policy": asdict(self.policy), "accounts": accounts, "totals": totals}
