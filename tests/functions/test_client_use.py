"""What a program does with the Python client: link, send, wait, read, be told; and what it sees when something is wrong."""

from __future__ import annotations

import itertools
import logging
import pickle
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from keepline.domain.link_events import MessageHeard
from keepline.records import history
from keepline_client import (
    BadRequest,
    CannotConnect,
    Conflict,
    Forbidden,
    Keepline,
    KeeplineError,
    NotDelivered,
    NotFound,
    Unauthorized,
    WaitedInVain,
    types,
)

from .client_shapes import mismatches
from .client_support import HALVES, URL, Pauses, Wire, client
from .support import CHAT, NOON, World
from .test_pairing_code import GOOD, PHONE, connector


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    return Pauses(monkeypatch)


@pytest.fixture
def wire(world: World) -> Wire:
    return Wire(world)


@pytest.fixture(params=HALVES)
def keepline(request: pytest.FixtureRequest, world: World, wire: Wire, pauses: Pauses) -> Iterator[Any]:
    with client(request.param, URL, world.anna["X-Api-Key"], wire) as keepline:
        yield keepline


@pytest.fixture
def pairing(world: World) -> str:
    account = world.add_session(state="pairing", code="waiting_for_scan")
    world.beat(account, evidence_age_ms=None)
    world.offer_qr(account, "2@one")
    return account


@pytest.fixture
def shop(world: World) -> str:
    account = world.add_session(state="connected", code="connected", phone="14155550100")
    world.beat(account)
    return account


def test_each_code_to_scan_is_shown_once_until_a_phone_has_linked(
    world: World, keepline: Any, pairing: str, pauses: Pauses
) -> None:
    pauses.meanwhile = [
        lambda: None,
        lambda: world.offer_qr(pairing, "2@two"),
        lambda: world.offer_qr(pairing, None),
        lambda: world.offer_qr(pairing, "2@three"),
        lambda: world.set_state(pairing, "pairing", "logging_in"),
    ]
    codes = list(keepline.sessions.qr_codes("shop"))
    assert [code["qr"] for code in codes] == ["2@one", "2@two", "2@three"]
    assert all(code["art"].startswith("██") for code in codes)


