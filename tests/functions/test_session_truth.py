"""The status does not lie: what may be said of a session, for every state, age of the heartbeat and age of the evidence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keepline.domain.reconnect import Breaker
from keepline.domain.session import SessionState, SessionStatus
from keepline.records import accounts
from keepline.records.accounts import LinkLife

from .support import NOON, World

# Written state and code, beat age in s (None: no connector holds it), stopping, evidence age at the beat in ms;
# then the shown state and code.
TRUTH = [
    ("connected", "connected", 0.0, False, 100, "connected", "connected"),
    ("connected", "connected", 5.9, False, 100, "connected", "connected"),
    ("connected", "connected", 6.1, False, 100, "degraded", "connector_silent"),
    ("connected", "connected", 3600.0, False, 100, "degraded", "connector_silent"),
    ("connected", "connected", 0.0, True, 100, "degraded", "connector_silent"),
    ("connected", "connected", None, False, None, "degraded", "connector_silent"),
    ("connected", "connected", 0.0, False, 20_000, "connected", "connected"),
    ("connected", "connected", 0.0, False, 20_001, "degraded", "evidence_stale"),
    # The evidence goes on ageing after the beat that told of it.
    ("connected", "connected", 4.0, False, 16_500, "degraded", "evidence_stale"),
    ("connected", "connected", 4.0, False, 15_500, "connected", "connected"),
    ("connected", "connected", 0.0, False, None, "degraded", "evidence_stale"),
    ("degraded", "no_answer", 0.0, False, 100, "degraded", "no_answer"),
    ("reconnecting", "socket_closed", 0.0, False, 60_000, "reconnecting", "socket_closed"),
    ("reconnecting", "socket_closed", 7.0, False, 100, "degraded", "connector_silent"),
    ("pairing", "waiting_for_scan", 0.0, False, None, "pairing", "waiting_for_scan"),
    ("pairing", "waiting_for_scan", 7.0, False, None, "degraded", "connector_silent"),
    ("starting", "starting", 0.0, False, None, "starting", "starting"),
    ("starting", "starting", 7.0, False, None, "degraded", "connector_silent"),
    ("starting", "waiting_for_connector", None, False, None, "starting", "waiting_for_connector"),
    # What a person has to mend stays as it is, whoever is silent.
    ("stopped", "pairing_timed_out", 99.0, False, None, "stopped", "pairing_timed_out"),
    ("stopped", "replaced", 0.0, False, None, "stopped", "replaced"),
    ("logged_out", "logged_out", 99.0, False, None, "logged_out", "logged_out"),
    ("banned", "banned", 0.0, False, None, "banned", "banned"),
    ("outdated", "outdated", 0.0, True, None, "outdated", "outdated"),
    ("failed", "failed", None, False, None, "failed", "failed"),
]


@pytest.mark.parametrize(("state", "code", "beat_age_s", "stopping", "evidence_ms", "shown", "shown_code"), TRUTH)
def test_what_is_shown(
    world: World,
    state: str,
    code: str,
    beat_age_s: float | None,
    stopping: bool,
    evidence_ms: int | None,
    shown: str,
    shown_code: str,
) -> None:
    account = world.add_session(state=state, code=code, connector="" if beat_age_s is None else "c1")
    if beat_age_s is not None:
        world.beat(account, evidence_age_ms=evidence_ms, stopping=stopping)
        world.clock.advance(beat_age_s)
    session = world.get("/api/sessions/shop/status").get_json()
    assert (session["state"], session["reason"]["code"]) == (shown, shown_code)
    assert session["reason"]["sentence"]
    assert session["reason"]["next_step"]
    # A device cannot be better off than its only account.
    assert session["devices"][0]["state"] == shown
    assert session["devices"][0]["reason"] == session["reason"]


def test_the_evidence_is_dated(world: World) -> None:
    account = world.add_session(state="connected", code="connected")
    world.clock.at = NOON.replace(minute=1)
    world.beat(account, evidence_age_ms=1_500, quality=87)
    world.clock.advance(2)
    evidence = world.get("/api/sessions/shop/status").get_json()["evidence"]
    assert evidence == {"at": "2026-03-01T12:00:58.500Z", "kind": "answer", "age_ms": 3_500, "quality": 87}


def test_a_beat_from_a_clock_ahead_of_ours_makes_no_negative_age(world: World) -> None:
    account = world.add_session(state="connected", code="connected")
    world.beat(account, evidence_age_ms=0)
    world.clock.advance(-3)
    session = world.get("/api/sessions/shop/status").get_json()
    assert session["evidence"]["age_ms"] == 0
    assert session["state"] == "connected"


def test_another_devices_beat_is_no_evidence(world: World) -> None:
    world.add_session("shop", state="connected", code="connected")
    other = world.add_session("other", state="connected", code="connected")
    world.beat(other)
    assert world.get("/api/sessions/shop/status").get_json()["reason"]["code"] == "evidence_stale"


def test_who_holds_the_device_is_named(world: World) -> None:
    account = world.add_session(state="connected", code="connected")
    world.beat(account)
    assert world.get("/api/sessions/shop/status").get_json()["devices"] == [
        {
            "slot": "a",
            "state": "connected",
            "reason": {"code": "connected", "sentence": "WhatsApp answers.", "next_step": "Nothing to do."},
            "connector": "c1",
            "region": "r1",
            "reconnect_attempts": 0,
            "breaker": "closed",
            "last_activity": {"at": "2026-03-01T11:59:59.900Z", "kind": "answer"},
        }
    ]


def test_a_device_that_cannot_connect_tells_its_tries_and_what_it_last_heard(world: World) -> None:
    account = world.add_session(state="connected", code="connected")
    heard = NOON - timedelta(minutes=5)
    status = SessionStatus(SessionState.RECONNECTING, "unreachable")
    world.commit(accounts.device_status(account, "a", status, None, LinkLife(7, Breaker.OPEN, heard, "receipt")))
    world.beat(account, evidence_age_ms=301_000)
    [device] = world.get("/api/sessions/shop/status").get_json()["devices"]
    assert (device["reconnect_attempts"], device["breaker"]) == (7, "open")
    assert device["last_activity"] == {"at": "2026-03-01T11:55:00.000Z", "kind": "receipt"}
    world.commit(accounts.device_status(account, "a", status, None, LinkLife(8, Breaker.OPEN)))
    [device] = world.get("/api/sessions/shop/status").get_json()["devices"]
    assert device["last_activity"]["kind"] == "receipt", "nothing heard since leaves what was heard before"
