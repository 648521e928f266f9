"""The rules of alerts: when something is worth telling somebody, how loudly, in which words, and what to do then. Pure.

There are two sorts. A rule over *gauges* holds as long as what is measured says so, minute by minute. A *latched* rule holds from
one kind of event to another of the same subject: nothing that is measured each minute could say so.

Burn rates are those of Google's SRE workbook ("Alerting on SLOs", 5: multiple windows): a month's budget that burns 14.4 times
too fast is used up in two days, at 6 times in five. The short window (a twelfth) ends the alert soon after the trouble ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from keepline.domain.events import EventKind, Seen, Severity, is_restore_failure


class Rule(StrEnum):
    """What an alert is about. The name is the alert's stable code."""

    DISCONNECTS = "disconnects"
    BURN_FAST = "burn_fast"
    BURN_SLOW = "burn_slow"
    QUEUE_AGE = "queue_age"
    RESTORE_FAILED = "restore_failed"
    NO_STANDBY = "no_standby"
    CLIENT_OLD = "client_old"
    PHONE_UNSEEN = "phone_unseen"
    DEAD_LETTERS = "dead_letters"
    WEBHOOK_DEAD_LETTERS = "webhook_dead_letters"
    SESSION_BANNED = "session_banned"
    SESSION_OUTDATED = "session_outdated"
    SESSION_LOGGED_OUT = "session_logged_out"
    CONNECTOR_SILENT = "connector_silent"
    UPTIME_DOWN = "uptime_down"
    RECOVERY_FAILED = "recovery_failed"
    NOTIFIER_FAILED = "notifier_failed"


@dataclass(frozen=True)
class RuleWords:
    """`sentence` has `{session}`, `{subject}` and the condition's details in braces.

    `clear_s`: how long the condition must have been gone before the alert closes, so that one that comes and goes is one alert.
    """

    severity: Severity
    sentence: str
    next_step: str
    clear_s: float


_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL
# Two rounds of a minute: a gauge that was not seen once has not ended.
_SOON_S = 120.0
_STEADY_S = 600.0

