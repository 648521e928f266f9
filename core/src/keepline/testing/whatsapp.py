"""A WhatsApp in memory, as the use cases see it through a device link: enough to lose, repeat and reorder what should not be.

`FakeWhatsApp` is the server and the recipients' phones; `FakeDevice` what one machine's disk keeps of a linked device (the
library's store and the journal); `FakeLink` one life of a cell over it. Losing a link loses nothing of the two others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from keepline.domain.link_events import (
    CaughtUp,
    Connected,
    Disconnected,
    LinkEvent,
    MessageHeard,
    ReceiptHeard,
    SendOutcome,
)
from keepline.ports.clock import Clock

LATENCY_MIN_S = 0.01
LATENCY_MAX_S = 0.4
ANSWER_LIMIT_S = 75.0


@dataclass(frozen=True)
class Shown:
    """What a recipient's phone shows."""

    wa_message_id: str
    chat: str
    text: str


@dataclass
class FakeDevice:
    """The disk of one linked device: what the library tried, and what was heard and not acknowledged."""

    tried: dict[bytes, str] = field(default_factory=dict)
    journal: dict[int, MessageHeard | ReceiptHeard] = field(default_factory=dict)
    seq: int = 0

    def hear(self, event: MessageHeard | ReceiptHeard) -> MessageHeard | ReceiptHeard:
        """Take an event down before anybody acts on it."""
        self.seq += 1
        numbered = replace(event, seq=self.seq)
        self.journal[self.seq] = numbered
        return numbered


@dataclass
class FakeWhatsApp:
    """The server and everybody's phones. Sends are accepted in order; receipts and messages wait for a device that is away."""

    clock: Clock
    random: Random
    shown: list[Shown] = field(default_factory=list)
    waiting: list[MessageHeard | ReceiptHeard] = field(default_factory=list)
    link: FakeLink | None = None
    sequence: int = 0
    # What WhatsApp does with a device that connects: by default it is linked already and let in.
    on_connect: Callable[[FakeLink], None] = field(default=lambda link: link.log_in())
    # Chances, 0 to 1, of what goes wrong with one send.
    lose_answer: float = 0.0

    def accept(self, chat: str, text: str, wa_message_id: str) -> None:
        """A stanza arrived: the recipient's phone shows it and sends its receipt."""
        if all(shown.wa_message_id != wa_message_id for shown in self.shown):
            self.shown.append(Shown(wa_message_id, chat, text))
        self.deliver(ReceiptHeard(0, (wa_message_id,), "delivered", self.clock.now()))

    def write(self, text: str, chat: str) -> str:
        """Somebody writes to us. Returns the message's WhatsApp id."""
        self.sequence += 1
        wa_message_id = f"IN{self.sequence}"
        phone = chat.partition("@")[0]
        self.deliver(MessageHeard(0, wa_message_id, chat, phone, None, False, "text", text, self.clock.now()))
        return wa_message_id

    def deliver(self, event: MessageHeard | ReceiptHeard) -> None:
        if self.link is not None:
            self.link.receive(event)
        else:
            self.waiting.append(event)

    def new_id(self) -> str:
        self.sequence += 1
        return f"OUT{self.sequence}"


class FakeLink:
    """One life of a device in a cell. After `die` it does nothing more, as a killed process does nothing more."""

    def __init__(self, whatsapp: FakeWhatsApp, device: FakeDevice) -> None:
        self._whatsapp = whatsapp
        self._device = device
        self._events: asyncio.Queue[LinkEvent] = asyncio.Queue()
        self.dead = False
        for event in device.journal.values():
            self._events.put_nowait(event)

    async def events(self) -> AsyncIterator[LinkEvent]:
        while True:
            yield await self._events.get()

    async def connect(self) -> None:
        await self._pause()
        self._whatsapp.on_connect(self)

    def log_in(self) -> None:
        """WhatsApp lets the device in and delivers what waited for it."""
        self._whatsapp.link = self
        self.tell(Connected("14155550100", None))
        waiting, self._whatsapp.waiting = self._whatsapp.waiting, []
        for event in waiting:
            self.receive(event)
        self.tell(CaughtUp())

    def tell(self, event: LinkEvent) -> None:
        self._events.put_nowait(event)

    async def send_text(self, chat: str, text: str, tag: bytes) -> SendOutcome:
        await self._pause()
        if self._whatsapp.link is not self:
            return SendOutcome("not_sent", error_code="not_connected")
        wa_message_id = self._whatsapp.new_id()
        self._device.tried[tag] = wa_message_id  # Before the stanza leaves, as the library does it.
        await self._pause()
        if self._whatsapp.link is not self:
            return SendOutcome("unknown")
        self._whatsapp.accept(chat, text, wa_message_id)
        if self._whatsapp.random.random() < self._whatsapp.lose_answer:
            await asyncio.sleep(ANSWER_LIMIT_S)
            await self._pause()
            return SendOutcome("unknown", detail="timed out")
        await self._pause()
        return SendOutcome("sent", wa_message_id=wa_message_id)

    async def find_tried(self, tags: Sequence[bytes]) -> dict[bytes, str]:
        await self._pause()
        return {tag: self._device.tried[tag] for tag in tags if tag in self._device.tried}

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        await self._pause()
        for seq in seqs:
            self._device.journal.pop(seq, None)

    async def log_out(self) -> None:
        await self.close()

    async def close(self) -> None:
        await self._pause()
        self._cut()

    def receive(self, event: MessageHeard | ReceiptHeard) -> None:
        """WhatsApp delivers: into the journal first, then on."""
        self.tell(self._device.hear(event))

    def drop(self) -> None:
        """The socket closes; the library will say so."""
        if self._whatsapp.link is self:
            self._cut()
            self.tell(Disconnected())

    def die(self) -> None:
        """kill -9."""
        self.dead = True
        self._cut()

    def _cut(self) -> None:
        if self._whatsapp.link is self:
            self._whatsapp.link = None

    async def _pause(self) -> None:
        """The time a step takes; nothing that a dead process awaits ever does anything."""
        await asyncio.sleep(self._whatsapp.random.uniform(LATENCY_MIN_S, LATENCY_MAX_S))
        if self.dead:
            raise asyncio.CancelledError
