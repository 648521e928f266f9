"""What a session's state becomes, and what may be claimed of it."""

from __future__ import annotations

import pytest

from keepline.domain import link_events as link
from keepline.domain.session import (
    REASONS,
    STARTING,
    SessionState,
    SessionStatus,
    judged_status,
    next_status,
    shown_status,
)

CONNECTED = SessionStatus(SessionState.CONNECTED, "connected")


@pytest.mark.parametrize(
    ("event", "state", "code"),
    [
        (link.PairingCode("qr"), "pairing", "waiting_for_scan"),
        (link.PairingEnded(), "stopped", "pairing_timed_out"),
        (link.Paired("1", None, 1), "starting", "logging_in"),
        (link.Connected(), "connected", "connected"),
        (link.Disconnected(), "reconnecting", "socket_closed"),
        (link.Disconnected("proxy_login"), "reconnecting", "proxy_login"),
        (link.Disconnected("never heard of it"), "reconnecting", "socket_closed"),
        (link.LinkFailed("proxy_refused"), "reconnecting", "proxy_refused"),
        (link.LoggedOut(401), "logged_out", "logged_out"),
        (link.Banned(101, 60), "banned", "banned"),
        (link.Outdated(), "outdated", "outdated"),
        (link.Replaced(), "stopped", "replaced"),
        (link.LinkFailed("unreachable"), "reconnecting", "unreachable"),
        (link.LinkFailed("login_refused"), "reconnecting", "login_refused"),
        (link.LinkFailed("never heard of it"), "failed", "failed"),
        (link.Stalled(), "degraded", "no_answer"),
        (link.Resumed(), "connected", "connected"),
        (link.CellLost(), "reconnecting", "cell_lost"),
    ],
)
def test_every_event_has_its_state_and_reason(event: link.StateEvent, state: str, code: str) -> None:
    status = next_status(STARTING, event)
    assert (status.state.value, status.code) == (state, code)
    assert status.reason.sentence.endswith(".")
    assert status.reason.next_step.endswith(".")


def test_a_poor_connection_is_said_until_it_is_good_or_another_one() -> None:
    poor = judged_status(CONNECTED, is_poor=True)
    assert (poor.state, poor.code) == ("degraded", "poor_connection")
    assert next_status(poor, link.CaughtUp()) == poor
    assert judged_status(poor, is_poor=False) == next_status(poor, link.Connected()) == CONNECTED
    assert next_status(poor, link.Disconnected()).code == "socket_closed"


def test_how_good_a_connection_is_says_nothing_of_a_device_without_one() -> None:
    for status in (
        SessionStatus(SessionState.LOGGED_OUT, "logged_out"),
        SessionStatus(SessionState.DEGRADED, "no_answer"),
    ):
        assert judged_status(status, is_poor=True) == judged_status(status, is_poor=False) == status


@pytest.mark.parametrize("terminal", [link.LoggedOut(), link.Banned(101, 0), link.Outdated(), link.Replaced()])
@pytest.mark.parametrize(
    "noise", [link.Disconnected(), link.Stalled(), link.LinkFailed("unreachable"), link.CellLost()]
)
def test_a_dead_end_is_not_papered_over_by_what_follows(terminal: link.StateEvent, noise: link.StateEvent) -> None:
    status = next_status(CONNECTED, terminal)
    assert next_status(status, noise) == status


def test_the_restart_after_a_scan_is_not_shown_as_a_disconnect() -> None:
    assert next_status(next_status(STARTING, link.Paired("1", None, 1)), link.Disconnected()).code == "logging_in"


@pytest.mark.parametrize(
    ("age_ms", "silent", "shown"),
    [
        (100, False, "connected"),
        (15_000, False, "connected"),
        (15_001, False, "evidence_stale"),
        (None, False, "evidence_stale"),
        (100, True, "connector_silent"),
    ],
)
def test_connected_needs_fresh_evidence_and_a_living_connector(age_ms: int | None, silent: bool, shown: str) -> None:
    status = shown_status(CONNECTED, evidence_age_ms=age_ms, connector_silent=silent, evidence_age_ms_max=15_000)
    assert status.code == shown
    assert status.state is (SessionState.CONNECTED if shown == "connected" else SessionState.DEGRADED)


def test_a_dead_end_stays_what_it_is_when_the_connector_is_silent() -> None:
    banned = SessionStatus(SessionState.BANNED, "banned")
    shown = shown_status(banned, evidence_age_ms=None, connector_silent=True, evidence_age_ms_max=1)
    assert shown == banned


def test_every_reason_is_filed_under_its_own_code() -> None:
    assert all(code == reason.code for code, reason in REASONS.items())
