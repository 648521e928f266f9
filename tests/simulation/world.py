"""A world in virtual time: one account, its connectors (which may die), WhatsApp, and a checker of what must hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from keepline.domain.compaction import RestorePolicy
from keepline.domain.ids import new_message_id
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Document, Query, Update
from keepline.records import accounts, outbox
from keepline.records.accounts import Account
from keepline.records.outbox import NewMessage
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.session_file import MemorySessionFile
from keepline.testing.severed import SeveredDocuments
from keepline.testing.whatsapp import FakeDevice, FakeLink, FakeWhatsApp
from keepline.usecases.connecting import Connector
from keepline.usecases.session_keeping import SessionKeeper

ACCOUNT = "demo_s1"
SETTLED = ("sent", "delivered", "read", "failed", "expired", "cancelled")
QUIET_LIMIT_S = 3_600.0


@dataclass
class Process:
    """A connector's process over its device, from its start to its death."""

    name: str
    device: FakeDevice
    store: SeveredDocuments
    links: list[FakeLink] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """kill -9: nothing that the process meant to do still happens."""
        self.store.cut()
        for link in self.links:
            link.die()
        assert self.task is not None
        self.task.cancel()


@dataclass
class World:
    """Start it inside a virtual loop. `random` decides everything that is left to chance."""

    random: Random
    standby: bool = False
    accepted: dict[str, str] = field(default_factory=dict)  # message id -> text
    said: dict[str, str] = field(default_factory=dict)  # WhatsApp id -> text
    faults: int = 0

    async def start(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.keys = MemoryKeys()
        self.whatsapp = FakeWhatsApp(self.clock, self.random)
        self.devices = {"connector-1": self.whatsapp.add_device()}
        self.processes: dict[str, Process] = {}
        await self.documents.commit(
            accounts.new_account(
                account=ACCOUNT, tenant="demo", session_id="s1", tag_key=bytes(32), status=WAITING_FOR_CONNECTOR
            )
        )
        if self.standby:
            await self._assign("a", "connector-1")
            document = await self.documents.get(accounts.account_path(ACCOUNT))
            assert document is not None
            await self.documents.commit(accounts.new_standby(Account.read(document), WAITING_FOR_CONNECTOR))
            self.devices["connector-2"] = self.whatsapp.add_device()
            await self._assign("b", "connector-2")

    def boot(self, name: str = "connector-1") -> Process:
        """Start a connector's process."""
        process = Process(name, self.devices[name], SeveredDocuments(self.documents, self.random))

        def open_link(account: str, slot: str) -> FakeLink:
            process.links.append(FakeLink(self.whatsapp, process.device))
            return process.links[-1]

        def keep_session(account: Account, slot: str) -> SessionKeeper:
            return SessionKeeper(
                process.store,
                self.clock,
                self.keys,
                MemorySessionFile(process.device.disk),
                self.random.randbytes,
                account=account.id,
                tenant=account.tenant,
                slot=slot,
                holder=name,
                policy=RestorePolicy.REFUSE,
            )

        connector = Connector(process.store, self.clock, self.random, open_link, keep_session, name, "here")
        process.task = asyncio.create_task(connector.run())
        self.processes[name] = process
        return process

    def boot_all(self) -> None:
        for name in self.devices:
            self.boot(name)

    @property
    def store(self) -> SeveredDocuments:
        """What the sending connector sees of the store."""
        return self.processes["connector-1"].store

    def kill(self, name: str = "connector-1") -> None:
        self.faults += 1
        self.processes[name].kill()

    def drop_socket(self, name: str = "connector-1") -> None:
        self.faults += 1
        for link in self.processes[name].links:
            link.drop()

    async def accept(self, text: str, chat: str, **choices: Any) -> str:
        """What the API does for a message."""
        message_id = new_message_id(self.random.randbytes(16))
        row = NewMessage(message_id, "demo", ACCOUNT, "s1", chat, text, "", **choices)
        await self.documents.commit([outbox.new_row(row)])
        self.accepted[message_id] = text
        return message_id

    def say(self, text: str, chat: str) -> None:
        self.said[self.whatsapp.write(text, chat)] = text

    async def until_settled(self) -> None:
        """Until every accepted message has its outcome and everything said is recorded."""
        async with asyncio.timeout(QUIET_LIMIT_S):
            while not await self._settled():  # noqa: ASYNC110 - virtual seconds, and nobody to tell us
                await asyncio.sleep(1)

    async def stop(self) -> None:
        tasks = [process.task for process in self.processes.values() if process.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def row(self, message_id: str) -> Document:
        document = await self.documents.get(outbox.row_path(message_id))
        assert document is not None
        return document

    async def complaints(self) -> list[str]:
        """What must hold and does not."""
        kept = [message for message in self.whatsapp.shown if message.wa_message_id not in self.whatsapp.revoked]
        shown = Counter(message.text for message in kept)
        found = [f"lost: {text}" for text in self.accepted.values() if not shown[text]]
        found += [f"shown {count} times: {text}" for text, count in shown.items() if count > 1]
        by_chat: dict[str, list[str]] = {}
        for message in kept:
            by_chat.setdefault(message.chat, []).append(message.text)
        order = {text: n for n, text in enumerate(self.accepted.values())}
        for chat, texts in by_chat.items():
            places = [order[text] for text in dict.fromkeys(texts)]
            if places != sorted(places):
                found.append(f"out of order in {chat}: {texts}")
        rows = {document.id: document for document in await self._rows()}
        end = "sent" if self.whatsapp.recipients_are_off else "delivered"
        found += [f"{m} is {rows[m].fields['state']}" for m in self.accepted if rows[m].fields["state"] != end]
        recorded = {document.fields["wa_message_id"]: document.fields["text"] for document in await self._history()}
        found += [f"unheard: {text}" for wa_id, text in self.said.items() if recorded.get(wa_id) != text]
        return found

    async def _settled(self) -> bool:
        rows = await self._rows()
        if any(row.fields["state"] not in SETTLED for row in rows) or len(rows) < len(self.accepted):
            return False
        return not any(device.journal or device.waiting for device in self.devices.values())

    async def _assign(self, slot: str, connector: str) -> None:
        assigned = {"connector": connector, "region": "here", "linked": True}
        await self.documents.commit([Update(accounts.device_path(ACCOUNT, slot), assigned)])

    async def _rows(self) -> list[Document]:
        return await self.documents.query(Query("outbox", limit=1_000_000))

    async def _history(self) -> list[Document]:
        return await self.documents.query(Query("messages", limit=1_000_000, group=True))