def test_a_phone_that_is_faster_than_the_picture_of_its_code_is_no_error(
    world: World, keepline: Any, pairing: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = wire.handle_request

    def link_meanwhile(request: httpx.Request) -> httpx.Response:
        if request.url.params["format"] == "ascii":
            world.set_state(pairing, "pairing", "logging_in")
        return answer(request)

    monkeypatch.setattr(wire, "handle_request", link_meanwhile)
    assert list(keepline.sessions.qr_codes("shop")) == []


def test_waiting_for_a_session_ends_when_it_is_connected(
    world: World, keepline: Any, shop: str, pauses: Pauses
) -> None:
    world.set_state(shop, "reconnecting", "socket_closed")
    pauses.meanwhile = [lambda: None, lambda: world.set_state(shop, "connected", "connected")]
    assert keepline.sessions.wait_until_connected("shop")["phone"] == "14155550100"


def test_waiting_has_an_end(keepline: Any, pairing: str, pauses: Pauses) -> None:
    with pytest.raises(WaitedInVain) as tired:
        keepline.sessions.wait_until_connected("shop", timeout_s=3)
    assert isinstance(tired.value, TimeoutError)
    assert sum(pauses.seconds) == pytest.approx(3)


@pytest.mark.parametrize("state", ["logged_out", "banned", "outdated", "failed"])
def test_nobody_waits_for_what_only_a_person_can_mend(world: World, keepline: Any, pairing: str, state: str) -> None:
    world.set_state(pairing, state, state)
    with pytest.raises(CannotConnect) as hopeless:
        keepline.sessions.wait_until_connected("shop")
    assert hopeless.value.session["state"] == state
    assert hopeless.value.hint == hopeless.value.session["reason"]["next_step"] != ""
    with pytest.raises(Conflict, match="qr_not_available"):
        list(keepline.sessions.qr_codes("shop"))


def test_a_pairing_code_is_what_its_type_says(world: World, keepline: Any, pairing: str) -> None:
    with connector(world, GOOD):
        code = keepline.sessions.pairing_code("shop", PHONE)
    assert list(mismatches(code, types.PairingCode)) == []
    assert code["code"] == GOOD.code


@pytest.mark.parametrize("state", ["sent", "delivered", "read"])
def test_waiting_for_a_message_ends_when_it_has_come_so_far(
    world: World, keepline: Any, shop: str, pauses: Pauses, state: str
) -> None:
    message_id = keepline.messages.send("shop", CHAT, "hello")["message_id"]
    pauses.meanwhile = [
        lambda: world.settle(message_id, state="sent", wa_message_id="W1"),
        lambda: world.settle(message_id, state="delivered"),
        lambda: world.settle(message_id, state="played"),
    ]
    found = keepline.messages.wait_until(message_id, state)
    assert found["state"] == {"sent": "sent", "delivered": "delivered", "read": "played"}[state]


def test_waiting_for_a_message_that_fails_says_why(world: World, keepline: Any, shop: str, pauses: Pauses) -> None:
    message_id = keepline.messages.send("shop", CHAT, "hello")["message_id"]
    pauses.meanwhile = [lambda: world.settle(message_id, state="failed", error_code="no_lid")]
    with pytest.raises(NotDelivered, match="no_lid") as failed:
        keepline.messages.wait_until(message_id)
    assert failed.value.ended["state"] == "failed"
    taken_back = keepline.messages.send("shop", CHAT, "hello")["message_id"]
    keepline.messages.cancel(taken_back)
    with pytest.raises(NotDelivered, match="cancelled"):
        keepline.messages.wait_until(taken_back)


def test_all_messages_are_read_page_by_page_and_no_page_too_early(
    world: World, keepline: Any, shop: str, wire: Wire
) -> None:
    for number in range(250):
        world.hear(shop, f"WA{number:03}", NOON + timedelta(seconds=number))
    newest = list(itertools.islice(keepline.messages.list("shop"), 3))
    assert [message["wa_message_id"] for message in newest] == ["WA249", "WA248", "WA247"]
    assert len(wire.requests) == 1
    everything = [message["wa_message_id"] for message in keepline.messages.list("shop", chat="+1 415 555 0123")]
    assert everything == [f"WA{number:03}" for number in reversed(range(250))]


def test_a_reply_goes_to_the_messages_chat_and_quotes_it(world: World, keepline: Any, shop: str) -> None:
    world.run(_hear_in_group(world, shop))
    [asked] = keepline.messages.list("shop")
    answer = keepline.messages.reply(asked, "at eight")
    assert (answer["chat"], answer["quote"]["message_id"]) == (asked["chat"], asked["message_id"])


async def _hear_in_group(world: World, account: str) -> None:
    heard = MessageHeard(1, "WA1", "120363000000000000@g.us", PHONE, None, False, "text", "When?", NOON)
    await world.store.commit([history.heard_message(account, "anna", "shop", heard)])


def test_a_time_to_send_may_be_a_time_but_not_one_of_nowhere(keepline: Any, shop: str) -> None:
    message = keepline.messages.send("shop", CHAT, "later", send_at=NOON + timedelta(hours=1))
    assert message["send_at"] == "2026-03-01T13:00:00.000Z"
    with pytest.raises(ValueError, match="time zone"):
        keepline.messages.send("shop", CHAT, "later", send_at=datetime(2026, 3, 1))


def test_a_text_is_no_list_of_texts(keepline: Any, wire: Wire) -> None:
    with pytest.raises(TypeError):
        keepline.messages.send_poll("shop", CHAT, "When?", "now")
    with pytest.raises(TypeError):
        keepline.webhooks.create("https://a.example", "message")
    assert wire.requests == []


def test_a_setting_that_is_none_goes_back_and_one_that_is_not_named_stays(keepline: Any, shop: str) -> None:
    keepline.sessions.update("shop", on_doubt="hold", presence="available")
    changed = keepline.sessions.update("shop", presence=None)
    assert (changed["on_doubt"], changed["presence"]) == ("hold", "unavailable")


def test_a_misspelt_option_is_refused_by_name(keepline: Any, shop: str) -> None:
    with pytest.raises(BadRequest, match="sent_at") as refused:
        keepline.messages.send("shop", CHAT, "later", sent_at="2026-03-01T13:00:00Z")
    assert (refused.value.code, refused.value.status) == ("unknown_field", 400)


def test_errors_are_of_the_kind_that_one_would_catch(world: World, keepline: Any, wire: Wire, shop: str) -> None:
    with pytest.raises(NotFound) as missing:
        keepline.sessions.get("nowhere")
    assert missing.value.code == "session_not_found"
    assert str(missing.value).endswith("(session_not_found)")
    assert missing.value.hint in str(missing.value)
    assert missing.value.request_id == wire.requests[-1].headers["X-Request-Id"]
    with pytest.raises(Conflict, match="session_exists"):
        keepline.sessions.create("shop")
    for key, error in (("kl_" + "a" * 43, Unauthorized), (_key(world, ("read",)), Forbidden)):
        with Keepline(URL, key, transport=Wire(world)) as other, pytest.raises(error):
            other.sessions.create("other")


def test_an_error_reaches_another_process_as_it_is(world: World, keepline: Any, wire: Wire, pairing: str) -> None:
    world.set_state(pairing, "banned", "banned")
    wire.faults = [httpx.ReadError("cut off")] * 5
    for call in (lambda: keepline.messages.send("shop", CHAT, "hello"), lambda: keepline.sessions.get("nowhere")):
        with pytest.raises(KeeplineError) as told:
            call()
        there = pickle.loads(pickle.dumps(told.value))
        assert (type(there), vars(there), str(there)) == (type(told.value), vars(told.value), str(told.value))
    with pytest.raises(CannotConnect) as hopeless:
        keepline.sessions.wait_until_connected("shop")
    assert pickle.loads(pickle.dumps(hopeless.value)).session == hopeless.value.session


def test_a_full_place_has_its_counts(keepline: Any) -> None:
    for number in range(5):
        keepline.sessions.create(f"s{number}")
    with pytest.raises(Conflict, match="session_limit_reached") as full:
        keepline.sessions.create("one-more")
    assert (full.value.limit, full.value.used) == (5, 5)


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b'"error"', b'{"error": "no"}', b"[]", b"\xff"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_answer_of_something_in_between_is_an_error_too(keepline: Any, wire: Wire, status: int, body: bytes) -> None:
    wire.faults = [httpx.Response(status, content=body)]
    if status == 200 and body in (b'"error"', b"[]", b'{"error": "no"}'):
        return  # JSON, and nobody looks into it.
    with pytest.raises(KeeplineError) as error:
        keepline.sessions.get("shop")
    assert error.value.code in ("no_keepline_error", "no_keepline_answer")
    assert error.value.status == status


def test_the_key_goes_nowhere_else(keepline: Any, wire: Wire) -> None:
    wire.faults = [httpx.Response(307, headers={"Location": "https://elsewhere.example/api/sessions"})]
    with pytest.raises(KeeplineError):
        keepline.sessions.list()
    assert len(wire.requests) == 1


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_lead_to_another_address_is_none(keepline: Any, wire: Wire, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        keepline.sessions.delete(name)
    assert wire.requests == []


def test_names_are_put_into_addresses_as_they_are(keepline: Any, wire: Wire) -> None:
    for name in ("../keys", "a?b=c", "a#b", "+1 415/2"):
        with pytest.raises(NotFound):
            keepline.webhooks.get(name)
    assert all(request.url.raw_path.startswith(b"/api/webhooks/") for request in wire.requests)
    assert not any(request.url.query for request in wire.requests)


def test_the_key_shows_nowhere(
    world: World, keepline: Any, wire: Wire, caplog: pytest.LogCaptureFixture, shop: str
) -> None:
    caplog.set_level(logging.DEBUG)
    key = world.anna["X-Api-Key"]
    keepline.sessions.list()
    wire.faults = [httpx.ReadError("cut off")] * 5
    with pytest.raises(KeeplineError) as error:
        keepline.sessions.list()
    assert repr(keepline) in (f"Keepline('{URL}')", f"AsyncKeepline('{URL}')")
    shown = [repr(keepline), str(error.value), repr(error.value), repr(vars(error.value)), caplog.text]
    shown += [repr(request.headers) for request in wire.requests]
    assert key not in "".join(shown)


@pytest.mark.parametrize("key", ["", "kl_ä", "kl_a\nb", "kl_a\x00b"])
def test_a_key_that_cannot_be_one_is_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as refused:
        Keepline(URL, key)
    assert key == "" or key not in str(refused.value)


def test_a_key_from_a_file_may_end_its_line(world: World) -> None:
    with Keepline(URL, world.anna["X-Api-Key"] + "\n", transport=Wire(world)) as keepline:
        assert keepline.sessions.list() == []


@pytest.mark.parametrize(
    "url", ["", "keepline.example", "ftp://keepline.example", "https://name:word@keepline.example"]
)
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Keepline(url, "kl_key")


def test_it_says_what_it_is(keepline: Any, wire: Wire) -> None:
    keepline.sessions.list()
    assert wire.requests[0].headers["User-Agent"].startswith("keepline-client/0.")


def _key(world: World, scopes: tuple[str, ...]) -> str:
    return world.add_key("anna", scopes)["X-Api-Key"]