RULES: Mapping[Rule, RuleWords] = {
    Rule.DISCONNECTS: RuleWords(
        _WARNING,
        "{session} lost its connection {count} times within an hour.",
        "Look at GET /diagnostics/{session}: the reasons, the connector's network and its proxy.",
        _STEADY_S,
    ),
    Rule.BURN_FAST: RuleWords(
        _CRITICAL,
        "{session} has been down for {down_s} s of the last hour: a month's budget would last two days.",
        "Look at the session's status now: its reason says what helps.",
        _SOON_S,
    ),
    Rule.BURN_SLOW: RuleWords(
        _WARNING,
        "{session} has been down for {down_s} s of the last 6 hours: a month's budget would last five days.",
        "Look at the session's reasons today; a standby device takes over when a connection fails.",
        _STEADY_S,
    ),
    Rule.QUEUE_AGE: RuleWords(
        _WARNING,
        "The oldest message of {session} has waited for {age_s} s.",
        "Look at the session's status, and at what holds its queue.",
        _SOON_S,
    ),
    Rule.RESTORE_FAILED: RuleWords(
        _CRITICAL,
        "A stored session of {session} could not be used ({code}).",
        "Do what the reason in the session's status says: bring the store back, or link again.",
        _SOON_S,
    ),
    Rule.NO_STANDBY: RuleWords(
        _WARNING,
        "{session} works without its standby: device {slot} is linked and not connected.",
        "Look at the reason of that device; link it again if the phone has removed it.",
        _STEADY_S,
    ),
    Rule.CLIENT_OLD: RuleWords(
        _WARNING,
        "The WhatsApp client of {subject} is {days} days old.",
        "Redeploy the connector with a newer build: WhatsApp refuses old ones some day.",
        _SOON_S,
    ),
    Rule.PHONE_UNSEEN: RuleWords(
        _CRITICAL,
        "The phone of {session} has not been seen for {days} days; WhatsApp unlinks its devices after 14.",
        "Open WhatsApp on the phone, with a connection to the internet.",
        _SOON_S,
    ),
    Rule.DEAD_LETTERS: RuleWords(
        _WARNING,
        "{count} messages of {session} were given up within an hour.",
        "Look at GET /api/dead-letters, then replay them or leave them.",
        _STEADY_S,
    ),
    Rule.WEBHOOK_DEAD_LETTERS: RuleWords(
        _WARNING,
        "Events for the webhook {subject} were given up within the last hour.",
        "Look at its deliveries, then replay them or leave them.",
        _STEADY_S,
    ),
    Rule.SESSION_BANNED: RuleWords(
        _CRITICAL,
        "WhatsApp has banned the number of {session} for a while.",
        "Wait for the ban to end, then send more slowly.",
        _SOON_S,
    ),
    Rule.SESSION_OUTDATED: RuleWords(
        _CRITICAL,
        "WhatsApp refuses the connector's build for {session}.",
        "Redeploy the connector with the newest build.",
        _SOON_S,
    ),
    Rule.SESSION_LOGGED_OUT: RuleWords(
        _CRITICAL,
        "The phone has removed the linked device of {session}.",
        "Delete the session, create it again and scan.",
        _SOON_S,
    ),
    Rule.CONNECTOR_SILENT: RuleWords(
        _CRITICAL, "The connector {subject} is silent.", "Look at its log, and whether it runs.", _SOON_S
    ),
    Rule.UPTIME_DOWN: RuleWords(
        _CRITICAL,
        "{name} does not answer as it should ({code}).",
        "Nothing to do while its recovery runs; else look at its log.",
        0.0,
    ),
    Rule.RECOVERY_FAILED: RuleWords(
        _CRITICAL, "{name} could not be recovered.", "Look at its log and bring it back by hand.", 0.0
    ),
    Rule.NOTIFIER_FAILED: RuleWords(
        _WARNING,
        "The channel {name} could not be told of alerts ({code}).",
        "Test it; mend what it says, or make it anew.",
        _SOON_S,
    ),
}


@dataclass(frozen=True)
class Latch:
    """From one of the events `opens` until one of `closes`, of the same subject."""

    opens: frozenset[EventKind]
    closes: frozenset[EventKind]


LATCHES: Mapping[Rule, Latch] = {
    Rule.UPTIME_DOWN: Latch(frozenset({EventKind.OUTAGE_BEGAN}), frozenset({EventKind.OUTAGE_ENDED})),
    Rule.RECOVERY_FAILED: Latch(
        frozenset({EventKind.RECOVERY_FAILED}), frozenset({EventKind.RECOVERED, EventKind.OUTAGE_ENDED})
    ),
}
LATCHING_KINDS = frozenset(kind for latch in LATCHES.values() for kind in (*latch.opens, *latch.closes))


@dataclass(frozen=True)
class Bounds:
    """A threshold's value when nobody says another, and the least and the most that it may be."""

    usual: float
    least: float
    most: float


THRESHOLDS: Mapping[str, Bounds] = {
    "disconnects_per_hour": Bounds(10, 1, 1_000),  # more than so many
    "uptime_percent": Bounds(99.9, 90, 99.99),  # what a session is to have in a month
    "queue_age_s": Bounds(600, 30, 86_400),
    "no_standby_s": Bounds(300, 60, 86_400),
    "client_days": Bounds(90, 7, 365),
    "phone_days": Bounds(10, 1, 13),  # WhatsApp unlinks at 14
    "dead_letters_per_hour": Bounds(1, 1, 10_000),  # so many, or more
    "notifier_failures": Bounds(2, 1, 10),  # in a row
}


@dataclass(frozen=True)
class Thresholds:
    """Those that somebody has set; the usual ones for the rest."""

    chosen: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.chosen.get(name, THRESHOLDS[name].usual)


