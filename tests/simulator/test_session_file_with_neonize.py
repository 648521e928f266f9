"""Session replication against the unmodified neonize: it writes its store, we capture it, and it goes on from what we rebuilt."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from keepline.ports.session_file import Captured
from keepline_connector.session_file import SqliteSessionFile
from simulator.client import SimulatorClient, wait_for
from simulator.testing import NeonizeClient, RunningSimulator, link
from tests.whatsmeow_store import kept_rows

Start = Callable[..., NeonizeClient]

# What sealing adds: a header line, a nonce, a tag.
SEAL_BYTES = 100
JOURNAL_BYTES_MAX_PER_MESSAGE = 4_000

_numbers = itertools.count(14155550300)


class Replicated:
    """A device whose store is captured: the chain is what the document store would have."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "whatsapp.db"
        self.file = SqliteSessionFile(folder)
        self.chain: list[Captured] = []
        folder.mkdir(exist_ok=True)

    async def capture(self) -> Captured | None:
        found = await self.file.capture()
        if found is not None:
            self.chain.append(found)
            await self.file.confirm(found.mark)
        return found

    async def rebuild(self, snapshot: Captured, *changes: Captured, forget: tuple[str, ...] = ()) -> None:
        await self.file.rebuild(snapshot.data, [change.data for change in changes], forget)

    @contextlib.asynccontextmanager
    async def captured_all_the_time(self) -> AsyncIterator[None]:
        async def go_on() -> None:
            while True:
                await self.capture()

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class People:
    """Two phones, and the device of the first one that is replicated."""

    def __init__(self, control: SimulatorClient, neonize: Start, tmp_path: Path) -> None:
        self.control, self._neonize, self._tmp_path = control, neonize, tmp_path
        self.ada, self.bob = str(next(_numbers)), str(next(_numbers))
        control.add_phone(self.ada, "Ada")
        control.add_phone(self.bob, "Bob")
        self.here, self.there = Replicated(tmp_path / "here"), Replicated(tmp_path / "there")
        self.client = neonize("here/whatsapp")
        link(control, self.client, self.ada)
        self.say("hello")
        self.hear("hello back")

    def say(self, text: str, client: NeonizeClient | None = None) -> dict[str, Any]:
        """Ada's device sends; what Bob's phone shows of it."""
        (client or self.client).send(self.bob, text, secrets.token_hex(32))
        return wait_for(lambda: self._shown(text), 10, f"{text!r} on Bob's phone")

    def hear(self, text: str, client: NeonizeClient | None = None) -> None:
        """Bob sends, and Ada's device decrypts it."""
        sent = self.control.send(self.bob, self.ada, text)
        event = (client or self.client).wait("message", lambda event: event["id"] == sent)
        assert event["text"] == text

    def start_there(self) -> NeonizeClient:
        client = self._neonize("there/whatsapp")
        client.wait("connected")
        assert "qr" not in [event["event"] for event in client.events]
        return client

    def waited(self) -> list[str]:
        """The messages that Bob's phone could not read at first."""
        return [event["id"] for event in self.control.log(kind="waiting")[0] if event["to"] == self.bob]

    def _shown(self, text: str) -> dict[str, Any] | None:
        return next((found for found in self.control.inbox(self.bob) if found["text"] == text), None)


def is_read(message_id: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: message_id in event["ids"] and event["type"] == 4


@pytest.fixture
def people(running: RunningSimulator, neonize: Start, tmp_path: Path) -> People:
    return People(running.client, neonize, tmp_path)


async def test_a_killed_device_goes_on_elsewhere_without_a_qr_code(people: People) -> None:
    assert (first := await people.here.capture())
    assert first.whole
    async with people.here.captured_all_the_time():
        for n in range(8):
            await asyncio.to_thread(people.say, f"out {n}")
            await asyncio.to_thread(people.hear, f"in {n}")
        people.client.kill()
    await people.here.capture()
    assert not any(change.whole for change in people.here.chain[1:])
    assert len(people.here.chain) > 8

    await people.there.rebuild(*people.here.chain)
    assert kept_rows(people.there.path) == kept_rows(people.here.path)
    client = people.start_there()
    said = people.say("from elsewhere", client)
    assert (said["waiting"], said["retries"]) == (False, 0)
    people.hear("to elsewhere", client)
    assert "undecryptable" not in [event["event"] for event in client.events]
    assert people.waited() == []


async def test_a_send_that_was_lost_with_the_disk_costs_the_next_one_nothing(people: People) -> None:
    assert await people.here.capture()
    people.say("lost with the disk")
    people.client.kill()

    await people.there.rebuild(*people.here.chain, forget=(f"{people.bob}@s.whatsapp.net",))
    client = people.start_there()
    assert people.say("the next one", client)["retries"] == 0
    assert people.waited() == []
    people.hear("still there", client)
    people.say("and another", client)
    # What was forgotten is a change like any other, and so is what took its place.
    changes = await people.there.capture()
    assert changes is not None
    assert not changes.whole


async def test_going_on_from_older_ratchets_uses_a_key_twice(people: People) -> None:
    """Why ratchets are forgotten: without that, the recipient cannot read the next message until it has asked for it again."""
    assert await people.here.capture()
    people.say("lost with the disk")
    people.client.kill()

    await people.there.rebuild(*people.here.chain)
    said = people.say("the next one", people.start_there())
    assert said["retries"] == 1
    assert people.waited() == [said["id"]]


@pytest.mark.parametrize("forget", [False, True])
async def test_what_comes_to_a_store_that_is_some_messages_behind_is_read(people: People, forget: bool) -> None:
    assert await people.here.capture()
    for n in range(3):
        people.hear(f"not captured {n}")
        people.say(f"not captured either {n}")
    people.client.kill()

    await people.there.rebuild(*people.here.chain, forget=(f"{people.bob}@s.whatsapp.net",) if forget else ())
    client = people.start_there()
    for n in range(3):
        people.hear(f"after {n}", client)
    people.say("an answer", client)


async def test_a_restart_of_the_library_writes_next_to_nothing(people: People, neonize: Start) -> None:
    await people.here.capture()
    people.client.kill()
    client = neonize("here/whatsapp")
    client.wait("offline_done")
    people.say("so that everything at the start is over", client)
    found = await people.here.capture()
    assert found is not None
    assert not found.whole
    assert len(found.data) < JOURNAL_BYTES_MAX_PER_MESSAGE


@pytest.mark.parametrize("batch", [1, 10])
async def test_a_message_costs_few_bytes_of_journal(people: People, batch: int) -> None:
    """Sent to a contact with one device, delivered and read; captured after each message or after ten."""
    await people.here.capture()
    sealed = 0
    for n in range(20):
        mark = people.client.mark()
        said = people.say(f"message {n}")
        people.control.send_receipts(people.bob, [said["id"]], "read")
        people.client.wait("receipt", is_read(said["id"]), mark)
        if n % batch == batch - 1:
            found = await people.here.capture()
            assert found is not None
            sealed += len(zlib.compress(found.data, 1)) + SEAL_BYTES
    print(f"{sealed / 20:.0f} bytes of journal a message, captured per {batch}")
    assert sealed / 20 < JOURNAL_BYTES_MAX_PER_MESSAGE / 2
