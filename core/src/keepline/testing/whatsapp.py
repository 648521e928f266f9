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
    HeardEvent,
    LinkEvent,
    MessageHeard,
    ReceiptHeard,
    SendOutcome,
    Tried,
)
from keepline.ports.clock import Clock
from keepline.testing.session_file import FakeSessionDisk

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
    """A linked device: at WhatsApp what waits for it, on its disk what the library tried and what was heard."""

    tried: dict[bytes, Tried] = field(default_factory=dict)
    journal: dict[int, HeardEvent] = field(default_factory=dict)
    seq: int = 0
    waiting: list[HeardEvent] = field(default_factory=list)  # at WhatsApp, while the device is away
    link: FakeLink | None = None  # the one that is logged in
    disk: FakeSessionDisk = field(default_factory=FakeSessionDisk)

    def hear(self, event: HeardEvent) -> HeardEvent:
        """Take an event down before anybody acts on it."""
        self.seq += 1
        numbered = replace(event, seq=self.seq)
        self.journal[self.seq] = numbered
        if isinstance(event, MessageHeard) and event.tag is not None:
            self.tried[event.tag] = Tried(event.wa_message_id, acknowledged=True)
        return numbered

    def deliver(self, event: HeardEvent) -> None:
        if self.link is not None:
            self.link.receive(event)
        else:
            self.waiting.append(event)


@dataclass
class FakeWhatsApp:
    """The server and everybody's phones. Sends are accepted in order; what a device is to get waits for it while it is away."""

    clock: Clock
    random: Random
    shown: list[Shown] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    devices: list[FakeDevice] = field(default_factory=list)
    sequence: int = 0
    # What WhatsApp does with a device that connects: by default it is linked already and let in.
    on_connect: Callable[[FakeLink], None] = field(default=lambda link: link.log_in())
    # Chances, 0 to 1, of what goes wrong with one send: its answer is lost; its recipient cannot decrypt it and asks again.
    lose_answer: float = 0.0
    unreadable: float = 0.0
    recipients_are_off: bool = False  # their phones get the messages later; no receipt comes now

    def add_device(self) -> FakeDevice:
        """Link one more device of our account."""
        device = FakeDevice()
        device.disk.linked = True
        self.devices.append(device)
        return device

    def accept(self, sender: FakeDevice, chat: str, text: str, wa_message_id: str, tag: bytes) -> None:
        """A stanza arrived, for the recipient and for our other devices: taken as a whole. The phone shows it and says so."""
        copy = MessageHeard(0, wa_message_id, chat, "14155550100", None, True, "text", text, self.clock.now(), tag)
        for device in self.devices:
            if device is not sender:
                device.deliver(copy)
        if self.random.random() < self.unreadable:
            self._deliver_to_all(ReceiptHeard(0, (wa_message_id,), "unreadable", self.clock.now()))
            return
        if all(shown.wa_message_id != wa_message_id for shown in self.shown):
            self.shown.append(Shown(wa_message_id, chat, text))
        if not self.recipients_are_off:
            self._deliver_to_all(ReceiptHeard(0, (wa_message_id,), "delivered", self.clock.now()))

    def write(self, text: str, chat: str) -> str:
        """Somebody writes to us. Returns the message's WhatsApp id."""
        wa_message_id = f"IN{self.new_number()}"
        phone = chat.partition("@")[0]
        self._deliver_to_all(
            MessageHeard(0, wa_message_id, chat, phone, None, False, "text", text, self.clock.now(), None)
        )
        return wa_message_id

    def new_number(self) -> int:
        self.sequence += 1
        return self.sequence

    def _deliver_to_all(self, event: HeardEvent) -> None:
        for device in self.devices:
            device.deliver(event)


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

    async def open(self) -> None:
        await self._pause()

    async def connect(self) -> None:
        await self._pause()
        self._whatsapp.on_connect(self)

    def log_in(self) -> None:
        """WhatsApp lets the device in and delivers what waited for it."""
        self._device.link = self
        self.tell(Connected("14155550100", None))
        waiting, self._device.waiting = self._device.waiting, []
        for event in waiting:
            self.receive(event)
        self.tell(CaughtUp())

    def tell(self, event: LinkEvent) -> None:
        self._events.put_nowait(event)

    async def send_text(self, chat: str, text: str, tag: bytes) -> SendOutcome:
        await self._pause()
        if not self._up:
            return SendOutcome("not_sent", error_code="not_connected")
        wa_message_id = f"OUT{self._whatsapp.new_number()}"
        self._device.tried[tag] = Tried(
            wa_message_id, acknowledged=False
        )  # Before the stanza leaves, as the library does it.
        await self._pause()
        if not self._up:
            return SendOutcome("unknown")
        self._whatsapp.accept(self._device, chat, text, wa_message_id, tag)
        if self._whatsapp.random.random() < self._whatsapp.lose_answer:
            await asyncio.sleep(ANSWER_LIMIT_S)
            await self._pause()
            return SendOutcome("unknown", detail="timed out")
        await self._pause()
        self._device.tried[tag] = Tried(wa_message_id, acknowledged=True)
        await self._pause()
        return SendOutcome("sent", wa_message_id=wa_message_id)

    async def revoke(self, chat: str, wa_message_id: str) -> SendOutcome:
        await self._pause()
        if not self._up:
            return SendOutcome("not_sent", error_code="not_connected")
        self._whatsapp.revoked.add(wa_message_id)
        return SendOutcome("sent", wa_message_id=f"OUT{self._whatsapp.new_number()}")

    async def find_tried(self, tags: Sequence[bytes]) -> dict[bytes, Tried]:
        await self._pause()
        return {tag: self._device.tried[tag] for tag in tags if tag in self._device.tried}

    async def probe(self) -> bool:
        await self._pause()
        return self._up

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        await self._pause()
        for seq in seqs:
            self._device.journal.pop(seq, None)

    async def log_out(self) -> None:
        await self.close()

    async def close(self) -> None:
        await self._pause()
        self._cut()

    def receive(self, event: HeardEvent) -> None:
        """WhatsApp delivers: into the journal first, then on."""
        self.tell(self._device.hear(event))

    def drop(self) -> None:
        """The socket closes; the library will say so."""
        if self._up:
            self._cut()
            self.tell(Disconnected())

    def die(self) -> None:
        """kill -9."""
        self.dead = True
        self._cut()

    @property
    def _up(self) -> bool:
        return self._device.link is self

    def _cut(self) -> None:
        if self._up:
            self._device.link = None

    async def _pause(self) -> None:
        """The time a step takes; nothing that a dead process awaits ever does anything."""
        await asyncio.sleep(self._whatsapp.random.uniform(LATENCY_MIN_S, LATENCY_MAX_S))
        if self.dead:
            raise asyncio.CancelledError
