"""Pacing with the real library: strangers get their share, whoever sends, and who writes first is no stranger."""

from __future__ import annotations

from typing import Any

from keepline.records import connectors
from tests.integration.conftest import PHONE, Gateway

STRANGERS = ("14155550151", "14155550152", "14155550153", "14155550154")


async def link_and_use_up_the_share(gateway: Gateway) -> tuple[str, list[str]]:
    """A paced number with messages for three strangers, of whom two have theirs."""
    # Three in a minute are one too many for WhatsApp, in this place.
    gateway.whatsapp.set_rates(first_contacts_per_minute=2)
    gateway.start()
    account = await gateway.link(pacing="normal")
    ids = [await gateway.send(account, f"hello {to}", to) for to in STRANGERS[:3]]
    for message_id in ids[:2]:
        await gateway.until_message(message_id, "delivered")
    await until_held(gateway, account)
    return account, ids


async def until_held(gateway: Gateway, account: str) -> None:
    async def held() -> bool:
        return await held_because(gateway, account) == "first_contacts"

    await gateway.until(held, "strangers to be held back")


async def held_because(gateway: Gateway, account: str) -> str | None:
    document = await gateway.store.get(connectors.connector_path("connector-1"))
    device = connectors.ConnectorBeat.read(document).devices.get(f"{account}_a") if document is not None else None
    return device.held_because if device is not None else None


async def state_of(gateway: Gateway, message_id: str) -> Any:
    document = await gateway.store.get(f"outbox/{message_id}")
    assert document is not None
    return document.fields["state"]


async def test_a_number_writes_to_few_strangers_a_minute_and_is_not_refused(gateway: Gateway) -> None:
    _, ids = await link_and_use_up_the_share(gateway)
    assert await state_of(gateway, ids[2]) == "queued"
    assert gateway.whatsapp.rates()["totals"]["refused"] == 0


async def test_a_new_process_goes_on_with_what_the_minute_has_had(gateway: Gateway) -> None:
    account, ids = await link_and_use_up_the_share(gateway)
    gateway.kill()
    gateway.start()
    await gateway.until_state(account, "connected")
    await until_held(gateway, account)
    assert await state_of(gateway, ids[2]) == "queued"


async def test_an_answer_to_who_wrote_first_waits_for_no_share(gateway: Gateway) -> None:
    _, ids = await link_and_use_up_the_share(gateway)
    gateway.whatsapp.send(STRANGERS[2], PHONE, "are you open?")
    await gateway.until_message(ids[2], "delivered")