USUAL = Thresholds()


@dataclass(frozen=True)
class Condition:
    """Something that is so now and is worth an alert. `tenant` is None for the installation's."""

    rule: Rule
    subject: str
    tenant: str | None
    session_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Rule, str, str | None]:
        """What makes it the same condition as a minute ago."""
        return (self.rule, self.subject, self.tenant)

    @property
    def sentence(self) -> str:
        words = {"session": self.session_id, "subject": self.subject, **self.details}
        return RULES[self.rule].sentence.format_map(words)

    @property
    def next_step(self) -> str:
        return RULES[self.rule].next_step.replace("{session}", self.session_id or self.subject)


@dataclass(frozen=True)
class DeviceSeen:
    """A linked device of a session, as its newest state and heartbeat have it."""

    slot: str
    connected: bool
    code: str
    changed_at: datetime


@dataclass(frozen=True)
class SessionSeen:
    """A session as it is. `phone_seen_at` is None while nothing tells; `oldest_queued_at` when nothing waits."""

    account: str
    session_id: str
    tenant: str
    state: str
    oldest_queued_at: datetime | None = None
    phone_seen_at: datetime | None = None
    devices: Sequence[DeviceSeen] = ()


_OF_STATE = {
    "banned": Rule.SESSION_BANNED,
    "outdated": Rule.SESSION_OUTDATED,
    "logged_out": Rule.SESSION_LOGGED_OUT,
}


def of_session(session: SessionSeen, now: datetime, thresholds: Thresholds) -> list[Condition]:
    """What a session's present state says."""
    found: list[Condition] = []

    def holds(rule: Rule, **details: Any) -> None:
        found.append(Condition(rule, session.account, session.tenant, session.session_id, details))

    if session.state in _OF_STATE:
        holds(_OF_STATE[session.state])
    if session.oldest_queued_at is not None:
        age_s = (now - session.oldest_queued_at).total_seconds()
        if age_s > thresholds["queue_age_s"]:
            holds(Rule.QUEUE_AGE, age_s=round(age_s))
    if session.phone_seen_at is not None:
        unseen = now - session.phone_seen_at
        if unseen > timedelta(days=thresholds["phone_days"]):
            holds(Rule.PHONE_UNSEEN, days=unseen.days)
    refused = [device.code for device in session.devices if is_restore_failure(device.code)]
    if refused:
        holds(Rule.RESTORE_FAILED, code=refused[0])
    away = [device for device in session.devices if not device.connected]
    if away and len(away) < len(session.devices):
        device = away[0]
        if (now - device.changed_at).total_seconds() > thresholds["no_standby_s"]:
            holds(Rule.NO_STANDBY, slot=device.slot)
    return found


def of_counts(events: Iterable[Seen], since: datetime, of: Mapping[str, Thresholds]) -> list[Condition]:
    """What the last hour's events (those after `since`) come to. `of` has the thresholds of tenants with some of their own."""
    counts: dict[tuple[EventKind, str], list[Seen]] = {}
    for event in events:
        if event.kind in _COUNTED and event.at > since and event.tenant is not None:
            counts.setdefault((event.kind, event.subject), []).append(event)
    found = []
    for (kind, subject), seen in counts.items():
        rule, threshold, more = _COUNTED[kind]
        tenant = seen[0].tenant
        assert tenant is not None, "events of nobody were left out"
        least = of.get(tenant, USUAL)[threshold] + more if threshold is not None else 1
        if len(seen) >= least:
            found.append(Condition(rule, subject, tenant, seen[0].session_id, {"count": len(seen)}))
    return found


