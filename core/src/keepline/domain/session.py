"""The state of a session (an account's connection), why it is so, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keepline.domain import link_events as link


class SessionState(StrEnum):
    """Where a session is. Only its connector moves it; the API shows `degraded` by itself when the evidence is old."""

    STARTING = "starting"  # A connector is opening the socket, or none has taken the session yet.
    PAIRING = "pairing"  # A QR code waits for the phone. Left by Paired or when the codes run out.
    CONNECTED = "connected"  # Logged in, with evidence younger than a few seconds.
    DEGRADED = "degraded"  # The socket stands or stood, but works badly, or there is no fresh evidence that it works.
    RECONNECTING = "reconnecting"  # The socket is gone and is being re-made by itself.
    STOPPED = "stopped"  # Nobody tries: the codes ran out, or another socket took the device.
    LOGGED_OUT = "logged_out"  # The phone removed the device; a new QR code is needed.
    BANNED = "banned"  # WhatsApp banned the number for a while.
    OUTDATED = "outdated"  # WhatsApp refuses this build of the connector.
    FAILED = "failed"  # Something we did not foresee; the reason has the library's words.


# States that end an attempt for good: the connector does not retry out of them by itself.
TERMINAL_STATES = frozenset(
    {SessionState.STOPPED, SessionState.LOGGED_OUT, SessionState.BANNED, SessionState.OUTDATED, SessionState.FAILED}
)


@dataclass(frozen=True)
class Reason:
    """Why a session is in its state: a stable code, a sentence for people, the next step."""

    code: str
    sentence: str
    next_step: str


_NOTHING = "Nothing to do."
_BY_ITSELF = "Nothing to do: it heals by itself and queued messages are kept."

REASONS: dict[str, Reason] = {
    reason.code: reason
    for reason in (
        Reason(
            "waiting_for_connector", "No connector has taken this session yet.", "Nothing to do if a connector runs."
        ),
        Reason("starting", "The connector is opening the connection to WhatsApp.", _NOTHING),
        Reason("waiting_for_scan", "A QR code waits to be scanned.", "Scan it: phone, WhatsApp, Linked devices."),
        Reason("logging_in", "The phone has linked this session; WhatsApp is letting it in.", _NOTHING),
        Reason("connected", "WhatsApp answers.", _NOTHING),
        Reason("socket_closed", "The connection to WhatsApp closed and is being re-made.", _BY_ITSELF),
        Reason("login_refused", "WhatsApp refused the login for now; it is being tried again.", _BY_ITSELF),
        Reason(
            "unreachable", "WhatsApp cannot be reached from the connector.", "Check the connector's network and proxy."
        ),
        Reason(
            "proxy_unreachable",
            "The proxy that leads to WhatsApp does not answer.",
            "Check that the proxy runs and that its address is right, then set it anew if need be.",
        ),
        Reason(
            "proxy_login",
            "The proxy that leads to WhatsApp wants another name or password.",
            "Set the session's proxy with the right ones, or correct the connector's own.",
        ),
        Reason(
            "proxy_refused",
            "The proxy answers, but does not or cannot connect to WhatsApp.",
            "Have the proxy allow web.whatsapp.com, port 443, or set another one.",
        ),
        Reason(
            "proxy_not_allowed",
            "The proxy's name leads to a private address, and this installation does not dial those for its sessions.",
            "Set a proxy with a public address; or its operator allows private ones with KEEPLINE_PRIVATE_ADDRESSES.",
        ),
        Reason(
            "proxy_unreadable",
            "The stored proxy of this session was changed or cannot be opened: the device does not connect without it.",
            "Set the session's proxy anew, and give the connector the key that the functions have.",
        ),
        Reason("no_answer", "The connection stands but WhatsApp does not answer on it.", _BY_ITSELF),
        Reason(
            "poor_connection",
            "WhatsApp answers, but badly: slowly, or what is sent must be sent again.",
            "Nothing to do: another connection is tried. If it stays, look at the connector's network and proxy.",
        ),
        Reason("cell_lost", "The process that held the connection died and is being replaced.", _BY_ITSELF),
        Reason(
            "runner_failed",
            "What keeps this connection in Keepline failed and is being started again.",
            "Nothing to do if it heals; if it comes back, report what the connector's log says.",
        ),
        Reason("connector_silent", "The connector that holds this session has gone silent.", _BY_ITSELF),
        Reason("evidence_stale", "Nothing has been heard from WhatsApp for too long to call it connected.", _BY_ITSELF),
        Reason("pairing_timed_out", "The QR codes ran out before one was scanned.", "Ask for the QR code again."),
        Reason("replaced", "Another program took over this linked device.", "Stop the other program, then reconnect."),
        Reason("logged_out", "The phone removed this linked device.", "Delete the session, create it again and scan."),
        Reason(
            "banned", "WhatsApp has banned this number for a while.", "Wait for the ban to end, then send more slowly."
        ),
        Reason(
            "outdated",
            "WhatsApp refuses this version of the connector.",
            "Redeploy the connector with the newest build.",
        ),
        Reason(
            "session_seal_broken",
            "The stored session was changed or belongs elsewhere: it is not used.",
            "Find out who can write to the store. Bring it back from a backup, allow an older version, or link again.",
        ),
        Reason(
            "session_gap",
            "The stored session is not whole: it is not used.",
            "Bring the store back from a backup, allow an older version, or link again.",
        ),
        Reason(
            "session_rolled_back",
            "An older state of the stored session was put in its place: it is not used.",
            "Bring the newer one back, or delete the session, create it again and scan.",
        ),
        Reason(
            "session_invalid",
            "The stored session opens but is not a usable store of a linked device.",
            "Allow an older version, or delete the session, create it again and scan.",
        ),
        Reason(
            "session_key_refused",
            "The key of the stored session cannot be unwrapped.",
            "Give the connector the key file or the Cloud KMS key that the session was saved with, and the right to use it.",
        ),
        Reason("failed", "The connection failed in a way Keepline does not know.", "Look at the connector's log."),
    )
}


@dataclass(frozen=True)
class SessionStatus:
    """A state and the code of its reason."""

    state: SessionState
    code: str

    @property
    def reason(self) -> Reason:
        return REASONS[self.code]


STARTING = SessionStatus(SessionState.STARTING, "starting")
WAITING_FOR_CONNECTOR = SessionStatus(SessionState.STARTING, "waiting_for_connector")


def refused_status(code: str) -> SessionStatus:
    """Of a device whose stored session must not be used, by the refusal's code."""
    return SessionStatus(SessionState.FAILED, code)


