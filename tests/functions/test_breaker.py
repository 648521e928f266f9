"""A session that cannot send at all says so; one that is reconnecting takes messages."""

from __future__ import annotations

import pytest

from keepline.domain.reconnect import PROBE_INTERVAL_S, Breaker
from keepline.ports.documents import Update
from keepline.records import accounts

from .support import World, error_code

ACCOUNT = "anna_shop"


@pytest.fixture
def shop(world: World) -> World:
    world.add_session(state="reconnecting", code="unreachable", phone="14155550100")
    return world


def tries(world: World, breaker: Breaker, slot: str = "a") -> None:
    world.commit(Update(accounts.device_path(ACCOUNT, slot), {"breaker": breaker.value, "reconnect_attempts": 6}))


def test_a_session_that_reconnects_takes_messages(shop: World) -> None:
    assert shop.send().status_code == 202


def test_with_every_breaker_open_it_is_503_with_the_time_of_the_next_try(shop: World) -> None:
    tries(shop, Breaker.OPEN)
    before = shop.store.commits
    answer = shop.send()
    assert (answer.status_code, error_code(answer)) == (503, "whatsapp_unreachable")
    assert answer.headers["Retry-After"] == str(round(PROBE_INTERVAL_S))
    assert shop.store.commits == before


def test_a_repeat_is_answered_also_then(shop: World) -> None:
    first = shop.send(**{"Idempotency-Key": "k"}).get_json()
    tries(shop, Breaker.OPEN)
    assert shop.send(**{"Idempotency-Key": "k"}).get_json()["message_id"] == first["message_id"]


def test_a_try_that_is_under_way_may_be_the_one_that_gets_through(shop: World) -> None:
    tries(shop, Breaker.HALF_OPEN)
    assert shop.send().status_code == 202


def test_a_standby_that_is_not_given_up_is_enough(shop: World) -> None:
    tries(shop, Breaker.OPEN)
    shop.add_standby(ACCOUNT, "reconnecting", "unreachable", linked=True)
    assert shop.send().status_code == 202
    tries(shop, Breaker.OPEN, "b")
    assert error_code(shop.send()) == "whatsapp_unreachable"


def test_a_standby_that_nobody_has_linked_is_not(shop: World) -> None:
    tries(shop, Breaker.OPEN)
    shop.add_standby(ACCOUNT, "starting", "starting", linked=False)
    assert error_code(shop.send()) == "whatsapp_unreachable"


def test_a_standby_that_was_logged_out_is_not(shop: World) -> None:
    tries(shop, Breaker.OPEN)
    shop.add_standby(ACCOUNT, "logged_out", "logged_out", linked=True)
    assert error_code(shop.send()) == "whatsapp_unreachable"


def test_a_dead_letter_is_not_replayed_then(shop: World) -> None:
    message_id = shop.send().get_json()["message_id"]
    shop.settle(message_id, state="failed", error_code="wa_503", attempts=8)
    tries(shop, Breaker.OPEN)
    assert error_code(shop.post(f"/api/messages/{message_id}/replay")) == "whatsapp_unreachable"


def test_a_connected_session_is_not_asked_for_its_devices(shop: World) -> None:
    shop.set_state(ACCOUNT, "connected", "connected")
    tries(shop, Breaker.OPEN)  # From before, perhaps.
    assert shop.send().status_code == 202
