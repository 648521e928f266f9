"""Changes of groups, and calls, with every real part: neonize, a standby, the simulator's phones and Google's emulator."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from keepline.ports.documents import Document
from keepline.records import notices
from tests.integration.conftest import FRIEND, PHONE, Gateway

BEA = "14155550177"


async def of_type(gateway: Gateway, account: str, event_type: str) -> list[Document]:
    found = await gateway.store.query(notices.notices_of_account(account, 100))
    return [one for one in found if one.fields["type"] == event_type]


async def until_told(gateway: Gateway, account: str, event_type: str, count: int = 1) -> list[dict[str, Any]]:
    async def told() -> list[dict[str, Any]] | None:
        found = await of_type(gateway, account, event_type)
        return [{**one.fields["said"], "chat": one.fields["chat"]} for one in found] if len(found) >= count else None

    found: list[dict[str, Any]] = await gateway.until(told, f"{count} of {event_type}")
    return found


async def journals_are_empty(gateway: Gateway) -> bool:
    """Both devices have heard everything, and nothing of it is still on its way."""
    devices = await asyncio.to_thread(gateway.whatsapp.devices, PHONE)
    if any(one["queued"] for one in devices):
        return False
    for path in gateway.folder.glob("*/*/journal.db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            if database.execute("SELECT 1 FROM heard LIMIT 1").fetchone():
                return False
    return True


async def test_what_happens_in_a_group_and_a_call_is_recorded_once_with_a_standby_and_through_a_kill(
    gateway: Gateway,
) -> None:
    gateway.start()
    phones = gateway.whatsapp
    account = await gateway.link()
    await gateway.link_standby(account)
    for number in (FRIEND, BEA):
        if number not in {one["number"] for one in await asyncio.to_thread(phones.phones)}:
            await asyncio.to_thread(phones.add_phone, number, "")
    lids = {one["number"]: one["lid"].partition("@")[0] for one in await asyncio.to_thread(phones.phones)}
    friend, bea = ({"phone": number, "lid": lids[number]} for number in (FRIEND, BEA))

    group = (await asyncio.to_thread(phones.create_group, FRIEND, "Walks", [PHONE]))["id"]
    [joined] = await until_told(gateway, account, "group.join")
    assert joined == {"chat": group, "by": friend, "subject": "Walks"}

    await asyncio.to_thread(phones.change_members, FRIEND, group, "add", [BEA])
    [added] = await until_told(gateway, account, "group.participants")
    assert added == {"chat": group, "by": friend, "action": "join", "members": [bea]}

    # While nobody listens WhatsApp keeps it; what a killed cell had in its journal is told by the next one.
    gateway.kill()
    await asyncio.to_thread(phones.change_group, FRIEND, group, subject="Long walks")
    await asyncio.to_thread(phones.ring, BEA, PHONE, video=True)
    gateway.start()
    [renamed] = await until_told(gateway, account, "group.update")
    assert renamed == {"chat": group, "by": friend, "changes": {"subject": "Long walks"}}
    [call] = await until_told(gateway, account, "call.received")
    assert (call["from"], call["is_video"], call["is_group"]) == (bea, True, False)
    assert call["chat"] == f"{BEA}@s.whatsapp.net"

    await asyncio.to_thread(phones.new_group_link, FRIEND, group)
    await asyncio.to_thread(phones.ring, FRIEND, group)
    await asyncio.to_thread(phones.change_members, FRIEND, group, "remove", [PHONE])
    [left] = await until_told(gateway, account, "group.leave")
    assert left == {"chat": group, "by": friend}

    await gateway.until(lambda: journals_are_empty(gateway), "both devices' journals to be told")
    told = await gateway.store.query(notices.notices_of_account(account, 100))
    assert sorted(one.fields["type"] for one in told) == [
        *("call.received", "call.received", "group.join", "group.leave"),
        *("group.participants", "group.participants", "group.update", "group.update"),
    ]
    [in_group] = [one.fields for one in told if one.fields["said"].get("is_group")]
    assert in_group["chat"] == group
    [link] = [one.fields["said"]["changes"] for one in told if "invite_link" in one.fields["said"].get("changes", {})]
    assert link["invite_link"].startswith("https://chat.whatsapp.com/")
