"""Sends whose answer was lost, with the real neonize: what the journal, the witness and the sender's choice make of them."""

from __future__ import annotations

import asyncio

from keepline.domain.message import MessageState, OnDoubt
from keepline.ports.documents import Document, Query
from keepline.records import outbox
from tests.integration.conftest import FRIEND, PHONE, Gateway


async def claimed(gateway: Gateway, account: str, message_id: str) -> bool:
    document = await gateway.store.get(outbox.authority_path(account))
    return document is not None and message_id in outbox.Authority.read(document).message_ids()


async def leave_without_an_answer(gateway: Gateway, account: str, text: str, **choices: OnDoubt) -> str:
    """A message that WhatsApp takes while neither its answer nor a receipt comes back, and then the connector is killed."""
    fault_of = {"number": PHONE, "device": 1}
    gateway.whatsapp.add_fault("never_ack", fault_of, {"count": 1})
    gateway.whatsapp.add_fault("lossy", {"number": PHONE, "direction": "out", "stanza": "receipt"})
    taken = len(gateway.inbox())
    message_id = await gateway.send(account, text, **choices)
    await gateway.until_inbox(taken + 1)
    assert await claimed(gateway, account, message_id)
    gateway.kill()
    gateway.whatsapp.clear_faults()
    gateway.whatsapp.add_fault("lossy", {"number": PHONE, "direction": "out", "stanza": "receipt"})
    gateway.start()
    return message_id


async def doubted(gateway: Gateway, message_id: str) -> Document:
    row = await gateway.until_message(message_id, "sent", "delivered", "failed")
    assert "in_doubt" in row.fields["times"]
    return row


async def test_what_the_witness_got_is_sent_and_not_repeated(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.start("connector-2")
    await gateway.link_standby(account)
    assert len(gateway.whatsapp.devices(PHONE)) == 2
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    message_id = await leave_without_an_answer(gateway, account, "on its way")
    row = await doubted(gateway, message_id)
    assert row.fields["state"] == MessageState.SENT
    assert gateway.inbox() == ["before", "on its way"]
    assert row.fields["wa_message_id"] == gateway.whatsapp.inbox(FRIEND)[1]["id"]


async def test_what_the_witness_did_not_get_is_sent_again_at_once(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.start("connector-2")
    await gateway.link_standby(account)
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    lost = gateway.whatsapp.add_fault("lossy", {"number": PHONE, "device": 1, "direction": "in", "stanza": "message"})
    message_id = await gateway.send(account, "on its way", on_doubt=OnDoubt.HOLD)

    async def thrown_away() -> bool:
        faults = await asyncio.to_thread(gateway.whatsapp.faults)
        return any(fault["id"] == lost and fault["hits"] for fault in faults)

    await gateway.until(thrown_away, "the stanza to be lost")
    gateway.kill()
    gateway.whatsapp.clear_faults()
    gateway.start()
    row = await gateway.until_message(message_id, "delivered")
    assert "in_doubt" in row.fields["times"]
    assert gateway.inbox() == ["before", "on its way"]


async def test_without_a_standby_a_held_doubt_becomes_a_dead_letter_and_blocks_nothing(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    message_id = await leave_without_an_answer(gateway, account, "on its way", on_doubt=OnDoubt.HOLD)
    behind = await gateway.send(account, "behind it")
    row = await doubted(gateway, message_id)
    assert (row.fields["state"], row.fields["error_code"]) == ("failed", "outcome_unknown")
    await gateway.until_message(behind, "sent")
    assert gateway.inbox() == ["before", "on its way", "behind it"]


async def test_a_message_that_the_library_has_forgotten_is_sent_anew_and_the_unreadable_one_revoked(
    gateway: Gateway,
) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    gateway.whatsapp.add_fault("lossy", {"number": PHONE, "direction": "out", "stanza": "receipt"})
    gateway.whatsapp.forget(FRIEND, "sessions", PHONE)
    message_id = await gateway.send(account, "cannot be read")
    row = await gateway.until_message(message_id, "sent")
    unreadable = row.fields["wa_message_id"]
    gateway.kill()
    gateway.whatsapp.clear_faults()
    gateway.start()
    row = await gateway.until_message(message_id, "delivered")
    assert row.fields["repairs"] == 1
    assert row.fields["repair_of"] == unreadable
    shown = {message["id"]: message for message in gateway.whatsapp.inbox(FRIEND)}
    assert shown[row.fields["wa_message_id"]]["text"] == "cannot be read"
    assert shown[unreadable]["revoked"]


async def test_with_a_standby_a_sent_message_is_no_second_document(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.start("connector-2")
    await gateway.link_standby(account)
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    await gateway.until_message(await gateway.send(account, "through the outbox"), "delivered")
    gateway.whatsapp.send(PHONE, FRIEND, "by hand on the phone")
    gateway.whatsapp.send(FRIEND, PHONE, "an answer")
    chat = f"accounts/{account}/chats/{FRIEND}@s.whatsapp.net/messages"

    async def both() -> list[Document] | None:
        found = await gateway.store.query(Query(chat, limit=10))
        return found if len(found) >= 2 else None

    found = await gateway.until(both, "what was not sent by the outbox")
    assert sorted(document.fields["text"] for document in found) == ["an answer", "by hand on the phone"]