RUNNER_FAILED = SessionStatus(SessionState.RECONNECTING, "runner_failed")


def next_status(status: SessionStatus, event: link.StateEvent) -> SessionStatus:
    """The status after `event`. Terminal states are left only by a new attempt that gets somewhere."""
    match event:
        case link.PairingCode():
            return SessionStatus(SessionState.PAIRING, "waiting_for_scan")
        case link.PairingEnded():
            return SessionStatus(SessionState.STOPPED, "pairing_timed_out")
        case link.Paired():
            return SessionStatus(SessionState.STARTING, "logging_in")
        case link.CaughtUp() if status.code == "poor_connection":
            return status
        case link.Connected() | link.CaughtUp() | link.Resumed():
            return SessionStatus(SessionState.CONNECTED, "connected")
        case link.LoggedOut():
            return SessionStatus(SessionState.LOGGED_OUT, "logged_out")
        case link.Banned():
            return SessionStatus(SessionState.BANNED, "banned")
        case link.Outdated():
            return SessionStatus(SessionState.OUTDATED, "outdated")
        case link.Replaced():
            return SessionStatus(SessionState.STOPPED, "replaced")
    if status.state in TERMINAL_STATES:
        return status
    match event:
        case link.Stalled():
            return SessionStatus(SessionState.DEGRADED, "no_answer")
        case link.CellLost():
            return SessionStatus(SessionState.RECONNECTING, "cell_lost")
        case link.LinkFailed(cause=cause):
            code = cause if cause in REASONS else "failed"
            state = SessionState.FAILED if code == "failed" else SessionState.RECONNECTING
            return SessionStatus(state, code)
        case link.Disconnected(cause=cause):
            # A socket that closes while the phone links (stream error 515) is part of the ceremony.
            if status.code == "logging_in":
                return status
            return SessionStatus(SessionState.RECONNECTING, cause if cause in REASONS else "socket_closed")
        case link.Moved():
            return status  # Back within a second, or what comes next says otherwise.


def judged_status(status: SessionStatus, *, is_poor: bool) -> SessionStatus:
    """The status once the connection has become poor, or good again."""
    if is_poor and status.state is SessionState.CONNECTED:
        return SessionStatus(SessionState.DEGRADED, "poor_connection")
    if not is_poor and status.code == "poor_connection":
        return SessionStatus(SessionState.CONNECTED, "connected")
    return status


def shown_status(
    status: SessionStatus, *, evidence_age_ms: int | None, connector_silent: bool, evidence_age_ms_max: int
) -> SessionStatus:
    """What the API may claim: `connected` only with fresh evidence, and nothing live through a silent connector."""
    live = status.state not in TERMINAL_STATES and status.code != "waiting_for_connector"
    if live and connector_silent:
        return SessionStatus(SessionState.DEGRADED, "connector_silent")
    if status.state is SessionState.CONNECTED and (evidence_age_ms is None or evidence_age_ms > evidence_age_ms_max):
        return SessionStatus(SessionState.DEGRADED, "evidence_stale")
    return status
