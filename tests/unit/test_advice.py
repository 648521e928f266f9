"""What is recommended for a session, the most urgent first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepline.domain.advice import DeviceFacts, Facts, advice
from keepline.domain.queue_cap import NEAR_THE_CAP
from keepline.domain.reconnect import Breaker
from keepline.domain.session import REASONS, SessionState, SessionStatus
from keepline.domain.standby import Standby
from keepline.domain.views import held_reason

CONNECTED = SessionStatus(SessionState.CONNECTED, "connected")
AWAY = SessionStatus(SessionState.RECONNECTING, "unreachable")
DEVICE = DeviceFacts("a", Breaker.CLOSED, 0, 95)
WELL = Facts(CONNECTED, [DEVICE], Standby.READY, 0, None, None, [])


def codes(facts: Facts) -> list[str]:
    return [one.code for one in advice(facts)]


def test_there_is_nothing_to_say_when_all_is_well() -> None:
    assert codes(WELL) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(WELL, standby=Standby.NONE), ["no_standby"]),
        (replace(WELL, standby=Standby.OFFERED), ["no_standby"]),
        (replace(WELL, standby=Standby.LINKING), ["standby_not_linked"]),
        (replace(WELL, standby=Standby.AWAY), ["standby_away"]),
        (replace(WELL, oldest_queued_s=59.0), []),
        (replace(WELL, oldest_queued_s=61.0), ["queue_stuck"]),
        (replace(WELL, oldest_queued_s=61.0, held=held_reason("spacing")), ["spacing"]),
        (replace(WELL, queued=NEAR_THE_CAP - 1), []),
        (replace(WELL, queued=NEAR_THE_CAP), ["queue_fills"]),
        (replace(WELL, used_up=["messages", "codes"]), ["limit_used_up", "limit_used_up"]),
        (replace(WELL, devices=[replace(DEVICE, quality=59)]), ["poor_quality"]),
        (replace(WELL, devices=[replace(DEVICE, quality=None), replace(DEVICE, quality=60)]), []),
        # A session that is away has other worries than its standby, and its queue waits for it.
        (replace(WELL, status=AWAY, standby=Standby.NONE, oldest_queued_s=500.0), ["unreachable"]),
        (
            replace(WELL, status=AWAY, devices=[replace(DEVICE, breaker=Breaker.OPEN, failed_tries=7)]),
            ["unreachable", "breaker_open"],
        ),
    ],
)
def test_what_is_said(facts: Facts, expected: list[str]) -> None:
    assert codes(facts) == expected


@pytest.mark.parametrize("code", sorted(REASONS))
def test_the_reason_of_a_session_that_is_not_connected_comes_first(code: str) -> None:
    facts = replace(WELL, status=SessionStatus(SessionState.FAILED, code), used_up=["messages"])
    assert advice(facts)[0] == REASONS[code]
    assert all(one.sentence and one.next_step for one in advice(facts))
