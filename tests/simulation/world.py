"""A world in virtual time: one account, its connector (which may die), WhatsApp, and a checker of what must hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.ports.documents import Document, Query
from keepline.records import accounts, outbox
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.severed import SeveredDocuments
from keepline.testing.whatsapp import FakeDevice, FakeLink, FakeWhatsApp
from keepline.usecases.connecting import Connector

ACCOUNT = "demo_s1"
SETTLED = ("sent", "delivered", "read", "failed", "expired", "cancelled")
QUIET_LIMIT_S = 3_600.0


@dataclass
class World:
    """Start it inside a virtual loop. `random` decides everything that is left to chance."""

    random: Random
    accepted: dict[str, str] = field(default_factory=dict)  # message id -> text
    said: dict[str, str] = field(default_factory=dict)  # WhatsApp id -> text
    faults: int = 0

    async def start(self) -> None:
        self.clock = LoopClock()
        self.documents = MemoryDocuments(self.clock)
        self.whatsapp = FakeWhatsApp(self.clock, self.random)
        self.device = FakeDevice()
        self.process: asyncio.Task[None] | None = None
        await self.documents.commit(
            accounts.new_account(
                account=ACCOUNT, tenant="demo", session_id="s1", tag_key=bytes(32), status=WAITING_FOR_CONNECTOR
            )
        )

    def boot(self) -> None:
        """Start the connector's process."""
        self.store = SeveredDocuments(self.documents, self.random)
        self.links: list[FakeLink] = []

        def open_link(account: str, slot: str) -> FakeLink:
            self.links.append(FakeLink(self.whatsapp, self.device))
            return self.links[-1]

        connector = Connector(self.store, self.clock, self.random, open_link, "connector-1", "here")
        self.process = asyncio.create_task(connector.run())

    def kill(self) -> None:
        """kill -9: nothing that the process meant to do still happens."""
        self.faults += 1
        self.store.cut()
        for link in self.links:
            link.die()
        assert self.process is not None
        self.process.cancel()

    def drop_socket(self) -> None:
        self.faults += 1
        for link in self.links:
            link.drop()

    async def accept(self, text: str, chat: str) -> str:
        """What the API does for a message."""
        message_id = f"m_{len(self.accepted):026d}"
        await self.documents.commit(
            [
                outbox.new_row(
                    message_id=message_id,
                    tenant="demo",
                    account=ACCOUNT,
                    session_id="s1",
                    chat=chat,
                    text=text,
                    body_hash="",
                )
            ]
        )
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
        assert self.process is not None
        self.process.cancel()
        await asyncio.gather(self.process, return_exceptions=True)

    async def complaints(self) -> list[str]:
        """What must hold and does not."""
        shown = Counter(message.text for message in self.whatsapp.shown)
        found = [f"lost: {text}" for text in self.accepted.values() if not shown[text]]
        found += [f"shown {count} times: {text}" for text, count in shown.items() if count > 1]
        by_chat: dict[str, list[str]] = {}
        for message in self.whatsapp.shown:
            by_chat.setdefault(message.chat, []).append(message.text)
        order = {text: n for n, text in enumerate(self.accepted.values())}
        for chat, texts in by_chat.items():
            places = [order[text] for text in dict.fromkeys(texts)]
            if places != sorted(places):
                found.append(f"out of order in {chat}: {texts}")
        rows = {document.id: document for document in await self._rows()}
        found += [f"{m} is {rows[m].fields['state']}" for m in self.accepted if rows[m].fields["state"] != "delivered"]
        recorded = {document.fields["wa_message_id"]: document.fields["text"] for document in await self._history()}
        found += [f"unheard: {text}" for wa_id, text in self.said.items() if recorded.get(wa_id) != text]
        return found

    async def _settled(self) -> bool:
        rows = await self._rows()
        if any(row.fields["state"] not in SETTLED for row in rows) or len(rows) < len(self.accepted):
            return False
        return not self.device.journal and not self.whatsapp.waiting

    async def _rows(self) -> list[Document]:
        return await self.documents.query(Query("outbox", limit=1_000_000))

    async def _history(self) -> list[Document]:
        return await self.documents.query(Query("messages", limit=1_000_000, group=True))
