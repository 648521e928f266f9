"""Failover of sending, with the real neonize: what one device cannot send its sibling sends, once, and soon."""

from __future__ import annotations

import os
import signal
import time

from keepline.records import accounts, outbox
from tests.integration.conftest import FRIEND, LIMIT_S, PHONE, Gateway


async def two_connectors(gateway: Gateway) -> str:
    gateway.start()
    account = await gateway.link()
    gateway.start("connector-2")
    await gateway.link_standby(account)
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    return account


async def speaker(gateway: Gateway, account: str) -> tuple[str, str]:
    document = await gateway.store.get(outbox.authority_path(account))
    assert document is not None
    authority = outbox.Authority.read(document)
    return authority.connector, authority.slot


async def test_the_standby_sends_when_the_connector_is_gone(gateway: Gateway) -> None:
    account = await two_connectors(gateway)
    assert await speaker(gateway, account) == ("connector-1", "a")
    os.killpg(gateway.connectors["connector-1"].pid, signal.SIGKILL)
    killed_s = time.monotonic()
    texts = [f"after {n}" for n in range(5)]
    ids = [await gateway.send(account, text) for text in texts]
    assert (await gateway.until_inbox(6))[1:] == texts
    print(f"gap after kill: {time.monotonic() - killed_s:.2f} s")
    for message_id in ids:
        await gateway.until_message(message_id, "delivered")
    assert await speaker(gateway, account) == ("connector-2", "b")


async def test_the_standby_sends_while_the_connector_is_stopped_and_that_one_never_speaks_again(
    gateway: Gateway,
) -> None:
    account = await two_connectors(gateway)
    pid = gateway.connectors["connector-1"].pid
    os.killpg(pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    try:
        ids = [await gateway.send(account, f"while stopped {n}") for n in range(5)]
        assert len(await gateway.until_inbox(6)) == 6
        print(f"gap after stop: {time.monotonic() - stopped_s:.2f} s")
        for message_id in ids:
            await gateway.until_message(message_id, "delivered")
    finally:
        os.killpg(pid, signal.SIGCONT)
    after = [await gateway.send(account, f"after {n}") for n in range(5)]
    for message_id in after:
        await gateway.until_message(message_id, "delivered")
    assert len(gateway.inbox()) == 11
    assert await speaker(gateway, account) == ("connector-2", "b")


async def test_a_clean_stop_hands_over_at_once(gateway: Gateway) -> None:
    account = await two_connectors(gateway)
    os.kill(gateway.connectors["connector-1"].pid, signal.SIGTERM)
    asked_s = time.monotonic()
    message_id = await gateway.send(account, "after")
    await gateway.until_inbox(2)
    print(f"gap after SIGTERM: {time.monotonic() - asked_s:.2f} s")
    await gateway.until_message(message_id, "delivered")
    assert await speaker(gateway, account) == ("connector-2", "b")
    gateway.connectors["connector-1"].wait(LIMIT_S)


async def test_a_lost_connection_is_no_gap(gateway: Gateway) -> None:
    account = await two_connectors(gateway)
    gateway.whatsapp.drop_connections(PHONE, 1)
    asked_s = time.monotonic()
    message_id = await gateway.send(account, "after")
    await gateway.until_inbox(2)
    print(f"gap after reset: {time.monotonic() - asked_s:.2f} s")
    await gateway.until_message(message_id, "delivered")
    assert await speaker(gateway, account) == ("connector-2", "b")
    assert [message["text"] for message in gateway.whatsapp.inbox(FRIEND)] == ["before", "after"]


async def test_when_a_connector_is_back_the_devices_of_an_account_part_again(gateway: Gateway) -> None:
    account = await two_connectors(gateway)
    os.killpg(gateway.connectors["connector-1"].pid, signal.SIGKILL)

    async def holders() -> set[str]:
        documents = await gateway.store.query(accounts.devices_of_account(account))
        return {document.fields["connector"] for document in documents if document.fields["state"] == "connected"}

    async def held_by_the_other_alone() -> bool:
        device = await gateway.store.get(accounts.device_path(account, "a"))
        return device is not None and device.fields["connector"] == "connector-2" and await holders() == {"connector-2"}

    await gateway.until(held_by_the_other_alone, "both devices to be on the connector that is left", 2 * LIMIT_S)
    gateway.start()

    async def apart() -> bool:
        return await holders() == {"connector-1", "connector-2"}

    await gateway.until(apart, "the devices to be apart again")
    await gateway.until_message(await gateway.send(account, "after"), "delivered")
    assert gateway.inbox() == ["before", "after"]
