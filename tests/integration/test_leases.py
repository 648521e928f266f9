"""Leases of real connectors: kept by one that is busy, lost by one that hangs, handed over by one that stops."""

from __future__ import annotations

import os
import signal
import time

from keepline.domain.lease import EXTREME
from keepline.records import accounts, connectors
from keepline.records.connectors import ConnectorBeat
from tests.integration.blocked_connector import LONG_S, SHORT_S
from tests.integration.conftest import LIMIT_S, Gateway
from tests.integration.test_failover import speaker

BLOCKED = "tests.integration.blocked_connector"
LOST = "is lost"
NO_SIGN = "shows no sign of life"


async def beat_of(gateway: Gateway, name: str = "connector-1") -> ConnectorBeat:
    document = await gateway.store.get(connectors.connector_path(name))
    assert document is not None
    return ConnectorBeat.read(document)


async def test_a_connector_whose_event_loop_is_held_up_for_a_moment_keeps_its_lease(gateway: Gateway) -> None:
    child = gateway.start(module=BLOCKED)
    account = await gateway.link()
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    before = await beat_of(gateway)
    os.kill(child.pid, signal.SIGUSR1)
    held_up_s = time.monotonic()

    async def beats_on() -> bool:
        return (await beat_of(gateway)).beat >= before.beat + 2

    await gateway.until(beats_on, "heartbeats", 2.4 * EXTREME.heartbeat_s)
    assert time.monotonic() - held_up_s < SHORT_S
    message_id = await gateway.send(account, "meanwhile")
    await gateway.until_message(message_id, "delivered")
    assert time.monotonic() - held_up_s >= SHORT_S, "it was not held up"
    assert gateway.inbox() == ["before", "meanwhile"]
    assert LOST not in child.log.read_text()
    assert not (await beat_of(gateway)).is_over


async def test_a_connector_that_hangs_loses_its_lease_and_its_standby_sends(gateway: Gateway) -> None:
    child = gateway.start(module=BLOCKED)
    account = await gateway.link()
    gateway.start("connector-2")
    await gateway.link_standby(account)
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    assert await speaker(gateway, account) == ("connector-1", "a")
    os.kill(child.pid, signal.SIGUSR2)
    hung_s = time.monotonic()
    meanwhile = [await gateway.send(account, f"meanwhile {n}") for n in range(3)]
    await gateway.until_inbox(4)
    print(f"gap after a hang: {time.monotonic() - hung_s:.2f} s")
    assert EXTREME.sign_of_life_max_s < time.monotonic() - hung_s < LONG_S
    assert await speaker(gateway, account) == ("connector-2", "b")

    async def is_back() -> bool:
        return LOST in child.log.read_text() and not (await beat_of(gateway)).is_over

    await gateway.until(is_back, "the connector that hung to have its lease anew")
    after = [await gateway.send(account, f"after {n}") for n in range(3)]
    for message_id in (*meanwhile, *after):
        await gateway.until_message(message_id, "delivered")
    assert len(gateway.inbox()) == 7
    assert await speaker(gateway, account) == ("connector-2", "b")
    assert NO_SIGN in child.log.read_text()


async def test_a_clean_stop_gives_a_lone_device_to_another_connector_at_once(gateway: Gateway) -> None:
    child = gateway.start()
    account = await gateway.link()
    await gateway.until_message(await gateway.send(account, "before"), "delivered")
    gateway.start("connector-2")

    async def knows() -> bool:
        document = await gateway.store.get(connectors.connector_path("connector-2"))
        return document is not None and not ConnectorBeat.read(document).is_over

    await gateway.until(knows, "the other connector")
    os.kill(child.pid, signal.SIGTERM)
    asked_s = time.monotonic()
    message_id = await gateway.send(account, "after")
    await gateway.until_inbox(2)
    print(f"gap after SIGTERM, without a standby: {time.monotonic() - asked_s:.2f} s")
    assert time.monotonic() - asked_s < 5.0
    await gateway.until_message(message_id, "delivered")
    device = await gateway.store.get(accounts.device_path(account, "a"))
    assert device is not None
    assert device.fields["connector"] == "connector-2"
    assert child.wait(LIMIT_S) == 0
    assert (await beat_of(gateway)).stopping
    assert gateway.inbox() == ["before", "after"]
