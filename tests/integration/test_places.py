"""Where devices live, with the real neonize: a connector is drained, cells are replaced, and nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import urlopen

from keepline.ports.documents import Document
from keepline.records import accounts
from tests.integration.conftest import FRIEND, LIMIT_S, PHONE, Gateway

OTHER_PHONE = "14155550101"
GAP_S_MAX = 1.0
# Without a standby a device that moves is restored elsewhere before it sends again.
MOVE_S_MAX = 5.0
PAUSE_S = 0.1
MOVES_LIMIT_S = 60.0
CELL_AGE_S = 10


def drain(gateway: Gateway, action: str, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepline_connector", action, name]
    environment = {**os.environ, **gateway.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)


async def health(gateway: Gateway, name: str) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        [port] = re.findall(r"health on port (\d+)", (gateway.folder / f"{name}.log").read_text())[-1:]
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=LIMIT_S) as answer:
            seen: dict[str, Any] = json.load(answer)
        return seen

    return await asyncio.to_thread(read)


async def held(gateway: Gateway, name: str) -> int:
    return len(await gateway.store.query(accounts.devices_of_connector(name)))


async def until_connected(gateway: Gateway, account: str, slot: str) -> None:
    await gateway.until(
        lambda: gateway.device_is(account, slot, "connected"), f"device {slot} of {account}", MOVE_S_MAX
    )


@asynccontextmanager
async def talking(gateway: Gateway, *senders: str) -> AsyncIterator[dict[str, list[Document]]]:
    """Each account sends all the time; at the end each message has arrived once. By account: what became of them."""
    ids: dict[str, list[str]] = {account: [] for account in senders}
    rows: dict[str, list[Document]] = {account: [] for account in senders}
    before = gateway.inbox()
    enough = asyncio.Event()

    async def talk(account: str) -> None:
        # To the end of a message: one whose acceptance is cancelled on its way to Firestore is accepted, and sent, all the same.
        while not enough.is_set():
            ids[account].append(await gateway.send(account, f"{account} says {len(ids[account])}"))
            await asyncio.sleep(PAUSE_S)

    talkers = [asyncio.create_task(talk(account)) for account in senders]
    yield rows
    enough.set()
    await asyncio.gather(*talkers)
    for account in senders:
        for message_id in ids[account]:
            rows[account].append(await gateway.until_message(message_id, "delivered"))
    said = Counter(f"{account} says {number}" for account in senders for number in range(len(ids[account])))
    shown = Counter(gateway.inbox()[len(before) :])
    assert {"lost": said - shown, "too many": shown - said} == {"lost": Counter(), "too many": Counter()}
    print({account: f"{len(done)} messages, the slowest {slowest_s(done):.2f} s" for account, done in rows.items()})


def slowest_s(rows: list[Document]) -> float:
    return float(max((row.fields["times"]["sent"] - row.fields["times"]["accepted"]).total_seconds() for row in rows))


def ever_in_doubt(rows: list[Document]) -> list[str]:
    """A planned move waits for WhatsApp's answers, so nothing need be doubted, also where there is no witness."""
    return [row.fields["text"] for row in rows if "in_doubt" in row.fields["times"]]


async def pair_and_single(gateway: Gateway) -> tuple[str, str]:
    """An account with a standby and one without, both sending from the first connector."""
    gateway.start()
    pair = await gateway.link()
    single = await gateway.link("s2", OTHER_PHONE)
    gateway.start("connector-2")
    await gateway.link_standby(pair)
    for account in (pair, single):
        await gateway.until_message(await gateway.send(account, "before"), "delivered")
    return pair, single


async def test_a_drained_connector_is_empty_soon_and_an_account_with_a_standby_has_no_gap(gateway: Gateway) -> None:
    pair, single = await pair_and_single(gateway)

    async def empty() -> bool:
        return await held(gateway, "connector-1") == 0 and (await health(gateway, "connector-1"))["devices"] == 0

    async with talking(gateway, pair, single) as rows:
        assert drain(gateway, "drain", "connector-1").returncode == 0
        await gateway.until(empty, "the connector to be empty", MOVES_LIMIT_S)
        assert (await health(gateway, "connector-1"))["draining"] is True
        for account, slot in ((pair, "a"), (pair, "b"), (single, "a")):
            await until_connected(gateway, account, slot)
    assert slowest_s(rows[pair]) < GAP_S_MAX
    assert slowest_s(rows[single]) < MOVE_S_MAX
    assert ever_in_doubt(rows[single]) == []

    async def back() -> bool:
        return await held(gateway, "connector-1") > 0

    assert drain(gateway, "undrain", "connector-1").returncode == 0
    await gateway.until(back, "the connector to take devices again", MOVES_LIMIT_S)


async def test_a_connector_that_never_was_cannot_be_drained(gateway: Gateway) -> None:
    refused = await asyncio.to_thread(drain, gateway, "drain", "connector-9")
    assert (refused.returncode, refused.stderr) == (1, "There has never been a connector called connector-9.\n")


async def test_cells_are_replaced_under_load_and_nothing_is_lost_or_doubled(gateway: Gateway) -> None:
    gateway.environment["KEEPLINE_CELL_AGE_S_MAX"] = str(CELL_AGE_S)
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    pair, single = await pair_and_single(gateway)

    async def recycled(name: str, times: int) -> bool:
        return bool((await health(gateway, name))["cells_recycled"] >= times)

    before = {name: (await health(gateway, name))["cells_recycled"] for name in gateway.connectors}
    async with talking(gateway, pair, single) as rows:
        for name, times in before.items():
            await gateway.until(
                lambda name=name, times=times: recycled(name, times + 2), "two new cells", MOVES_LIMIT_S
            )
        gateway.whatsapp.send(FRIEND, PHONE, "still there?")
    for account, slot in ((pair, "a"), (pair, "b"), (single, "a")):
        await until_connected(gateway, account, slot)
    print(await health(gateway, "connector-1"))
    assert slowest_s(rows[pair]) < GAP_S_MAX
    assert slowest_s(rows[single]) < MOVE_S_MAX
    assert ever_in_doubt(rows[single]) == []
