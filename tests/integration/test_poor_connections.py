"""A connection that works badly and is not dead, with the real neonize: a healthy one sends instead, and it does not flap."""

from __future__ import annotations

import asyncio
import contextlib
import time

from simulator.faults.model import Direction, Fault, Kind, Target
from tests.integration.conftest import FRIEND, LIMIT_S, PHONE, Gateway
from tests.integration.test_failover import speaker, two_connectors

FRIENDS = [f"1415555013{n}" for n in range(4)]
# So late WhatsApp acknowledges what the first device sends. Everything else comes as always: nothing is dead or mute.
ACK_DELAY_S = 4.5
WATCH_S = 20.0


async def test_a_connection_that_becomes_slow_loses_the_right_to_send_and_it_does_not_flap(gateway: Gateway) -> None:
    account = await two_connectors(gateway)
    sent: dict[str, list[str]] = {friend: [] for friend in FRIENDS}
    ids: list[str] = []
    speakers: list[str] = []

    async def talk() -> None:
        """Somebody writes to us all the time, so that the connection is never silent."""
        while True:
            await asyncio.to_thread(gateway.whatsapp.send, FRIEND, PHONE, "and another thing")
            await asyncio.sleep(0.3)

    async def send_for(limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            friend = FRIENDS[len(ids) % len(FRIENDS)]
            text = f"text {len(ids)}"
            ids.append(await gateway.send(account, text, friend))
            sent[friend].append(text)
            slot = (await speaker(gateway, account))[1]
            if [slot] != speakers[-1:]:
                speakers.append(slot)
            await asyncio.sleep(0.4)

    talking = asyncio.create_task(talk())
    await send_for(3)
    gateway.whatsapp.add_fault(Fault(Kind.SLOW, Target(PHONE, 1, Direction.OUT, "ack"), delay_s=ACK_DELAY_S))
    began_s = time.monotonic()
    while speakers == ["a"]:
        assert time.monotonic() < began_s + LIMIT_S, "it goes on sending over the slow connection"
        await send_for(0.4)
    print(f"the standby sends after {time.monotonic() - began_s:.1f} s")
    await send_for(WATCH_S)
    talking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talking
    assert speakers == ["a", "b"]
    log = gateway.connectors["connector-1"].log.read_text()
    assert "is poor now" in log
    assert "has a poor link" in log
    assert "has no link" not in log
    for message_id in ids:
        await gateway.until_message(message_id, "delivered", "read")
    for friend, texts in sent.items():
        assert gateway.inbox(friend) == texts
