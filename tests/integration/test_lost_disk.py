"""What a container's disk had is gone with it: the session comes back from Firestore, and a phone is not asked again."""

from __future__ import annotations

import os
import shutil
import signal

from keepline.ports.documents import Query, Update
from keepline.records import accounts, session_docs
from keepline.usecases.session_store import list_sessions
from tests.integration.conftest import FRIEND, LIMIT_S, PHONE, Gateway
from tests.integration.test_connector import heard, history


def lose(gateway: Gateway, name: str = "connector-1") -> None:
    """The container ends with all of its processes, and its disk with it."""
    os.killpg(gateway.connectors[name].pid, signal.SIGKILL)
    gateway.connectors[name].wait(LIMIT_S)
    shutil.rmtree(gateway.folder / name)


async def exchange(gateway: Gateway, account: str, word: str) -> None:
    """A message each way, read at the other end."""
    before = len(await history(gateway, account))
    await gateway.until_message(await gateway.send(account, f"to you: {word}"), "delivered")
    gateway.whatsapp.send(FRIEND, PHONE, f"to us: {word}")
    await gateway.until(lambda: heard(gateway, account, before + 1), f"{word} to be heard")


async def test_no_second_qr_and_nothing_unreadable_after_the_disk_is_lost(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    await exchange(gateway, account, "before")
    for round_number in range(3):
        lose(gateway)
        waiting = await gateway.send(account, f"while away {round_number}")
        gateway.whatsapp.send(FRIEND, PHONE, f"to us while away {round_number}")
        gateway.start()
        await gateway.until_message(waiting, "delivered")
        await exchange(gateway, account, f"after {round_number}")
    assert await gateway.qr(account) is None
    assert len(gateway.whatsapp.devices(PHONE)) == 1
    rounds = [text for n in range(3) for text in (f"while away {n}", f"to you: after {n}")]
    assert gateway.inbox() == ["to you: before", *rounds]
    assert sorted(message.fields["text"] for message in await history(gateway, account)) == sorted(
        ["to us: before", *(f"to us while away {n}" for n in range(3)), *(f"to us: after {n}" for n in range(3))]
    )
    device = await gateway.store.get(accounts.device_path(account, "a"))
    assert device is not None
    assert device.fields["restored_at"] is not None


async def test_a_changed_segment_is_refused_and_said(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    await exchange(gateway, account, "before")
    lose(gateway)
    [newest] = await gateway.store.query(session_docs.newest_segment(account, "a"))
    sealed = bytearray(newest.fields["sealed"])
    sealed[-1] ^= 1
    await gateway.store.commit([Update(newest.path, {"sealed": bytes(sealed)})])
    gateway.start()
    document = await gateway.until_state(account, "failed")
    assert document.fields["reason"]["code"] == "session_seal_broken"
    assert not (gateway.folder / "connector-1" / f"{account}_a" / "whatsapp.db").exists()
    assert await gateway.qr(account) is None


async def test_a_deleted_session_leaves_nothing_in_firestore_or_on_the_disk(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    await exchange(gateway, account, "before")
    assert await list_sessions(gateway.store, account=account)
    # Its connector is away, and its disk is lost: it is restored once more, so that WhatsApp hears of the end.
    lose(gateway)
    found = await gateway.store.get(accounts.account_path(account))
    assert found is not None
    devices = [accounts.Device.read(one) for one in await gateway.store.query(accounts.devices_of_account(account))]
    await gateway.store.commit(accounts.unwanted(accounts.Account.read(found), devices))
    gateway.start()

    async def gone() -> bool:
        return await gateway.store.get(accounts.account_path(account)) is None

    await gateway.until(gone, "the session to be gone")
    assert gateway.whatsapp.devices(PHONE) == []
    assert await list_sessions(gateway.store, account=account) == []
    for left in (session_docs.SEGMENTS, session_docs.SNAPSHOTS):
        assert await gateway.store.query(Query(left, limit=1, group=True)) == []
    # Where files are on their way, of all sessions together.
    left_over = {*(gateway.folder / "connector-1").rglob("*")}
    assert left_over <= {gateway.folder / "connector-1" / "media"}
