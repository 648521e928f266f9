"""The offer of a standby: what is shown, what asking for its code begins, and that it costs nothing until then."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.domain.session import SessionState, SessionStatus
from keepline.ports.documents import Put, Update
from keepline.records import accounts
from keepline.records.accounts import Account, Device
from keepline.usecases import pairing_codes

from .support import World, error_code

ACCOUNT = "anna_shop"
PHONE = "14155550100"
DEVICE_B = accounts.device_path(ACCOUNT, "b")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_codes, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(pairing_codes, "CODE_WAIT_S", 0.2)


@pytest.fixture
def up(world: World) -> World:
    """A session whose first device is connected."""
    world.add_session(state="connected", code="connected", phone=PHONE)
    world.beat(ACCOUNT)
    return world


def offer(world: World) -> None:
    """What the first device's connector writes after 30 s."""
    document = world.document(accounts.account_path(ACCOUNT))
    assert document is not None
    world.commit(accounts.offer_standby(Account.read(document)))


def session(world: World) -> dict[str, Any]:
    return dict(world.get("/api/sessions/shop/status").get_json())


def standby(world: World) -> dict[str, Any]:
    return dict(session(world)["standby"])


def qr(world: World) -> Any:
    return world.get("/api/qr/me/shop?slot=b&format=text")


def code(world: World, phone: str = PHONE) -> Any:
    body = {"phone": phone, "slot": "b"}
    return world.client.post("/api/sessions/shop/pairing-code", json=body, headers=world.anna)


def test_a_session_says_that_it_has_no_standby_and_that_one_will_be_offered(up: World) -> None:
    assert (standby(up)["state"], standby(up)["setting"], standby(up)["offered_at"]) == ("none", "offer", None)
    assert "has no standby" in standby(up)["sentence"]
    assert "30 s" in standby(up)["next_step"]


def test_an_offer_is_shown_and_the_session_is_as_well_as_before(up: World) -> None:
    before = session(up)
    offer(up)
    after = session(up)
    assert after["standby"]["state"] == "offered"
    assert after["standby"]["offered_at"].startswith("2026-03-01T12:00:00")
    assert "has no standby" in after["standby"]["sentence"]
    assert "QR code" in after["standby"]["next_step"]
    assert before | {"standby": None} == after | {"standby": None}  # No device, no other state or reason.


def test_looking_at_an_offer_begins_nothing(up: World) -> None:
    offer(up)
    before = up.store.commits
    session(up)
    up.get("/api/sessions")
    assert error_code(up.get("/api/qr/me/shop")) == "already_linked"
    assert up.store.commits == before
    assert up.document(DEVICE_B) is None


@pytest.mark.parametrize(("ask", "expected"), [(qr, "qr_not_ready"), (code, "pairing_code_not_ready")])
def test_asking_for_its_code_makes_the_standby_once(up: World, ask: Any, expected: str) -> None:
    offer(up)
    for _ in range(3):
        answer = ask(up)
        assert (answer.status_code, error_code(answer)) == (409, expected)
        assert "Retry-After" in answer.headers
    assert standby(up)["state"] == "linking"
    document = up.document(DEVICE_B)
    assert document is not None
    assert (Device.read(document).connector, Device.read(document).wanted) == ("", True)
    assert [device["slot"] for device in session(up)["devices"]] == ["a", "b"]


def test_a_standby_that_nobody_links_does_not_make_its_session_look_ill(up: World) -> None:
    offer(up)
    qr(up)
    for state, reason in [("pairing", "waiting_for_scan"), ("stopped", "pairing_timed_out")]:
        up.commit(Update(DEVICE_B, accounts.status_fields(SessionStatus(SessionState(state), reason))))
        shown = session(up)
        assert (shown["state"], shown["reason"]["code"]) == ("connected", "connected")
        assert shown["standby"]["state"] == "linking"
        assert up.send().status_code == 202


@pytest.mark.parametrize(("ask", "expected"), [(qr, "standby_not_found"), (code, "standby_not_found")])
def test_before_it_is_offered_and_where_it_is_off_asking_for_its_code_makes_nothing(
    up: World, ask: Any, expected: str
) -> None:
    assert error_code(ask(up)) == expected
    offer(up)
    up.commit(accounts.decline_standby(ACCOUNT))
    assert error_code(ask(up)) == expected
    assert up.document(DEVICE_B) is None


def test_a_standby_that_is_off_is_not_offered_and_can_be_asked_for(world: World) -> None:
    answer = world.client.post(
        "/api/sessions/create", json={"session_id": "shop", "standby": "off"}, headers=world.anna
    )
    assert (answer.get_json()["standby"]["state"], answer.get_json()["standby"]["setting"]) == ("none", "off")
    world.commit(Update(accounts.account_path(ACCOUNT), {"phone": PHONE}))
    assert world.post("/api/sessions/shop/standby").status_code == 202


def test_a_setting_that_is_none_is_refused(world: World) -> None:
    answer = world.client.post("/api/sessions/create", json={"standby": "on"}, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (400, "bad_field")


def test_an_offer_can_be_declined(up: World) -> None:
    offer(up)
    assert up.delete("/api/sessions/shop/standby").status_code == 204
    assert (standby(up)["state"], standby(up)["setting"]) == ("none", "off")
    assert standby(up)["next_step"] == "Ask for one if you want one."
    assert error_code(up.delete("/api/sessions/shop/standby")) == "standby_not_found"


def test_a_removed_standby_is_not_offered_again(up: World) -> None:
    """Else a page that still asks for its code would make it anew."""
    offer(up)
    qr(up)
    assert up.delete("/api/sessions/shop/standby").status_code == 204
    up.commit(*accounts.remove_device(ACCOUNT, "b"))
    assert error_code(qr(up)) == "standby_not_found"
    assert standby(up)["state"] == "none"


def test_of_an_acceptance_and_a_refusal_at_the_same_moment_one_wins(up: World) -> None:
    offer(up)

    async def decline() -> object:
        return await up.store.others_commit(accounts.decline_standby(ACCOUNT))

    up.store.meanwhile = [decline]
    assert error_code(qr(up)) == "qr_not_ready"
    assert up.document(DEVICE_B) is None
    assert error_code(qr(up)) == "standby_not_found"


def test_another_numbers_standby_is_told_of_until_the_next_one(up: World) -> None:
    offer(up)
    qr(up)
    document = up.document(DEVICE_B)
    assert document is not None
    up.commit(*accounts.refuse_standby(Device.read(document)))
    assert "another number" in standby(up)["sentence"]
    up.commit(*accounts.remove_device(ACCOUNT, "b"))
    assert standby(up)["state"] == "offered"
    assert "another number" in standby(up)["sentence"]
    qr(up)
    assert "another number" not in standby(up)["sentence"]


def test_a_session_from_before_there_were_offers_gets_one_too(up: World) -> None:
    path = accounts.account_path(ACCOUNT)
    fields = {name: value for name, value in up.fields(path).items() if not name.startswith("standby")}
    up.commit(Put(path, fields))
    assert standby(up)["setting"] == "offer"
    offer(up)
    assert standby(up)["state"] == "offered"
