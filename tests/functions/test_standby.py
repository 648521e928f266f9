"""The standby: a second device of the same number, asked for, linked by its own code, and taken away again."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.ports.documents import Delete, Update
from keepline.records import accounts

from .support import World, error_code

DEVICE_B = accounts.device_path("anna_shop", "b")
QR_A, QR_B = "2@of-device-a", "2@of-device-b"


@pytest.fixture
def linked(world: World) -> World:
    account = world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat(account)
    return world


def add(world: World) -> Any:
    return world.post("/api/sessions/shop/standby")


def remove(world: World) -> Any:
    return world.delete("/api/sessions/shop/standby")


def status(world: World) -> dict[str, Any]:
    return dict(world.get("/api/sessions/shop/status").get_json())


def qr(world: World, query: str = "slot=b") -> Any:
    return world.get(f"/api/qr/me/shop?format=text&{query}")


def show_second_code(world: World) -> None:
    """A standby waits to be scanned, and its connector is well."""
    world.add_standby("anna_shop", "pairing", "waiting_for_scan", linked=False)
    world.beat("anna_shop", connector="c2", slot="b", evidence_age_ms=None)
    world.offer_qr("anna_shop", QR_B, slot="b")


def test_a_standby_is_a_second_device_that_waits_for_a_connector(linked: World) -> None:
    assert status(linked)["standby"]["state"] == "none"
    answer = add(linked)
    assert answer.status_code == 202
    session = answer.get_json()
    assert session == status(linked)
    assert session["standby"]["state"] == "linking"
    [first, second] = session["devices"]
    assert (first["slot"], first["state"]) == ("a", "connected")
    assert (second["slot"], second["state"], second["reason"]["code"]) == ("b", "starting", "waiting_for_connector")
    assert (second["connector"], second["region"]) == (None, None)
    # What a connector looks for to take it.
    found = linked.run(linked.store.query(accounts.devices_of_connector("")))
    assert [document.path for document in found] == [DEVICE_B]
    assert linked.fields(DEVICE_B)["account"] == "anna_shop"


def test_asking_twice_makes_one(linked: World) -> None:
    add(linked)
    before = linked.store.commits
    assert add(linked).status_code == 202
    assert linked.store.commits == before
    assert len(status(linked)["devices"]) == 2


def test_before_the_first_device_is_linked_there_is_nothing_to_stand_by(world: World) -> None:
    world.add_session(state="pairing", code="waiting_for_scan")
    answer = add(world)
    assert (answer.status_code, error_code(answer)) == (409, "not_linked_yet")
    assert world.document(DEVICE_B) is None


@pytest.mark.parametrize("act", [add, remove])
def test_anothers_session_is_not_found(linked: World, act: Any) -> None:
    linked.add_session("hers", tenant="bert", phone="14155550101")
    answer = linked.post("/api/sessions/hers/standby") if act is add else linked.delete("/api/sessions/hers/standby")
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")


def test_a_state_written_in_between_does_not_stop_it(linked: World) -> None:
    linked.store.conflicts = 3
    assert add(linked).status_code == 202
    linked.store.conflicts = 3
    assert remove(linked).status_code == 204


def test_a_standby_whose_answer_was_lost_is_there(linked: World) -> None:
    linked.store.conflicts_after_applying = 1
    assert add(linked).status_code == 202


def test_one_that_never_gets_through_says_so(linked: World) -> None:
    linked.store.conflicts = 1_000
    answer = add(linked)
    assert (answer.status_code, error_code(answer)) == (503, "busy")


def test_a_removal_that_never_gets_through_says_so(linked: World) -> None:
    linked.add_standby("anna_shop", "connected", "connected", linked=True)
    linked.store.conflicts = 1_000
    answer = remove(linked)
    assert (answer.status_code, error_code(answer)) == (503, "busy")


def test_a_session_deleted_in_between_gets_no_standby(linked: World) -> None:
    """Else a device would stay that is wanted by nobody and cleared by nobody."""

    async def delete() -> object:
        return await linked.store.others_commit(Update(accounts.account_path("anna_shop"), {"wanted": False}))

    linked.store.meanwhile = [delete]
    answer = add(linked)
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")
    assert linked.document(DEVICE_B) is None


def test_a_deletion_takes_a_standby_made_in_between_along(linked: World) -> None:
    async def make() -> object:
        document = await linked.store.get(accounts.account_path("anna_shop"))
        assert document is not None
        account = accounts.Account.read(document)
        return await linked.store.others_commit(*accounts.new_standby(account, account.status))

    linked.store.meanwhile = [make]
    assert linked.delete("/api/sessions/shop").status_code == 204
    assert linked.fields(accounts.device_path("anna_shop", "a"))["wanted"] is False
    assert linked.fields(DEVICE_B)["wanted"] is False


def test_a_removed_standby_is_gone_for_its_owner_and_its_connector_is_told(linked: World) -> None:
    linked.add_standby("anna_shop", "connected", "connected", linked=True)
    answer = remove(linked)
    assert (answer.status_code, answer.data) == (204, b"")
    assert linked.fields(DEVICE_B)["wanted"] is False
    assert linked.fields(accounts.device_path("anna_shop", "a"))["wanted"] is True
    session = status(linked)
    assert (session["standby"]["state"], [device["slot"] for device in session["devices"]]) == ("none", ["a"])
    assert remove(linked).status_code == 204  # Its connector is still at it.
    answer = add(linked)
    assert (answer.status_code, error_code(answer)) == (409, "standby_being_removed")
    assert error_code(qr(linked)) == "standby_not_found"

    linked.commit(*accounts.remove_device("anna_shop", "b"))
    answer = remove(linked)
    assert (answer.status_code, error_code(answer)) == (404, "standby_not_found")
    assert add(linked).status_code == 202


def test_a_session_without_a_standby_or_the_offer_of_one_has_none_to_remove(linked: World) -> None:
    linked.commit(accounts.decline_standby("anna_shop"))
    answer = remove(linked)
    assert (answer.status_code, error_code(answer)) == (404, "standby_not_found")


def test_removing_a_standby_that_its_connector_clears_at_that_moment(linked: World) -> None:
    linked.add_standby("anna_shop", "connected", "connected", linked=True)

    async def clear() -> object:
        return await linked.store.others_commit(Delete(DEVICE_B))

    linked.store.meanwhile = [clear]
    assert remove(linked).status_code == 204
    assert status(linked)["standby"]["setting"] == "off"
    assert error_code(remove(linked)) == "standby_not_found"


@pytest.mark.parametrize(
    ("state", "code", "was_linked", "evidence_age_ms", "standby", "shown"),
    [
        ("starting", "waiting_for_connector", False, None, "linking", "starting"),
        ("pairing", "waiting_for_scan", False, None, "linking", "pairing"),
        ("stopped", "pairing_timed_out", False, None, "linking", "stopped"),
        ("connected", "connected", True, 100, "ready", "connected"),
        ("connected", "connected", True, 20_001, "away", "degraded"),
        ("degraded", "poor_connection", True, 100, "away", "degraded"),
        ("reconnecting", "socket_closed", True, 100, "away", "reconnecting"),
        ("starting", "starting", True, None, "away", "starting"),
        ("logged_out", "logged_out", True, None, "away", "logged_out"),
    ],
)
def test_how_the_standby_is(
    linked: World,
    state: str,
    code: str,
    was_linked: bool,
    evidence_age_ms: int | None,
    standby: str,
    shown: str,
) -> None:
    linked.add_standby("anna_shop", state, code, linked=was_linked)
    linked.beat("anna_shop", connector="c2", slot="b", evidence_age_ms=evidence_age_ms)
    session = status(linked)
    assert session["standby"]["state"] == standby
    assert session["devices"][1]["state"] == shown
    assert session["devices"][1]["reason"]["sentence"]
    assert (session["state"], session["devices"][0]["state"]) == ("connected", "connected")


def test_a_standby_of_a_silent_connector_is_away(linked: World) -> None:
    linked.add_standby("anna_shop", "connected", "connected", linked=True)
    linked.beat("anna_shop", connector="c2", slot="b")
    linked.clock.advance(7)
    linked.beat("anna_shop", n=2)
    session = status(linked)
    assert (session["state"], session["standby"]["state"]) == ("connected", "away")
    assert session["devices"][1]["reason"]["code"] == "connector_silent"


def test_a_linked_standby_keeps_its_session_alive_and_an_unlinked_one_does_not(linked: World) -> None:
    linked.add_standby("anna_shop", "connected", "connected", linked=True)
    linked.clock.advance(7)
    linked.beat("anna_shop", connector="c2", slot="b")
    session = status(linked)
    assert (session["state"], session["devices"][0]["state"]) == ("connected", "degraded")
    linked.commit(Update(DEVICE_B, {"linked": False}))
    assert status(linked)["reason"]["code"] == "connector_silent"


def test_a_standby_that_the_phone_removed_is_mended_without_the_session(linked: World) -> None:
    linked.add_standby("anna_shop", "logged_out", "logged_out", linked=True)
    step = status(linked)["devices"][1]["reason"]["next_step"]
    assert "standby" in step
    assert "session" not in step
    answer = qr(linked)
    assert (answer.status_code, error_code(answer)) == (409, "qr_not_available")
    assert answer.get_json()["error"]["hint"] == step


def test_each_device_has_a_code_of_its_own(linked: World) -> None:
    linked.set_state("anna_shop", "pairing", "waiting_for_scan")
    linked.beat("anna_shop", evidence_age_ms=None)
    linked.offer_qr("anna_shop", QR_A)
    show_second_code(linked)
    assert qr(linked).text == QR_B + "\n"
    assert qr(linked, "slot=a").text == qr(linked, "").text == QR_A + "\n"


def test_the_standbys_code_is_there_whatever_state_its_session_is_in(linked: World) -> None:
    show_second_code(linked)
    for state, code in [("connected", "connected"), ("reconnecting", "unreachable"), ("banned", "banned")]:
        linked.set_state("anna_shop", state, code)
        assert qr(linked).text == QR_B + "\n"


def test_the_code_of_a_standby_whose_connector_is_silent_is_not_shown(linked: World) -> None:
    show_second_code(linked)
    linked.clock.advance(7)
    linked.beat("anna_shop", n=2)  # That the first device's connector beats says nothing of the second's.
    assert error_code(qr(linked)) == "qr_not_ready"


@pytest.mark.parametrize(
    ("state", "code", "was_linked", "expected"),
    [
        ("starting", "waiting_for_connector", False, "qr_not_ready"),
        ("starting", "starting", False, "qr_not_ready"),
        ("pairing", "waiting_for_scan", False, "qr_not_ready"),
        ("reconnecting", "unreachable", False, "qr_not_ready"),
        ("starting", "logging_in", True, "already_linked"),
        ("connected", "connected", True, "already_linked"),
        ("degraded", "no_answer", True, "already_linked"),
        ("starting", "starting", True, "already_linked"),
        ("reconnecting", "socket_closed", True, "already_linked"),
        ("stopped", "replaced", True, "qr_not_available"),
    ],
)
def test_what_is_answered_when_the_standby_has_no_code(
    linked: World, state: str, code: str, was_linked: bool, expected: str
) -> None:
    linked.add_standby("anna_shop", state, code, linked=was_linked)
    linked.beat("anna_shop", connector="c2", slot="b")
    answer = qr(linked)
    assert (answer.status_code, error_code(answer)) == (409, expected)


def test_after_its_codes_ran_out_asking_begins_a_new_round_for_it_alone(linked: World) -> None:
    linked.offer_qr("anna_shop", None)
    linked.add_standby("anna_shop", "stopped", "pairing_timed_out", linked=False)
    linked.offer_qr("anna_shop", None, slot="b")
    answer = qr(linked)
    assert (error_code(answer), answer.headers["Retry-After"]) == ("qr_not_ready", "2")
    assert linked.fields(accounts.pairing_path("anna_shop", "b"))["requested"] == 1
    assert linked.fields(accounts.pairing_path("anna_shop", "a"))["requested"] == 0


def test_where_there_is_no_standby_there_is_no_code_for_it(linked: World) -> None:
    answer = qr(linked)
    assert (answer.status_code, error_code(answer)) == (404, "standby_not_found")


@pytest.mark.parametrize("slot", ["c", "", "A", "a/b"])
def test_a_slot_that_is_none_is_refused(linked: World, slot: str) -> None:
    answer = qr(linked, f"slot={slot}")
    assert (answer.status_code, error_code(answer)) == (400, "bad_field")


@pytest.mark.parametrize(
    ("path", "linked_after"),
    [
        ([("pairing", "waiting_for_scan")], False),
        ([("pairing", "waiting_for_scan"), ("starting", "logging_in")], True),
        ([("pairing", "waiting_for_scan"), ("connected", "connected")], True),
        ([("connected", "connected"), ("reconnecting", "socket_closed"), ("starting", "starting")], True),
        ([("connected", "connected"), ("logged_out", "logged_out")], True),
        ([("connected", "connected"), ("pairing", "waiting_for_scan"), ("stopped", "pairing_timed_out")], False),
    ],
)
def test_a_device_remembers_that_it_was_linked(world: World, path: list[tuple[str, str]], linked_after: bool) -> None:
    account = world.add_session(state="starting", code="starting")
    for state, code in path:
        world.set_state(account, state, code)
    assert world.fields(accounts.device_path(account, "a"))["linked"] is linked_after


def test_removing_an_account_removes_every_devices_documents(linked: World) -> None:
    linked.offer_qr("anna_shop", QR_A)
    linked.add_standby("anna_shop", "pairing", "waiting_for_scan", linked=False)
    linked.offer_qr("anna_shop", QR_B, slot="b")
    linked.claim("anna_shop", linked.send().get_json()["message_id"])
    document = linked.document(accounts.account_path("anna_shop"))
    assert document is not None
    linked.commit(*accounts.remove_account("anna_shop", document.version))
    assert [one.path for one in linked.all_in(accounts.PAIRING)] == []
    assert linked.document(DEVICE_B) is None
    assert linked.document(accounts.device_path("anna_shop", "a")) is None
    assert linked.document("send_authority/anna_shop") is None


def test_a_session_whose_first_device_is_gone_works_through_its_standby(linked: World) -> None:
    account = "anna_shop"
    linked.add_standby(account, "connected", "connected", linked=True)
    linked.beat(account, connector="c2", slot="b")
    linked.set_state(account, "logged_out", "logged_out")
    told = status(linked)
    assert (told["state"], told["devices"][0]["state"]) == ("connected", "logged_out")
    assert linked.send().status_code == 202
