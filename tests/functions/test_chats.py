"""Commands at once: marking a chat as read, showing typing, and what happens when no device answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from keepline.domain.commands import CommandOutcome, ShowTyping, Typing
from keepline.records import commands
from keepline.records.commands import Order
from keepline.usecases.commanding import ANSWER_LIMIT_S

from .support import CHAT, NOON, TIMEOUT_S, World, error_code


def asked(world: World, path: str, body: dict[str, Any]) -> Future[Any]:
    """The request, made in a thread: it waits for its answer."""
    pool = ThreadPoolExecutor(1)
    request = pool.submit(world.client.post, path, json=body, headers=world.anna)
    pool.shutdown(wait=False)
    return request


def until(look: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        if found := look():
            return found
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def the_order(world: World) -> Order:
    [document] = until(lambda: world.all_in(commands.COMMANDS))
    return Order.read(document)


def test_a_chat_is_marked_as_read_by_the_device_and_shown_so(shop: World) -> None:
    first, second = (shop.hear("anna_shop", name, NOON) for name in ("WA1", "WA2"))
    shop.hear("anna_shop", "OWN", NOON, from_me=True)
    request = asked(shop, f"/api/chats/{CHAT}/read", {"session_id": "shop"})
    order = the_order(shop)
    assert (order.kind, order.account) == ("mark_read", "anna_shop")
    assert sorted(one["wa_message_id"] for one in order.arguments["messages"]) == ["WA1", "WA2"]
    shop.commit(commands.answer(order, "a", CommandOutcome()))
    answer = request.result(TIMEOUT_S)
    assert (answer.status_code, sorted(answer.get_json()["read"])) == (200, sorted([first, second]))
    message = shop.get(f"/api/messages/{first}").get_json()
    assert (message["state"], "read" in message["times"]) == ("read", True)
    assert shop.all_in(commands.COMMANDS) == []
    # Nothing is left to mark, so nobody is asked.
    again = shop.client.post(f"/api/chats/{CHAT}/read", json={"session_id": "shop"}, headers=shop.anna)
    assert again.get_json() == {"read": []}
    # Heard once more from the other device: it stays read.
    shop.hear("anna_shop", "WA1", NOON)
    assert shop.get(f"/api/messages/{first}").get_json()["state"] == "read"


def test_typing_is_shown(shop: World) -> None:
    request = asked(shop, "/api/chats/+14155550123/typing", {"session_id": "shop", "state": "recording"})
    order = the_order(shop)
    assert (order.kind, order.arguments) == ("show_typing", {"chat": CHAT, "state": "recording"})
    shop.commit(commands.answer(order, "a", CommandOutcome()))
    assert request.result(TIMEOUT_S).status_code == 204


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("not_connected", 409, "not_connected"),
        ("unsupported_command", 503, "unsupported_command"),
        ("command_failed", 503, "command_failed"),
        ("something_new", 503, "command_failed"),
        ("wa_429", 429, "wa_rate_limited"),
    ],
)
def test_what_the_device_could_not_do_is_said_by_name(shop: World, code: str, status: int, shown: str) -> None:
    request = asked(shop, f"/api/chats/{CHAT}/typing", {"session_id": "shop"})
    shop.commit(commands.answer(the_order(shop), "a", CommandOutcome(code)))
    answer = request.result(TIMEOUT_S)
    assert (answer.status_code, error_code(answer)) == (status, shown)


def test_a_command_that_nobody_carries_out_in_time_is_taken_back(shop: World) -> None:
    message = shop.hear("anna_shop", "WA1", NOON)
    request = asked(shop, f"/api/chats/{CHAT}/read", {"session_id": "shop"})
    order = the_order(shop)
    assert order.expires_at == NOON + timedelta(seconds=ANSWER_LIMIT_S)
    shop.clock.advance(ANSWER_LIMIT_S)
    answer = request.result(TIMEOUT_S)
    assert (answer.status_code, error_code(answer)) == (503, "not_carried_out")
    assert shop.all_in(commands.COMMANDS) == []
    assert shop.get(f"/api/messages/{message}").get_json()["state"] == "delivered"


def test_an_answer_that_comes_in_the_moment_of_giving_up_counts(shop: World) -> None:
    request = asked(shop, f"/api/chats/{CHAT}/typing", {"session_id": "shop"})
    order = the_order(shop)
    shop.store.meanwhile.append(lambda: shop.store.others_commit(commands.answer(order, "a", CommandOutcome())))
    shop.clock.advance(ANSWER_LIMIT_S)
    assert request.result(TIMEOUT_S).status_code == 204
    assert shop.all_in(commands.COMMANDS) == []


def test_a_command_whose_asker_died_is_removed_a_minute_later(shop: World) -> None:
    command = ShowTyping(CHAT, Typing.PAUSED)
    shop.commit(commands.new_command("c_left", "anna", "anna_shop", command, NOON))
    shop.clock.advance(60)
    shop.run(shop.process.minute_round.make())
    assert len(shop.all_in(commands.COMMANDS)) == 1
    shop.clock.advance(1)
    shop.run(shop.process.minute_round.make())
    assert shop.all_in(commands.COMMANDS) == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (f"/api/chats/{CHAT}/read", {}, 400, "missing_field"),
        (f"/api/chats/{CHAT}/read", {"session_id": "hers"}, 404, "session_not_found"),
        (f"/api/chats/{CHAT}/read", {"session_id": "shop", "messages": []}, 400, "bad_field"),
        (f"/api/chats/{CHAT}/read", {"session_id": "shop", "messages": ["i_" + "a" * 26]}, 404, "message_not_found"),
        ("/api/chats/12/typing", {"session_id": "shop"}, 400, "bad_number"),
        ("/api/chats/status@broadcast/typing", {"session_id": "shop"}, 400, "not_for_status"),
        (f"/api/chats/{CHAT}/typing", {"session_id": "shop", "state": "thinking"}, 400, "bad_field"),
    ],
)
def test_a_wrong_command_is_refused_by_name_and_nothing_written(
    shop: World, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    shop.add_session("hers", tenant="bert")
    before = shop.store.commits
    answer = shop.client.post(path, json=body, headers=shop.anna)
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert shop.store.commits == before


def test_a_message_of_another_chat_or_session_is_not_marked(shop: World) -> None:
    elsewhere = shop.hear("anna_shop", "WA1", NOON, chat="14155550199@s.whatsapp.net")
    answer = shop.client.post(
        f"/api/chats/{CHAT}/read", json={"session_id": "shop", "messages": [elsewhere]}, headers=shop.anna
    )
    assert (answer.status_code, error_code(answer)) == (404, "message_not_found")
