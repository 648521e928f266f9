"""The connector against the simulator: the promises that one machine can show."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from keepline.ports.documents import Document, Query, Where
from keepline.records import accounts
from tests.integration.conftest import FRIEND, PHONE, Gateway

STOP_LIMIT_S = 10.0


async def history(gateway: Gateway, account: str) -> list[Document]:
    query = Query("messages", (Where("account", "==", account),), "at", limit=500, group=True)
    return await gateway.store.query(query)


async def heard(gateway: Gateway, account: str, count: int) -> bool:
    return len(await history(gateway, account)) >= count


def cells_of(connector: int) -> list[int]:
    children = Path(f"/proc/{connector}/task/{connector}/children").read_text().split()
    return [int(child) for child in children]


async def test_a_message_goes_out_and_its_receipts_come_back(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    message_id = await gateway.send(account, "hello ă€😀")
    assert await gateway.until_inbox(1) == ["hello ă€😀"]
    row = await gateway.until_message(message_id, "delivered")
    shown = gateway.whatsapp.inbox(FRIEND)[0]
    assert row.fields["wa_message_id"] == shown["id"]
    assert set(row.fields["times"]) == {"accepted", "sent", "delivered"}
    gateway.whatsapp.send_receipts(FRIEND, [shown["id"]], "read")
    await gateway.until_message(message_id, "read")


async def test_a_message_comes_in_once_with_both_addresses_of_its_sender(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    gateway.whatsapp.send(FRIEND, PHONE, "are you there?")
    [heard] = await gateway.until(lambda: history(gateway, account), "the message")
    assert heard.fields["text"] == "are you there?"
    assert heard.fields["chat"] == f"{FRIEND}@s.whatsapp.net"
    assert heard.fields["direction"] == "in"
    assert heard.fields["from"]["phone"] == FRIEND
    assert heard.fields["from"]["lid"]


async def test_messages_that_wait_at_a_kill_arrive_once_without_a_new_qr(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    for round_number in range(3):
        texts = [f"{round_number}-{n}" for n in range(10)]
        ids = [await gateway.send(account, text) for text in texts]
        gateway.kill()
        gateway.start()
        inbox = await gateway.until_inbox(10 * (round_number + 1))
        assert inbox[-10:] == texts
        for message_id in ids:
            await gateway.until_message(message_id, "delivered")
    assert len(gateway.inbox()) == 30
    assert len(gateway.whatsapp.devices(PHONE)) == 1
    assert await gateway.qr(account) is None


async def test_messages_written_while_no_connector_runs_go_out_when_one_does(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.kill()
    for n in range(10):
        await gateway.send(account, str(n))
    gateway.start()
    assert await gateway.until_inbox(10) == [str(n) for n in range(10)]


async def test_what_was_said_while_the_connector_was_dead_is_heard(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    gateway.kill()
    for n in range(5):
        gateway.whatsapp.send(FRIEND, PHONE, str(n))
    gateway.start()
    await gateway.until(lambda: heard(gateway, account, 5), "five messages")


async def test_a_killed_cell_is_replaced_and_the_conversation_goes_on(gateway: Gateway) -> None:
    connector = gateway.start()
    account = await gateway.link()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    for n in range(10):
        gateway.whatsapp.send(FRIEND, PHONE, f"in {n}")
    await gateway.until(lambda: heard(gateway, account, 10), "ten messages")
    [cell] = cells_of(connector.pid)
    os.kill(cell, signal.SIGKILL)
    for n in range(10, 20):
        gateway.whatsapp.send(FRIEND, PHONE, f"in {n}")
    message_id = await gateway.send(account, "after the kill")
    await gateway.until(lambda: heard(gateway, account, 20), "twenty messages")
    await gateway.until_message(message_id, "delivered")
    assert gateway.inbox() == ["after the kill"]


async def test_a_burst_is_heard_whole_although_the_connector_is_killed_in_the_middle(gateway: Gateway) -> None:
    # The supervisor's death: its cells cut their sockets and write down what the library has already decrypted.
    gateway.start()
    account = await gateway.link()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    for n in range(60):
        gateway.whatsapp.send(FRIEND, PHONE, f"in {n}")
        if n in (20, 40):
            gateway.kill()
            gateway.start()
    await gateway.until(lambda: heard(gateway, account, 60), "sixty messages")
    texts = [document.fields["text"] for document in await history(gateway, account)]
    assert sorted(texts) == sorted(f"in {n}" for n in range(60))


async def test_a_dropped_socket_heals_and_the_state_tells_the_truth(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.whatsapp.drop_connections(PHONE)
    message_id = await gateway.send(account, "through")
    await gateway.until_message(message_id, "delivered")
    await gateway.until_state(account, "connected")
    assert gateway.inbox() == ["through"]


async def test_unlinking_from_the_phone_is_told_and_not_retried(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    [device] = gateway.whatsapp.devices(PHONE)
    gateway.whatsapp.unlink(PHONE, device["device"])
    document = await gateway.until_state(account, "logged_out")
    assert document.fields["reason"]["code"] == "logged_out"
    assert document.fields["reason"]["next_step"]


async def test_a_device_unlinked_while_its_connector_was_dead_is_told(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.kill()
    [device] = gateway.whatsapp.devices(PHONE)
    gateway.whatsapp.unlink(PHONE, device["device"])
    gateway.start()
    await gateway.until_state(account, "logged_out")


async def test_deleting_a_session_unlinks_its_device_and_clears_its_documents(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    gateway.whatsapp.send(FRIEND, PHONE, "hi")
    await gateway.until(lambda: history(gateway, account), "the message")
    [device] = await gateway.store.query(accounts.devices_of_account(account))
    document = await gateway.store.get(accounts.account_path(account))
    assert document is not None
    await gateway.store.commit(accounts.unwanted(accounts.Account.read(document), [accounts.Device.read(device)]))

    async def gone() -> bool:
        return await gateway.store.get(accounts.account_path(account)) is None

    await gateway.until(gone, "the account to be gone")
    assert await history(gateway, account) == []
    assert gateway.whatsapp.devices(PHONE) == []
    assert not list((gateway.folder / "connector-1").glob(f"{account}_a"))


async def test_sigterm_settles_and_ends_within_ten_seconds(gateway: Gateway) -> None:
    connector = gateway.start()
    account = await gateway.link()
    ids = [await gateway.send(account, str(n)) for n in range(10)]
    began = time.monotonic()
    connector.popen.terminate()
    assert await asyncio.to_thread(connector.wait, STOP_LIMIT_S) == 0
    assert time.monotonic() - began < STOP_LIMIT_S
    authority = await gateway.store.get(f"send_authority/{account}")
    assert authority is not None
    assert authority.fields["claims"] == {}
    gateway.start()
    for message_id in ids:
        await gateway.until_message(message_id, "delivered")
    assert gateway.inbox() == [str(n) for n in range(10)]


async def test_two_connectors_share_the_devices(gateway: Gateway) -> None:
    gateway.start("connector-1")
    gateway.start("connector-2")

    async def both_beat() -> bool:
        return len(await gateway.store.query(Query("connectors", limit=9))) == 2

    await gateway.until(both_beat, "two heartbeats")
    created = [await gateway.create(f"s{n}") for n in range(4)]
    for account in created:
        await gateway.until(lambda account=account: gateway.qr(account), "a QR code")
    devices = await gateway.store.query(Query("devices", limit=9, group=True))
    held = sorted(device.fields["connector"] for device in devices)
    assert set(held) == {"connector-1", "connector-2"}
