"""A session's settings: made with it, changed alone or together, sealed where they are secret."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from keepline.domain.link_settings import Presence
from keepline.domain.message import OnDoubt
from keepline.ports.documents import Update
from keepline.records import accounts
from keepline.records.accounts import Account, Device
from keepline.usecases.proxy_sealing import opened_proxy
from keepline.usecases.sessions import TRIES_MAX
from keepline_functions.assembling import assemble

from .support import World, error_code

URL = "socks5://someone:p%40ss@proxy.example:1080"
SHOWN = {"scheme": "socks5", "host": "proxy.example", "port": 1080, "has_credentials": True}
ACCOUNT = "anna_shop"


def create(world: World, **body: Any) -> Any:
    return world.client.post("/api/sessions/create", json={"session_id": "shop", **body}, headers=world.anna)


def change(world: World, **body: Any) -> Any:
    return world.client.patch("/api/sessions/shop", json=body, headers=world.anna)


def settings_of(session: dict[str, Any]) -> tuple[Any, Any, Any]:
    return session["on_doubt"], session["presence"], session["proxy"]


def account(world: World) -> Account:
    document = world.document(accounts.account_path(ACCOUNT))
    assert document is not None
    return Account.read(document)


def device(world: World, slot: str) -> Device:
    document = world.document(accounts.device_path(ACCOUNT, slot))
    assert document is not None
    return Device.read(document)


def dialled(world: World, slot: str = "a") -> str | None:
    """The proxy that a connector would dial for a device."""
    stored = device(world, slot).settings.proxy
    return world.run(opened_proxy(world.keys, ACCOUNT, stored)).url if stored is not None else None


def test_a_session_is_made_with_its_settings(world: World) -> None:
    answer = create(world, on_doubt="hold", presence="available", proxy=URL)
    assert answer.status_code == 201
    assert settings_of(answer.get_json()) == ("hold", "available", SHOWN)
    assert settings_of(world.get("/api/sessions/shop/status").get_json()) == ("hold", "available", SHOWN)
    assert dialled(world) == URL


def test_a_session_without_settings_hides_and_goes_the_connectors_own_way(world: World) -> None:
    assert settings_of(create(world).get_json()) == ("resend", "unavailable", None)


def test_a_change_is_of_what_it_names_and_null_is_the_default(world: World) -> None:
    create(world, on_doubt="hold", presence="available", proxy=URL)
    answer = change(world, presence="unavailable")
    assert answer.status_code == 200
    assert settings_of(answer.get_json()) == ("hold", "unavailable", SHOWN)
    assert settings_of(change(world, on_doubt="resend", presence="available").get_json()) == (
        *("resend", "available"),
        SHOWN,
    )
    assert settings_of(change(world, proxy=None, presence=None).get_json()) == ("resend", "unavailable", None)
    assert settings_of(change(world, on_doubt="hold").get_json()) == ("hold", "unavailable", None)
    assert settings_of(change(world, on_doubt=None, proxy="http://other").get_json()) == (
        *("resend", "unavailable"),
        {"scheme": "http", "host": "other", "port": 80, "has_credentials": False},
    )


def test_the_pace_can_be_changed_and_reaches_every_device(world: World) -> None:
    create(world, pacing="careful")
    assert change(world, pacing="off").get_json()["pacing"] == "off"
    assert device(world, "a").settings.pacing == "off"
    assert change(world, presence="available").get_json()["pacing"] == "off"
    assert change(world, pacing=None).get_json()["pacing"] == "normal"


def test_a_change_that_changes_nothing_writes_nothing(world: World) -> None:
    create(world, presence="available")
    before = world.store.commits
    assert change(world).status_code == 200
    assert change(world, presence="available", proxy=None).status_code == 200
    assert world.store.commits == before


def test_every_device_gets_the_change_in_the_accounts_own_commit(world: World) -> None:
    world.add_session(state="connected", code="connected", phone="14155550100")
    world.add_standby(ACCOUNT, "connected", "connected", linked=True)
    before = world.store.commits
    change(world, presence="available", proxy=URL)
    assert world.store.commits == before + 1
    for slot in ("a", "b"):
        assert device(world, slot).settings == account(world).settings
        assert device(world, slot).settings.presence is Presence.AVAILABLE
        assert dialled(world, slot) == URL


def test_a_standby_that_is_added_later_has_the_settings_of_its_session(world: World) -> None:
    world.add_session(state="connected", code="connected", phone="14155550100")
    change(world, presence="available", proxy=URL)
    assert world.post("/api/sessions/shop/standby").status_code == 202
    assert device(world, "b").settings == account(world).settings
    assert dialled(world, "b") == URL


def meanwhile(world: World, *, on_doubt: OnDoubt) -> Callable[[], Awaitable[object]]:
    async def set_it() -> object:
        path = accounts.account_path(ACCOUNT)
        return await world.store.others_commit(Update(path, {"on_doubt": on_doubt.value}))

    return set_it


def test_two_changes_at_the_same_time_both_hold(world: World) -> None:
    create(world)
    world.store.meanwhile = [meanwhile(world, on_doubt=OnDoubt.HOLD)]
    assert settings_of(change(world, presence="available").get_json()) == ("hold", "available", None)
    assert device(world, "a").settings.presence is Presence.AVAILABLE


def test_a_standby_that_comes_in_between_gets_the_change_too(world: World) -> None:
    world.add_session(state="connected", code="connected", phone="14155550100")

    async def add_standby() -> object:
        document = await world.store.get(accounts.account_path(ACCOUNT))
        assert document is not None
        found = Account.read(document)
        return await world.store.others_commit(*accounts.new_standby(found, found.status))

    world.store.meanwhile = [add_standby]
    change(world, presence="available")
    assert device(world, "b").settings.presence is Presence.AVAILABLE


def test_a_change_that_others_keep_disturbing_says_so(world: World) -> None:
    create(world)
    world.store.conflicts = TRIES_MAX
    answer = change(world, presence="available")
    assert (answer.status_code, error_code(answer)) == (503, "busy")
    assert account(world).settings.presence is Presence.UNAVAILABLE


def test_a_change_whose_answer_was_lost_is_no_error(world: World) -> None:
    create(world)
    world.store.conflicts_after_applying = 1
    assert settings_of(change(world, proxy=URL).get_json()) == ("resend", "unavailable", SHOWN)
    assert dialled(world) == URL


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"presence": "online"}, "bad_field"),
        ({"presence": True}, "bad_field"),
        ({"on_doubt": "maybe"}, "bad_field"),
        ({"proxy": 3128}, "bad_field"),
        ({"proxy": {"url": URL}}, "bad_field"),
        ({"proxi": URL}, "unknown_field"),
        ({"proxy": ""}, "bad_proxy"),
        ({"proxy": "https://me:s3cret@proxy.example"}, "bad_proxy"),
        ({"proxy": "socks5://me:s3cret@127.0.0.1"}, "proxy_not_allowed"),
        ({"proxy": "socks5://me:s3cret@localhost:9050"}, "proxy_not_allowed"),
        ({"proxy": "http://me:s3cret@169.254.169.254"}, "proxy_not_allowed"),
        ({"proxy": "http://me:s3cret@[::ffff:10.0.0.1]:3128"}, "proxy_not_allowed"),
    ],
)
@pytest.mark.parametrize("how", [create, change])
def test_what_is_not_right_is_named_not_repeated_and_not_written(
    world: World, how: Callable[..., Any], body: dict[str, Any], code: str
) -> None:
    if how is change:
        create(world)
    before = world.store.commits
    answer = how(world, **body)
    assert (answer.status_code, error_code(answer)) == (400, code)
    assert "s3cret" not in answer.text
    assert world.store.commits == before


def test_a_session_of_somebody_else_is_not_found_before_anything_is_sealed(world: World) -> None:
    create(world)
    world.keys.available = False
    answer = world.client.patch("/api/sessions/shop", json={"proxy": URL}, headers=world.bert)
    assert (answer.status_code, error_code(answer)) == (404, "session_not_found")


def test_a_proxys_credentials_are_nowhere_in_clear(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [create(world, proxy=URL), change(world, proxy=URL.replace("1080", "1081"))]
        answers.append(world.get("/api/sessions"))
    documents = [document for name in ("accounts", accounts.DEVICES) for document in world.all_in(name)]
    stored = repr([document.fields for document in documents]) + repr([device(world, "a"), account(world)])
    for secret in ("someone", "p@ss", "p%40ss"):
        for answer in answers:
            assert secret not in answer.text
        assert secret not in caplog.text
        assert secret not in stored
    assert "proxy.example" in stored


def test_the_same_address_is_sealed_anew_each_time(world: World) -> None:
    create(world, proxy=URL)
    first = account(world).settings.proxy
    change(world, proxy=URL)
    second = account(world).settings.proxy
    assert first is not None and second is not None
    assert first.sealed != second.sealed
    assert first.wrapped_key != second.wrapped_key


def without_keys(world: World) -> Any:
    process = assemble(replace(world.outside, keys=None, webhook_keys=None))
    return process.app.test_client()


def test_without_a_key_a_proxy_is_refused_with_what_to_do_and_all_else_works(world: World) -> None:
    client = without_keys(world)
    answer = client.post("/api/sessions/create", json={"session_id": "shop", "proxy": URL}, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (409, "no_sealing_key")
    assert "KEEPLINE_KMS_KEY" in answer.get_json()["error"]["hint"]
    create(world, proxy=URL)
    answer = client.patch("/api/sessions/shop", json={"proxy": URL}, headers=world.anna)
    assert error_code(answer) == "no_sealing_key"
    answer = client.patch("/api/sessions/shop", json={"proxy": None, "presence": "available"}, headers=world.anna)
    assert settings_of(answer.get_json()) == ("resend", "available", None)


def test_a_keeper_of_keys_that_does_not_answer_is_to_be_asked_again(world: World) -> None:
    create(world)
    world.keys.available = False
    answer = change(world, proxy=URL)
    assert (answer.status_code, error_code(answer)) == (503, "key_unavailable")
    assert answer.headers["Retry-After"]
    world.keys.available = True
    assert change(world, proxy=URL).status_code == 200


def test_an_installation_can_allow_private_proxies(world: World) -> None:
    create(world)
    process = assemble(replace(world.outside, private_addresses=True))
    answer = process.app.test_client().patch(
        "/api/sessions/shop", json={"proxy": "http://127.0.0.1:3128"}, headers=world.anna
    )
    assert answer.get_json()["proxy"]["host"] == "127.0.0.1"
