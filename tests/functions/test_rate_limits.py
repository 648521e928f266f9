"""How often a user may do something: what is let through, what an answer says of it, and what costs nothing."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.ports.documents import Delete, Put
from keepline.records import accounts, rate_limits
from keepline.usecases import pairing_codes
from keepline.usecases.deleting import clear_device
from keepline.usecases.limiting import CODES, MESSAGES, SESSIONS, Limiter

from .support import World, error_code

PAIRING = accounts.pairing_path("anna_shop", "a")
ROUND_OVER = ("stopped", "pairing_timed_out")


def left(answer: Any) -> dict[str, str]:
    """The headers about limits."""
    return {name: value for name, value in answer.headers.items() if name.lower().startswith(("ratelimit", "x-ratel"))}


def refused(answer: Any) -> int:
    """The seconds after which a request that was too often may come again."""
    assert (answer.status_code, error_code(answer)) == (429, "rate_limited")
    assert "r=0;" in answer.headers["RateLimit"]
    return int(answer.headers["Retry-After"])


def test_thirty_messages_at_once_and_one_a_second_after_that(shop: World) -> None:
    assert [shop.send().status_code for _ in range(30)] == [202] * 30
    before = shop.store.commits
    assert refused(shop.send()) == refused(shop.send()) == 1
    assert shop.store.commits == before + 1  # the note that the limit was hit
    assert len(shop.all_in("outbox")) == 30
    shop.clock.advance(1)
    assert shop.send().status_code == 202
    assert refused(shop.send()) == 1


def test_an_answer_says_what_is_left_and_when_all_is_again(shop: World) -> None:
    for _ in range(9):
        shop.send()
    assert left(shop.send()) == {
        "RateLimit-Policy": '"messages";q=60;w=60;burst=30',
        "RateLimit": '"messages";r=20;t=10',
        "X-RateLimit-Limit": "30",
        "X-RateLimit-Remaining": "20",
        "X-RateLimit-Reset": "10",
    }


def test_a_repeat_with_the_same_key_costs_nothing(shop: World) -> None:
    for _ in range(30):
        shop.send(**{"Idempotency-Key": "the-same"})
    assert left(shop.send("else"))["X-RateLimit-Remaining"] == "28"
    assert left(shop.send(**{"Idempotency-Key": "the-same"})) == {}


def test_a_repeat_is_answered_also_when_the_limit_is_used_up(shop: World) -> None:
    first = shop.send(**{"Idempotency-Key": "first"}).get_json()
    while shop.send().status_code == 202:
        pass
    again = shop.send(**{"Idempotency-Key": "first"})
    assert (again.status_code, again.get_json()["message_id"]) == (202, first["message_id"])


def test_a_user_does_not_use_up_another_ones_limit(shop: World) -> None:
    shop.add_session(tenant="bert", state="connected", code="connected", phone="14155550109")
    while shop.send().status_code == 202:
        pass
    assert shop.send(**shop.bert).status_code == 202


def test_the_last_message_of_a_limit_is_accepted_although_its_answer_was_lost(shop: World) -> None:
    """The adapter repeats a commit and meets its own document; that must not read as a refusal with nothing written."""
    for _ in range(29):
        shop.send()
    shop.store.conflicts_after_applying = 1
    assert shop.send(**{"Idempotency-Key": "last"}).status_code == 202
    assert len(shop.all_in("outbox")) == 30
    refused(shop.send())


def test_a_program_that_keeps_on_after_its_limit_does_not_fill_its_queue(shop: World) -> None:
    while shop.send().status_code == 202:
        pass
    counts = shop.store.counts
    for _ in range(50):
        refused(shop.send())
    room = shop.process.services.messages._room._tallies["anna_shop"]
    assert room.counted is not None
    assert (room.counted.queued, shop.store.counts) == (30, counts)


def test_a_replay_counts_as_a_message(shop: World) -> None:
    message_id = shop.send().get_json()["message_id"]
    while shop.send().status_code == 202:
        pass
    shop.settle(message_id, state="failed", error_code="wa_503", attempts=8)
    refused(shop.post(f"/api/messages/{message_id}/replay"))
    shop.clock.advance(1)
    assert shop.post(f"/api/messages/{message_id}/replay").status_code == 202


def test_ten_sessions_a_minute(world: World) -> None:
    create = [world.post("/api/sessions/create") for _ in range(5)]
    assert [one.status_code for one in create] == [201] * 5
    assert left(create[-1])["RateLimit"] == '"sessions";r=5;t=30'
    world.run(use_up(world, "anna", 5))
    assert world.post("/api/sessions/create", world.bert).status_code == 201
    session_id = create[0].get_json()["session_id"]
    world.delete(f"/api/sessions/{session_id}")
    world.run(clear_device(world.store, f"anna_{session_id}", "a"))
    assert refused(world.post("/api/sessions/create")) == 6
    world.clock.advance(6)
    assert world.post("/api/sessions/create").status_code == 201


async def use_up(world: World, tenant: str, count: int) -> None:
    for _ in range(count):
        await Limiter(world.store, world.clock).commit(tenant, SESSIONS, [])


def test_a_new_round_of_qr_codes_counts_and_looking_at_a_code_does_not(world: World) -> None:
    account = world.add_session(state=ROUND_OVER[0], code=ROUND_OVER[1])
    world.offer_qr(account, None)
    first = world.get("/api/qr/me/shop?format=json")
    assert (first.status_code, left(first)["RateLimit"]) == (409, '"codes";r=4;t=60')
    for _ in range(4):
        world.clock.advance(11)
        assert error_code(world.get("/api/qr/me/shop?format=json")) == "qr_not_ready"
    world.clock.advance(11)
    assert refused(world.get("/api/qr/me/shop?format=json")) == 5
    world.set_state(account, "pairing", "waiting_for_scan")
    world.offer_qr(account, "2@the-code")
    world.beat(account)
    for _ in range(10):
        looked = world.get("/api/qr/me/shop?format=json")
        assert (looked.status_code, left(looked)) == (200, {})


def test_a_pairing_code_that_is_asked_for_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_codes, "CODE_WAIT_S", 0.05)
    account = world.add_session(state="pairing", code="waiting_for_scan")
    world.offer_qr(account, "2@the-code")
    for number in range(5):
        world.beat(account, n=number + 1)
        answer = world.client.post("/api/sessions/shop/pairing-code", json={"phone": "14155550100"}, headers=world.anna)
        assert error_code(answer) == "pairing_code_not_ready"
        assert left(answer)["X-RateLimit-Remaining"] == str(max(0, 4 - number))
        world.clock.advance(11)
    world.beat(account, n=6)
    answer = world.client.post("/api/sessions/shop/pairing-code", json={"phone": "14155550100"}, headers=world.anna)
    assert refused(answer) == 5
    assert world.fields(PAIRING)["code_requested"] == 5


def test_a_user_can_have_limits_of_its_own(shop: World) -> None:
    shop.set_limit("anna", "messages", count=2, burst=2)
    assert [shop.send().status_code for _ in range(3)] == [202, 202, 429]
    assert shop.send().headers["RateLimit-Policy"] == '"messages";q=2;w=60;burst=2'
    shop.set_limit("anna", "messages", count=600, burst=60)
    assert [shop.send().status_code for _ in range(60)] == [202] * 60


@pytest.mark.parametrize(
    "own",
    [
        "generous",
        {"messages": "many"},
        {"messages": {"count": 0}},
        {"messages": {"count": True}},
        {"messages": {"burst": 1.5}},
        {"messages": {"period_s": float("nan")}},
        {"messages": {"count": float("inf")}},
        {"messages": {"name": "sessions"}},
        {"messages": {"per": "second"}},
    ],
)
def test_a_limit_that_makes_no_sense_is_passed_over(shop: World, own: object, caplog: pytest.LogCaptureFixture) -> None:
    shop.commit(Put(rate_limits.tenant_path("anna"), {"limits": own}))
    assert shop.send().headers["RateLimit-Policy"] == '"messages";q=60;w=60;burst=30'
    assert isinstance(own, str) or "makes no sense" in caplog.text


def test_a_document_that_firestore_has_removed_is_a_limit_that_nobody_used(shop: World) -> None:
    shop.send()
    shop.commit(Delete(rate_limits.limit_path("anna", MESSAGES, 0)))
    shop.clock.advance(40)
    assert left(shop.send())["X-RateLimit-Remaining"] == "29"


def test_looking_at_a_limit_uses_nothing(shop: World) -> None:
    limiter = Limiter(shop.store, shop.clock)
    for _ in range(3):
        shop.send()
    for _ in range(5):
        seen = shop.run(limiter.look("anna", MESSAGES)).verdict
    assert (seen.allowed, seen.remaining, seen.reset_s) == (True, 27, 3.0)
    assert shop.run(limiter.look("anna", CODES)).verdict.remaining == 5
