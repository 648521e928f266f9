"""What the installation's log of events (`monitoring/{event}`) can say: every kind with its weight, its words and its readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from keepline.domain.session import TERMINAL_STATES, SessionState


class Severity(StrEnum):
    """How much an event or an alert matters."""

    INFO = "info"  # Good to know.
    WARNING = "warning"  # Somebody should look at it today.
    CRITICAL = "critical"  # Somebody should look at it now: messages wait, or soon will.


SEVERITIES = tuple(Severity)  # the mildest first


class EventKind(StrEnum):
    """What happened."""

    SESSION_STATE = "session_state"  # A session's state or its reason changed.
    SESSION_DISCONNECTED = "session_disconnected"  # A session that was connected is not any more.
    SESSION_RECONNECTED = "session_reconnected"  # A session that had lost its connection has one again.
    SESSION_BANNED = "session_banned"  # WhatsApp has banned the number for a while.
    SESSION_OUTDATED = "session_outdated"  # WhatsApp refuses the connector's build.
    SESSION_LOGGED_OUT = "session_logged_out"  # The phone has removed the device.
    RESTORE_FAILED = "restore_failed"  # A stored session could not be used.
    DEVICE_MOVED = "device_moved"  # A device is held by another connector now.
    SEND_RIGHT_MOVED = "send_right_moved"  # Another device or connector sends for the account now.
    RATE_SIGNAL = "rate_signal"  # WhatsApp says that the number does too much.
    DOUBT = "doubt"  # It is not known whether a message left.
    DEAD_LETTER = "dead_letter"  # A message was given up.
    WEBHOOK_DEAD_LETTER = "webhook_dead_letter"  # Events for a webhook were given up, in an hour that the event names.
    LIMIT_REACHED = "limit_reached"  # A user's limit was hit, in a minute that the event names.
    CONNECTOR_SILENT = "connector_silent"
    CONNECTOR_BACK = "connector_back"
    OUTAGE_BEGAN = "outage_began"  # What is watched does not answer as it should.
    OUTAGE_ENDED = "outage_ended"
    TARGET_DEGRADING = "target_degrading"  # What is watched answers more and more slowly: a prediction.
    RUN_MISSED = "run_missed"  # The uptime checks did not run for a while.
    RECOVERY_STARTED = "recovery_started"
    RECOVERY_STEP = "recovery_step"
    RECOVERED = "recovered"
    RECOVERY_FAILED = "recovery_failed"
    RECOVERY_ADVISED = "recovery_advised"  # A restart would help, but nobody could take over meanwhile.
    ALERT_OPENED = "alert_opened"
    ALERT_CLOSED = "alert_closed"
    NOTIFIER_FAILED = "notifier_failed"  # A channel could not be told.


@dataclass(frozen=True)
class EventWords:
    """`sentence` has `{subject}` and details of the event in braces. `of_tenant`: a tenant may read it; else operators only.

    Kinds that are a tenant's or the installation's, as their alert is, are `of_tenant` when the event has a tenant.
    """

    severity: Severity
    sentence: str
    next_step: str
    of_tenant: bool


_NOTHING = "Nothing to do."
_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL

EVENTS: Mapping[EventKind, EventWords] = {
    EventKind.SESSION_STATE: EventWords(_INFO, "{sentence}", "Look at the session's status.", True),
    EventKind.SESSION_DISCONNECTED: EventWords(
        _WARNING,
        "{session} lost its connection to WhatsApp ({code}).",
        "Nothing to do if it comes back by itself; else look at the session's status.",
        True,
    ),
    EventKind.SESSION_RECONNECTED: EventWords(_INFO, "{session} is connected again.", _NOTHING, True),
    EventKind.SESSION_BANNED: EventWords(
        _CRITICAL,
        "WhatsApp has banned the number of {session} for a while.",
        "Wait for the ban to end, then send more slowly.",
        True,
    ),
    EventKind.SESSION_OUTDATED: EventWords(
        _CRITICAL,
        "WhatsApp refuses the connector's build for {session}.",
        "Redeploy the connector with the newest build.",
        True,
    ),
    EventKind.SESSION_LOGGED_OUT: EventWords(
        _CRITICAL,
        "The phone has removed the linked device of {session}.",
        "Delete the session, create it again and scan.",
        True,
    ),
    EventKind.RESTORE_FAILED: EventWords(
        _CRITICAL,
        "The stored session of device {slot} of {session} could not be used ({code}).",
        "Look at the reason in the session's status: it says what brings it back.",
        True,
    ),
    EventKind.DEVICE_MOVED: EventWords(
        _INFO, "Device {slot} of {session} moved from {from} to {to}.", "Nothing to do: it connects there.", True
    ),
    EventKind.SEND_RIGHT_MOVED: EventWords(
        _INFO, "Device {slot} at {to} sends for {session} now.", "Nothing to do: what waited goes on.", True
    ),
    EventKind.RATE_SIGNAL: EventWords(
        _WARNING,
        "WhatsApp says that {session} does too much ({code}).",
        "Send less, and to fewer people who do not know the number.",
        True,
    ),
    EventKind.DOUBT: EventWords(
        _WARNING,
        "It is not known yet whether the message {message_id} of {session} left.",
        "Nothing to do: evidence decides, or the choice on_doubt.",
        True,
    ),
    EventKind.DEAD_LETTER: EventWords(
        _WARNING,
        "The message {message_id} of {session} was given up ({code}).",
        "Look at its error, then replay it or leave it.",
        True,
    ),
    EventKind.WEBHOOK_DEAD_LETTER: EventWords(
        _WARNING,
        "The webhook {subject} could not be told of what happened: events for it were given up.",
        "Look at its deliveries, then replay them or leave them.",
        True,
    ),
    EventKind.LIMIT_REACHED: EventWords(
        _INFO,
        "The limit of {subject} was reached.",
        "Spread the requests, or have the limit raised.",
        True,
    ),
    EventKind.CONNECTOR_SILENT: EventWords(
        _CRITICAL, "The connector {subject} has gone silent.", "Look at its log, and whether it runs.", False
    ),
    EventKind.CONNECTOR_BACK: EventWords(_INFO, "The connector {subject} beats again.", _NOTHING, False),
    EventKind.OUTAGE_BEGAN: EventWords(
        _CRITICAL,
        "{name} does not answer as it should ({code}).",
        "Nothing to do while its recovery runs; else look at its log.",
        False,
    ),
    EventKind.OUTAGE_ENDED: EventWords(_INFO, "{name} answers again, after {seconds} s.", _NOTHING, False),
    EventKind.TARGET_DEGRADING: EventWords(
        _WARNING,
        "{name} answers more and more slowly.",
        "Look at what it is busy with; recovery restarts it where somebody can take over.",
        False,
    ),
    EventKind.RUN_MISSED: EventWords(
        _WARNING,
        "The uptime checks did not run ({missed}).",
        "Look at the schedule and at the log of its function.",
        False,
    ),
    EventKind.RECOVERY_STARTED: EventWords(_INFO, "The recovery of {name} has begun: it is {reason}.", _NOTHING, False),
    EventKind.RECOVERY_STEP: EventWords(_INFO, "Recovery of {name}: {way}, {outcome}.", _NOTHING, False),
    EventKind.RECOVERED: EventWords(_INFO, "{sentence}", _NOTHING, False),
    EventKind.RECOVERY_FAILED: EventWords(
        _CRITICAL,
        "{sentence}",
        "Look at its log and at what its platform says; recovery tries again within an hour while it is down.",
        False,
    ),
    EventKind.RECOVERY_ADVISED: EventWords(
        _WARNING, "{sentence}", "Restart it yourself, or give it others that can take over.", False
    ),
    EventKind.ALERT_OPENED: EventWords(_WARNING, "{sentence}", "Look at the alert.", True),
    EventKind.ALERT_CLOSED: EventWords(_INFO, "It is over: {sentence}", _NOTHING, True),
    EventKind.NOTIFIER_FAILED: EventWords(
        _WARNING,
        "The channel {name} could not be told of alerts ({code}).",
        "Test it; mend what it says, or make it anew.",
        True,
    ),
}

# What a session's connection may be called as long as nobody needs to look for it.
_UP = frozenset({SessionState.CONNECTED, SessionState.DEGRADED})
_DOWN = TERMINAL_STATES | {SessionState.RECONNECTING}
_OF_STATE = {
    SessionState.BANNED: EventKind.SESSION_BANNED,
    SessionState.OUTDATED: EventKind.SESSION_OUTDATED,
    SessionState.LOGGED_OUT: EventKind.SESSION_LOGGED_OUT,
}
_REFUSALS = frozenset(
    {"session_seal_broken", "session_gap", "session_rolled_back", "session_invalid", "session_key_refused"}
)


def sentence_of(kind: EventKind, subject: str, details: Mapping[str, Any]) -> str:
    """The event in words. A detail that is not there is left open: an event that cannot be told well is told all the same."""
    return EVENTS[kind].sentence.format_map(_Open({**details, "subject": subject}))


class _Open(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def state_severity(state: str) -> Severity:
    """How much it matters that a session is in this state."""
    if state in (SessionState.FAILED, *_OF_STATE):
        return Severity.CRITICAL
    return Severity.WARNING if state in (SessionState.RECONNECTING, SessionState.STOPPED) else Severity.INFO


def of_state_change(before: str | None, state: str) -> list[EventKind]:
    """What the change of a session's state is besides that."""
    now = SessionState(state)
    then = SessionState(before) if before is not None else None
    if then is now:
        return []
    found = [EventKind.SESSION_DISCONNECTED] if then in _UP and now in _DOWN else []
    if now is SessionState.CONNECTED and then is SessionState.RECONNECTING:
        found.append(EventKind.SESSION_RECONNECTED)
    return [*found, *([_OF_STATE[now]] if now in _OF_STATE else [])]


def is_restore_failure(code: str) -> bool:
    """Whether this reason of a state says that a stored session was refused (session_refusals.py)."""
    return code in _REFUSALS


@dataclass(frozen=True)
class Seen:
    """An event, as the rules of alerts look at it."""

    kind: EventKind
    at: datetime
    subject: str
    tenant: str | None
    session_id: str | None
    details: Mapping[str, Any]