# The rule, its threshold (None: one is enough), and 1 where more than that many are meant.
_COUNTED: Mapping[EventKind, tuple[Rule, str | None, int]] = {
    EventKind.SESSION_DISCONNECTED: (Rule.DISCONNECTS, "disconnects_per_hour", 1),
    EventKind.DEAD_LETTER: (Rule.DEAD_LETTERS, "dead_letters_per_hour", 0),
    EventKind.WEBHOOK_DEAD_LETTER: (Rule.WEBHOOK_DEAD_LETTERS, None, 0),
}
COUNTED_KINDS = frozenset(_COUNTED)
COUNTED_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Burn:
    """A budget burns `rate` times too fast in both windows."""

    rule: Rule
    window: timedelta
    short: timedelta
    rate: float


BURNS = (
    Burn(Rule.BURN_FAST, timedelta(hours=1), timedelta(minutes=5), 14.4),
    Burn(Rule.BURN_SLOW, timedelta(hours=6), timedelta(minutes=30), 6.0),
)
BURN_WINDOW_MAX = max(burn.window for burn in BURNS)
BURN_SHORT_MAX = max(burn.short for burn in BURNS)
# A session in one of these should be connected and is not. One that nobody has linked, or that its phone has left, has no
# promise to break; a ban and an old build have alerts of their own.
DOWN_STATES = frozenset({"reconnecting", "failed"})

Change = tuple[datetime, str]
"""When a session came into a state, and which."""


def down_s(changes: Sequence[Change], before: str | None, since: datetime, now: datetime) -> float:
    """Seconds between `since` and `now` that a session was down. `changes`, the oldest first; `before` held before them."""
    total_s, state, at = 0.0, before, since
    for changed_at, after in [*changes, (now, "")]:
        ends_at = min(max(changed_at, since), now)
        if state in DOWN_STATES:
            total_s += (ends_at - at).total_seconds()
        state, at = after, ends_at
    return total_s


def of_downtime(
    session: SessionSeen, changes: Sequence[Change], before: str | None, now: datetime, thresholds: Thresholds
) -> list[Condition]:
    """Whether a session's budget of downtime burns too fast. `changes` reach back for the longest window."""
    budget = 1 - thresholds["uptime_percent"] / 100
    found = []
    for burn in BURNS:
        spent = {
            window: down_s(changes, before, now - window, now) / window.total_seconds()
            for window in (burn.window, burn.short)
        }
        if all(share >= burn.rate * budget for share in spent.values()):
            details = {"down_s": round(spent[burn.window] * burn.window.total_seconds())}
            found.append(Condition(burn.rule, session.account, session.tenant, session.session_id, details))
    return found


def of_client(connector: str, built_at: datetime | None, now: datetime, thresholds: Thresholds) -> list[Condition]:
    """Whether a connector's WhatsApp client has come of age. Nothing where its build does not say."""
    if built_at is None or now - built_at <= timedelta(days=thresholds["client_days"]):
        return []
    return [Condition(Rule.CLIENT_OLD, connector, None, None, {"days": (now - built_at).days})]


@dataclass(frozen=True)
class Latched:
    """What the newest events of latched rules say: `open` holds from now on, `ended` holds no longer; all else stays."""

    open: Sequence[Condition]
    ended: frozenset[tuple[Rule, str, str | None]]


def of_latches(events: Collection[Seen]) -> Latched:
    """By the newest event of each rule and subject, in whatever order they come."""
    holding: list[Condition] = []
    ended: set[tuple[Rule, str, str | None]] = set()
    for rule, latch in LATCHES.items():
        newest: dict[tuple[str, str | None], Seen] = {}
        for event in events:
            if event.kind in latch.opens | latch.closes:
                known = newest.get((event.subject, event.tenant))
                if known is None or event.at > known.at:
                    newest[event.subject, event.tenant] = event
        for (subject, tenant), event in newest.items():
            condition = Condition(
                rule, subject, tenant, event.session_id, {"name": subject, "code": "?", **event.details}
            )
            if event.kind in latch.opens:
                holding.append(condition)
            else:
                ended.add(condition.key)
    return Latched(holding, frozenset(ended))
