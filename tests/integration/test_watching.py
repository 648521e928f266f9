"""What a connector knows and nobody else: how old its WhatsApp client is, when the phone was seen, and where a device went."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

from keepline.domain.events import EventKind
from keepline.records import accounts, connectors, monitoring
from keepline.records.connectors import ConnectorBeat
from tests.integration.conftest import Gateway
from tests.integration.test_failover import two_connectors


async def kinds(gateway: Gateway, account: str, kind: EventKind) -> list[dict[str, object]]:
    found = await gateway.store.query(monitoring.newest_events(None, account, kind, None, None, 10))
    return [dict(event.fields["details"]) for event in found]


async def test_a_connector_tells_of_its_client_of_the_phone_and_of_who_sends(gateway: Gateway) -> None:
    account = await two_connectors(gateway)
    document = await gateway.store.get(connectors.connector_path("connector-1"))
    assert document is not None
    built_at = ConnectorBeat.read(document).client_built_at
    assert built_at is not None
    assert datetime(2025, 1, 1, tzinfo=UTC) < built_at < datetime.now(UTC)
    linked = await gateway.store.get(accounts.account_path(account))
    assert linked is not None
    assert linked.fields["phone_seen_at"] is not None, "it has linked a device"
    os.killpg(gateway.connectors["connector-1"].pid, signal.SIGKILL)
    await gateway.until_message(await gateway.send(account, "after"), "delivered")
    [moved] = await kinds(gateway, account, EventKind.SEND_RIGHT_MOVED)
    assert (moved["to"], moved["slot"]) == ("connector-2", "b")
