"""The QR code, and what is answered when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.records import accounts

from .support import World, error_code

QR = "2@abcdefghijklmnopqrstuvwxyz,ABCDEFGHIJKLMNOPQRSTUVWXYZ=,0123456789+/=,key="


@pytest.fixture
def pairing(world: World) -> World:
    account = world.add_session(state="pairing", code="waiting_for_scan")
    world.beat(account, evidence_age_ms=None)
    world.offer_qr(account, QR)
    return world


@pytest.mark.parametrize("accept", [None, "*/*", "image/*", "image/png", "application/xml", "text/html,*/*;q=0.8"])
def test_it_is_a_png_by_default(pairing: World, accept: str | None) -> None:
    answer = pairing.get("/api/qr/anna/shop", pairing.anna | ({"Accept": accept} if accept else {}))
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert answer.data.startswith(b"\x89PNG\r\n")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("how", [{"path": "?format=json"}, {"accept": "application/json"}])
def test_as_json_with_how_long_it_holds(pairing: World, how: dict[str, str]) -> None:
    pairing.clock.advance(5)
    answer = pairing.get(f"/api/qr/me/shop{how.get('path', '')}", pairing.anna | {"Accept": how.get("accept", "*/*")})
    body = answer.get_json()
    assert body["qr"] == QR
    assert body["expires_in_s"] == pytest.approx(15, abs=0.01)
    assert body["offered_at"].startswith("2026-03-01T12:00:00.")


def test_a_code_past_its_time_holds_for_a_last_second(pairing: World) -> None:
    pairing.clock.advance(45)  # The first code of a round is good for a minute.
    pairing.beat("anna_shop", evidence_age_ms=None, n=2)
    assert pairing.get("/api/qr/me/shop?format=json").get_json()["expires_in_s"] == 1


@pytest.mark.parametrize("how", [{"path": "?format=text"}, {"accept": "text/plain"}])
def test_as_text(pairing: World, how: dict[str, str]) -> None:
    answer = pairing.get(f"/api/qr/me/shop{how.get('path', '')}", pairing.anna | {"Accept": how.get("accept", "*/*")})
    assert (answer.mimetype, answer.text) == ("text/plain", QR + "\n")


def test_as_terminal_art_that_shows_the_same_modules(pairing: World) -> None:
    answer = pairing.get("/api/qr/me/shop?format=ascii")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert len({len(line) for line in lines}) == 1
    # The upper left finder pattern, two rows to a line, inside a quiet zone of two modules: dark is blank.
    assert [line[:10] for line in lines[:5]] == ["██████████", "██ ▄▄▄▄▄ █", "██ █   █ █", "██ █▄▄▄█ █", "██▄▄▄▄▄▄▄█"]


def test_the_format_goes_before_the_accept_header(pairing: World) -> None:
    answer = pairing.get("/api/qr/me/shop?format=text", pairing.anna | {"Accept": "application/json"})
    assert answer.mimetype == "text/plain"


@pytest.mark.parametrize(
    ("query", "code"),
    [("format=svg", "bad_field"), ("size=3", "unknown_field"), ("format=png&format=text", "bad_field")],
)
def test_a_format_that_is_not_there_is_refused(pairing: World, query: str, code: str) -> None:
    answer = pairing.get(f"/api/qr/me/shop?{query}")
    assert (answer.status_code, error_code(answer)) == (400, code)


def test_another_users_address_is_not_found(pairing: World) -> None:
    answer = pairing.get("/api/qr/bert/shop")
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")


def test_a_code_that_is_a_minute_old_is_not_shown(pairing: World) -> None:
    pairing.clock.advance(61)
    pairing.beat("anna_shop", evidence_age_ms=None, n=2)
    not_ready(pairing.get("/api/qr/me/shop"), "1")


def test_the_code_of_a_silent_connector_is_not_shown(pairing: World) -> None:
    pairing.clock.advance(7)
    answer = pairing.get("/api/qr/me/shop")
    not_ready(answer, "1")
    assert "gone silent" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("starting", "starting"),
        ("starting", "waiting_for_connector"),
        ("pairing", "waiting_for_scan"),
        ("reconnecting", "socket_closed"),
    ],
)
def test_before_a_code_is_on_offer_it_says_so(world: World, state: str, code: str) -> None:
    account = world.add_session(state=state, code=code)
    world.beat(account, evidence_age_ms=None)
    not_ready(world.get("/api/qr/me/shop"), "1")


@pytest.mark.parametrize(
    ("state", "code", "phone"),
    [
        ("connected", "connected", "14155550100"),
        ("connected", "connected", None),
        ("starting", "logging_in", None),
        ("starting", "starting", "14155550100"),
        ("reconnecting", "socket_closed", "14155550100"),
        ("degraded", "no_answer", "14155550100"),
    ],
)
def test_a_linked_session_has_nothing_to_scan(world: World, state: str, code: str, phone: str | None) -> None:
    account = world.add_session(state=state, code=code, phone=phone)
    world.beat(account)
    answer = world.get("/api/qr/me/shop")
    assert (answer.status_code, error_code(answer)) == (409, "already_linked")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("logged_out", "logged_out"),
        ("banned", "banned"),
        ("outdated", "outdated"),
        ("failed", "failed"),
        ("stopped", "replaced"),
    ],
)
def test_where_no_code_can_come_the_next_step_is_named(world: World, state: str, code: str) -> None:
    account = world.add_session(state=state, code=code, phone="14155550100")
    world.beat(account)
    answer = world.get("/api/qr/me/shop")
    assert (answer.status_code, error_code(answer)) == (409, "qr_not_available")
    assert (
        answer.get_json()["error"]["hint"] == world.get("/api/sessions/shop/status").get_json()["reason"]["next_step"]
    )


def test_after_the_codes_ran_out_asking_begins_a_new_round_once(world: World) -> None:
    account = world.add_session(state="stopped", code="pairing_timed_out")
    world.beat(account, evidence_age_ms=None)
    world.offer_qr(account, None)

    def requested() -> Any:
        return world.fields(accounts.pairing_path(account, "a"))["requested"]

    for _ in range(3):  # A program polls.
        not_ready(world.get("/api/qr/me/shop"), "2")
    assert requested() == 1
    world.clock.advance(11)
    not_ready(world.get("/api/qr/me/shop"), "2")
    assert requested() == 2


def test_somebody_else_asking_at_the_same_moment_is_as_good(world: World) -> None:
    account = world.add_session(state="stopped", code="pairing_timed_out")
    world.offer_qr(account, None)
    world.store.conflicts = 1
    not_ready(world.get("/api/qr/me/shop"), "2")


def test_a_round_cannot_be_asked_for_where_none_ever_was(world: World) -> None:
    world.add_session(state="stopped", code="pairing_timed_out")
    not_ready(world.get("/api/qr/me/shop"), "2")


def not_ready(answer: Any, retry_after: str) -> None:
    assert (answer.status_code, error_code(answer)) == (409, "qr_not_ready")
    assert answer.headers["Retry-After"] == retry_after
    assert answer.headers["Cache-Control"] == "no-store"
