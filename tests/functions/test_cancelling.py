"""Taking a message back: only while nothing of it can have left, and never beside a claim."""

from __future__ import annotations

from typing import Any

import pytest

from keepline.ports.documents import Update
from keepline.records import outbox
from keepline.records.outbox import Authority

from .support import NOON, World, error_code


def cancel(world: World, message_id: str, headers: dict[str, str] | None = None) -> Any:
    return world.post(f"/api/messages/{message_id}/cancel", headers)


def sent(world: World, **options: Any) -> str:
    return str(world.send(options=options).get_json()["message_id"])


def authority(world: World) -> Authority:
    document = world.document(outbox.authority_path("anna_shop"))
    assert document is not None
    return Authority.read(document)


def refused(answer: Any) -> str:
    assert answer.status_code == 409
    return error_code(answer)


@pytest.mark.parametrize("options", [{}, {"send_at": "2026-03-02T12:00:00Z"}])
def test_a_message_that_waits_is_cancelled(shop: World, options: dict[str, str]) -> None:
    message_id = sent(shop, **options)
    shop.clock.advance(1)
    answer = cancel(shop, message_id)
    message = answer.get_json()
    assert (answer.status_code, message["state"], message["error"]) == (200, "cancelled", None)
    assert message["times"]["cancelled"].startswith("2026-03-01T12:00:01")
    assert shop.get(f"/api/messages/{message_id}").get_json() == message


def test_cancelling_again_changes_nothing(shop: World) -> None:
    message_id = sent(shop)
    first = cancel(shop, message_id).get_json()
    before = shop.store.commits
    again = cancel(shop, message_id)
    assert (again.status_code, again.get_json()) == (200, first)
    assert shop.store.commits == before


def test_it_counts_as_a_change_of_the_authority_so_that_a_claim_made_before_it_is_refused(shop: World) -> None:
    shop.claim("anna_shop", sent(shop))
    held = authority(shop)
    message_id = sent(shop)
    cancel(shop, message_id)
    now = authority(shop)
    assert (now.recalls, now.version != held.version) == (1, True)
    # Nothing else of it is the API's to change.
    assert (now.generation, now.connector, now.attempt, now.claims) == (
        held.generation, held.connector, held.attempt, held.claims,
    )  # fmt: skip


def test_where_nobody_has_ever_sent_the_withdrawal_makes_the_authority(shop: World) -> None:
    cancel(shop, sent(shop))
    made = authority(shop)
    assert (made.generation, made.connector, made.recalls, dict(made.claims)) == (0, "", 1, {})
    shop.claim("anna_shop", sent(shop))  # A connector goes on from there.


def test_a_message_in_an_open_claim_is_on_its_way(shop: World) -> None:
    message_id = sent(shop)
    shop.claim("anna_shop", message_id)
    before = shop.store.commits
    assert refused(cancel(shop, message_id)) == "already_sending"
    assert shop.store.commits == before


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("in_doubt", "already_sending"),
        ("sent", "already_sent"),
        ("delivered", "already_sent"),
        ("read", "already_sent"),
        ("played", "already_sent"),
        ("failed", "already_failed"),
        ("expired", "already_expired"),
    ],
)
def test_what_is_over_or_beyond_reach_is_not_cancelled(shop: World, state: str, code: str) -> None:
    message_id = sent(shop)
    shop.settle(message_id, state=state)
    before = shop.store.commits
    assert refused(cancel(shop, message_id)) == code
    assert shop.store.commits == before
    assert shop.get(f"/api/messages/{message_id}").get_json()["state"] == state


def test_a_message_that_waits_for_its_second_copy_has_been_sent(shop: World) -> None:
    message_id = sent(shop)
    shop.settle(message_id, state="queued", repairs=1, repair_of="3EB0")
    assert refused(cancel(shop, message_id)) == "already_sent"


def test_a_claim_made_between_the_look_and_the_commit_wins(shop: World) -> None:
    shop.claim("anna_shop", sent(shop, priority="low"))
    message_id = sent(shop)
    shop.store.meanwhile = [shop.claims("anna_shop", message_id)]
    assert refused(cancel(shop, message_id)) == "already_sending"
    assert shop.fields(outbox.row_path(message_id))["state"] == "queued"


def test_the_very_first_claim_of_an_account_wins_as_well(shop: World) -> None:
    message_id = sent(shop)
    shop.store.meanwhile = [shop.claims("anna_shop", message_id)]
    assert refused(cancel(shop, message_id)) == "already_sending"


def test_a_claim_of_another_message_in_between_only_costs_another_look(shop: World) -> None:
    other, message_id = sent(shop), sent(shop)
    shop.store.meanwhile = [shop.claims("anna_shop", other)]
    assert cancel(shop, message_id).get_json()["state"] == "cancelled"
    assert authority(shop).message_ids() == [other]


def test_a_message_settled_in_between_is_told_as_it_is(shop: World) -> None:
    message_id = sent(shop)

    async def settle() -> object:
        return await shop.store.others_commit(Update(outbox.row_path(message_id), {"state": "sent"}))

    shop.store.meanwhile = [settle]
    assert refused(cancel(shop, message_id)) == "already_sent"


def test_a_cancellation_whose_answer_was_lost_has_succeeded(shop: World) -> None:
    message_id = sent(shop)
    shop.store.conflicts_after_applying = 1
    assert cancel(shop, message_id).get_json()["state"] == "cancelled"
    assert authority(shop).recalls == 1


def test_a_queue_that_never_stands_still_is_busy(shop: World) -> None:
    message_id = sent(shop)
    shop.store.conflicts = 1_000
    answer = cancel(shop, message_id)
    assert (answer.status_code, error_code(answer)) == (503, "busy")
    assert answer.headers["Retry-After"] == "1"
    assert shop.store.conflicts > 990  # A few tries, no more.


@pytest.mark.parametrize("verb", ["cancel", "replay"])
def test_what_is_not_there_or_anothers_or_came_in_is_not_found(shop: World, verb: str) -> None:
    shop.add_session("hers", tenant="bert")
    mine, heard = sent(shop), shop.hear("anna_shop", "WA1", NOON)
    before = shop.store.commits
    for name, headers in [
        ("m_" + "a" * 26, None), ("nonsense", None), ("m_..", None), (heard, None), (mine, shop.bert),
    ]:  # fmt: skip
        answer = shop.post(f"/api/messages/{name}/{verb}", headers)
        assert (answer.status_code, error_code(answer)) == (404, "message_not_found")
    assert shop.store.commits == before


def test_a_message_of_a_deleted_session_can_still_be_looked_after(shop: World) -> None:
    message_id = sent(shop)
    shop.delete("/api/sessions/shop")
    assert cancel(shop, message_id).get_json()["state"] == "cancelled"
