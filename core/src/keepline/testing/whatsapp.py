"""A WhatsApp in memory, as the use cases see it through a device link: enough to lose, repeat and reorder what should not be.

`FakeWhatsApp` is the server and the recipients' phones; `FakeDevice` a linked device as WhatsApp knows it; `FakeFolder` what one
machine's disk keeps of it (the library's store and the journal); `FakeLink` one life of a cell over it. Losing a link loses
nothing of the others. Losing a disk loses ratchets, tags and journal, and a phone that sees a message key twice cannot read it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.content.bodies import Content, Revoke
from keepline.domain.link_events import (
    CaughtUp,
    CellLost,
    Connected,
    Disconnected,
    HeardEvent,
    LinkEvent,
    MessageHeard,
    MessageUnreadable,
    ReceiptHeard,
    Replaced,
    SendOutcome,
    StateEvent,
    Tried,
)
from keepline.ports.clock import Clock
from keepline.testing.session_file import FakeSessionDisk
from keepline.testing.severed import Life

LATENCY_MIN_S = 0.01
LATENCY_MAX_S = 0.4
ANSWER_LIMIT_S = 75.0
LATE_ANSWER_MAX_S = 60.0
READ_MAX_S = 10.0
OUR_PHONE = "14155550100"
_SKIPPED_MAX = 50  # keys kept for messages that others have overtaken
REFUSAL_CODE = "wa_503"  # one that may be different the next time


@dataclass(frozen=True)
class Shown:
    """What a recipient's phone shows."""

    wa_message_id: str
    chat: str
    text: str


@dataclass(frozen=True)
class MessageKey:
    """Encrypts one message: the `number`-th of a ratchet session. Whoever sees one again refuses it."""

    session: int
    number: int

    def row(self) -> bytes:
        return f"{self.session}:{self.number}".encode()

    @classmethod
    def read(cls, row: bytes) -> MessageKey:
        session, _, number = row.partition(b":")
        return cls(int(session), int(number))


@dataclass(frozen=True)
class Delivery:
    """What WhatsApp has for a device: an event, and for a message the key that it is encrypted with and whose."""

    event: HeardEvent
    ratchet: str = ""
    key: MessageKey = field(default=MessageKey(0, 0))


@dataclass
class FakeFolder:
    """What one machine's disk keeps of a linked device."""

    disk: FakeSessionDisk = field(default_factory=FakeSessionDisk)
    journal: dict[int, HeardEvent] = field(default_factory=dict)
    answered: dict[bytes, str] = field(
        default_factory=dict
    )  # in the journal: tag -> WhatsApp id of a send it acknowledged
    seq: int = 0
    holder: FakeLink | None = None  # the process that has it open

    def lose(self) -> None:
        """The disk is gone. What comes next is a new one."""
        self.disk.lose()
        self.journal.clear()
        self.answered.clear()

    def note(self, event: HeardEvent) -> HeardEvent:
        """Take an event down before anybody acts on it."""
        self.seq += 1
        numbered = replace(event, seq=self.seq)
        self.journal[self.seq] = numbered
        if isinstance(event, MessageHeard) and event.tag is not None:
            self.note_tag(event.tag, event.wa_message_id)
        return numbered

    def note_tag(self, tag: bytes, wa_message_id: str) -> None:
        self.disk.put(_secret(tag), wa_message_id.encode())

    def next_key(self, ratchet: str, new_session: Callable[[], int]) -> MessageKey:
        """The key for the next message to somebody; the ratchet has moved on, on disk, before the stanza leaves."""
        row = self.disk.get(f"ratchet:{ratchet}:out")
        key = MessageKey.read(row) if row is not None else MessageKey(new_session(), 0)
        self.disk.put(f"ratchet:{ratchet}:out", replace(key, number=key.number + 1).row())
        return key

    def decrypt(self, delivery: Delivery) -> bool | None:
        """Whether the message could be decrypted; None for one that has been before."""
        name, key = f"ratchet:{delivery.ratchet}:in", delivery.key
        row = self.disk.get(name)
        known = _Receiving.read(row) if row is not None else None
        if known is None or known.session != key.session:
            # Our own devices never answer each other, so each message to one brings what begins a session.
            if key.number > 0 and not delivery.ratchet.startswith("own"):
                return False
            known = _Receiving(key.session, 0, ())
        after = known.after(key.number)
        if after is None:
            return None
        self.disk.put(name, after.row())
        return True


@dataclass(frozen=True)
class _Receiving:
    """The receiving end of a ratchet session: the number that it expects next, and the earlier ones that have not come."""

    session: int
    expected: int
    skipped: tuple[int, ...]

    def after(self, number: int) -> _Receiving | None:
        """After this message; None when it has been before."""
        if number >= self.expected:
            return replace(
                self, expected=number + 1, skipped=(*self.skipped, *range(self.expected, number))[-_SKIPPED_MAX:]
            )
        if number not in self.skipped:
            return None
        return replace(self, skipped=tuple(other for other in self.skipped if other != number))

    def row(self) -> bytes:
        return json.dumps([self.session, self.expected, self.skipped]).encode()

    @classmethod
    def read(cls, row: bytes) -> _Receiving:
        session, expected, skipped = json.loads(row)
        return cls(session, expected, tuple(skipped))


@dataclass
class FakeDevice:
    """A linked device at WhatsApp: who is logged in as it, and what waits for it while nobody is."""

    number: int
    folder: FakeFolder = field(default_factory=FakeFolder)  # where it was linked
    waiting: list[Delivery] = field(default_factory=list)
    link: FakeLink | None = None

    def deliver(self, delivery: Delivery) -> None:
        # What a stopped process has not read was not acknowledged: it waits for whoever reads it.
        if self.link is not None and not self.link.life.stopped:
            self.link.receive(delivery)
        else:
            self.waiting.append(delivery)


@dataclass
class FakeWhatsApp:
    """The server and everybody's phones. Sends are accepted in order; what a device is to get waits for it while it is away."""

    clock: Clock
    random: Random
    shown: list[Shown] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    carried_out: list[Command] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)  # texts that came under a message key which had been used
    devices: list[FakeDevice] = field(default_factory=list)
    sequence: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # what went wrong by the chances below
    # What WhatsApp does with a device that connects: by default it is linked already and let in.
    on_connect: Callable[[FakeLink], None] = field(default=lambda link: link.log_in())
    # Chances, 0 to 1, of what goes wrong with one send: its answer is lost, or late; its recipient cannot decrypt it and asks
    # again; WhatsApp refuses it for now. And with one delivery to a device: it comes twice.
    lose_answer: float = 0.0
    late_answer: float = 0.0
    unreadable: float = 0.0
    refuse: float = 0.0
    deliver_twice: float = 0.0
    reads: float = (
        0.0  # the chance that a recipient reads a message soon; another phone of theirs may get it only afterwards
    )
    read: set[str] = field(default_factory=set)  # WhatsApp ids
    recipients_are_off: bool = False  # their phones get the messages later; no receipt comes now
    _garbled: set[tuple[str, str]] = field(default_factory=set)  # chat, text
    _used: set[tuple[int, str, MessageKey]] = field(default_factory=set)
    _phones: dict[tuple[str, int], MessageKey] = field(default_factory=dict)

    def add_device(self) -> FakeDevice:
        """Link one more device of our account."""
        device = FakeDevice(len(self.devices))
        device.folder.disk.linked = True
        self.devices.append(device)
        return device

    def accept(
        self, sender: FakeDevice, copies: Sequence[tuple[FakeDevice, Delivery]], shown: Shown, key: MessageKey
    ) -> bool:
        """A stanza arrived, for the recipient and for our other devices: taken or refused as a whole. The phone says what it got.

        Returns whether it was taken.
        """
        if self.chance("refuse"):
            return False
        for device, copy in copies:
            self._deliver(device, copy)
        if not self.can_read(sender, shown.chat, key, shown.text) or self._is_garbled(shown):
            self._deliver_receipt(shown.wa_message_id, "unreadable")
            return True
        if all(known.wa_message_id != shown.wa_message_id for known in self.shown):
            self.shown.append(shown)
        if not self.recipients_are_off:
            self._deliver_receipt(shown.wa_message_id, "delivered")
            if self.random.random() < self.reads:
                asyncio.get_running_loop().call_later(
                    self.random.uniform(0, READ_MAX_S), self._read, shown.wa_message_id
                )
        return True

    def _read(self, wa_message_id: str) -> None:
        self.read.add(wa_message_id)
        for status in ("read", "delivered"):
            self._deliver_receipt(wa_message_id, status)

    def _is_garbled(self, shown: Shown) -> bool:
        """Happens to a message once: with its complaint the phone begins a new session."""
        garbled = (shown.chat, shown.text) not in self._garbled and self.chance("unreadable")
        if garbled:
            self._garbled.add((shown.chat, shown.text))
        return garbled

    def can_read(self, sender: FakeDevice, chat: str, key: MessageKey, text: str) -> bool:
        """Whether a phone can decrypt what comes under this key: once."""
        used = (sender.number, chat, key)
        if used in self._used:
            self.reused.append(text)
            return False
        self._used.add(used)
        return True

    def write(self, text: str, chat: str) -> str:
        """Somebody writes to us. Returns the message's WhatsApp id."""
        wa_message_id = f"IN{self.new_number()}"
        phone = chat.partition("@")[0]
        event = MessageHeard(0, wa_message_id, chat, phone, None, False, "text", text, self.clock.now(), None)
        for device in self.devices:
            key = self._phones.get((chat, device.number))
            key = MessageKey(self.new_number(), 0) if key is None else replace(key, number=key.number + 1)
            self._encrypt(device, event, key)
        return wa_message_id

    def ask_again(self, device: FakeDevice, event: MessageHeard) -> None:
        """A device cannot decrypt a message: the phone sends it once more, in a new session."""
        key = MessageKey(self.new_number(), 0)
        delay_s = self.random.uniform(LATENCY_MIN_S, LATENCY_MAX_S)
        asyncio.get_running_loop().call_later(delay_s, self._encrypt, device, event, key)

    def new_number(self) -> int:
        self.sequence += 1
        return self.sequence

    def chance(self, name: str) -> bool:
        """Whether what goes wrong by this name does so now."""
        happens: bool = self.random.random() < getattr(self, name)
        self.faults[name] += happens
        return happens

    def _encrypt(self, device: FakeDevice, event: MessageHeard, key: MessageKey) -> None:
        self._phones[(event.chat, device.number)] = key
        self._deliver(device, Delivery(event, event.chat, key))

    def _deliver_receipt(self, wa_message_id: str, status: str) -> None:
        for device in self.devices:
            self._deliver(device, Delivery(ReceiptHeard(0, (wa_message_id,), status, self.clock.now())))

    def _deliver(self, device: FakeDevice, delivery: Delivery) -> None:
        device.deliver(delivery)
        if self.deliver_twice and self.chance("deliver_twice"):
            device.deliver(delivery)


class FakeLink:
    """One life of a device in a cell, over a folder. After `die` it does nothing more, as a killed process does nothing more."""

    def __init__(
        self, whatsapp: FakeWhatsApp, device: FakeDevice, folder: FakeFolder | None = None, life: Life | None = None
    ) -> None:
        self._whatsapp = whatsapp
        self._device = device
        self._folder = folder or device.folder
        self._events: asyncio.Queue[LinkEvent] = asyncio.Queue()
        self.life = life or Life()
        self._socket = 0  # the number of the newest; what was sent over an earlier one arrives and is answered no more
        self._closed = False
        self._barred = False  # cut, until it is asked to connect

    async def events(self) -> AsyncIterator[LinkEvent]:
        while True:
            yield await self._events.get()

    async def open(self) -> None:
        await self._pause()
        while self._folder.holder not in (None, self):
            await self._pause()
        self._folder.holder = self
        for event in self._folder.journal.values():
            self._events.put_nowait(event)

    async def connect(self) -> None:
        await self._pause()
        self._barred = False
        self._whatsapp.on_connect(self)

    def log_in(self) -> None:
        """WhatsApp lets the device in and delivers what waited for it; another socket of the same device is closed."""
        other = self._device.link
        if other is not None and other is not self:
            other.lose_socket(Replaced())
        self._device.link = self
        self._socket += 1
        self.tell(Connected(OUR_PHONE, None))
        self.read_waiting()
        self.tell(CaughtUp())

    def read_waiting(self) -> None:
        """What WhatsApp kept for the device is read, if it is this one's turn."""
        if self._up:
            waiting, self._device.waiting = self._device.waiting, []
            for delivery in waiting:
                self.receive(delivery)

    def tell(self, event: LinkEvent) -> None:
        self._events.put_nowait(event)

    async def send(self, chat: str, content: Content, tag: bytes) -> SendOutcome:
        await self._pause()
        if not self._up:
            return SendOutcome("not_sent", error_code="not_connected")
        if isinstance(content.body, Revoke):
            return self._revoke(chat, content.body.message.wa_message_id)
        text = content.text or ""
        socket = self._socket
        wa_message_id = f"OUT{self._whatsapp.new_number()}"
        self._folder.note_tag(tag, wa_message_id)  # Before the stanza leaves, as the library does it.
        await self._pause()
        copy = MessageHeard(
            0, wa_message_id, chat, OUR_PHONE, None, True, "text", text, self._whatsapp.clock.now(), tag
        )
        key = self._next_key(chat)
        copies = [
            (device, Delivery(copy, f"own:{self._device.number}", self._next_key(f"own:{device.number}")))
            for device in self._whatsapp.devices
            if device is not self._device
        ]
        await self._pause()
        if not self._is_up(socket):
            return SendOutcome("unknown")
        taken = self._whatsapp.accept(self._device, copies, Shown(wa_message_id, chat, text), key)
        if self._whatsapp.chance("lose_answer"):
            await self.life.wait(ANSWER_LIMIT_S)
            return SendOutcome("unknown", detail="timed out")
        if self._whatsapp.chance("late_answer"):
            await self.life.wait(self._whatsapp.random.uniform(1, LATE_ANSWER_MAX_S))
        await self._pause()
        if not self._is_up(socket):
            return SendOutcome("unknown")
        if not taken:
            return SendOutcome("refused", error_code=REFUSAL_CODE)
        self._folder.answered[tag] = wa_message_id
        await self._pause()
        return SendOutcome("sent", wa_message_id=wa_message_id)

    def _revoke(self, chat: str, wa_message_id: str) -> SendOutcome:
        if self._whatsapp.can_read(self._device, chat, self._next_key(chat), f"revocation of {wa_message_id}"):
            self._whatsapp.revoked.add(wa_message_id)
        return SendOutcome("sent", wa_message_id=f"OUT{self._whatsapp.new_number()}")

    async def carry_out(self, command: Command) -> CommandOutcome:
        await self._pause()
        if not self._up:
            return CommandOutcome("not_connected")
        self._whatsapp.carried_out.append(command)
        return CommandOutcome()

    async def find_tried(self, tags: Sequence[bytes]) -> dict[bytes, Tried]:
        await self._pause()
        found: dict[bytes, Tried] = {}
        for tag in tags:
            if tag in self._folder.answered:
                found[tag] = Tried(self._folder.answered[tag], acknowledged=True)
            elif (row := self._folder.disk.get(_secret(tag))) is not None:
                found[tag] = Tried(row.decode(), acknowledged=False)
        return found

    async def probe(self) -> bool:
        await self._pause()
        return self._up

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        await self._pause()
        for seq in seqs:
            self._folder.journal.pop(seq, None)

    async def cut(self) -> None:
        await self._pause()
        self._barred = True
        self._cut()

    async def log_out(self) -> None:
        await self.close()

    async def close(self) -> None:
        await self._pause()
        self._let_go()

    def receive(self, delivery: Delivery) -> None:
        """WhatsApp delivers: into the journal first, then on."""
        event = delivery.event
        if isinstance(event, MessageHeard):
            readable = self._folder.decrypt(delivery)
            if readable is None:
                return
            if not readable:
                self._whatsapp.ask_again(self._device, event)
                event = MessageUnreadable(
                    *(0, event.wa_message_id, event.chat, event.sender_phone, event.sender_lid, event.from_me, event.at)
                )
        self.tell(self._folder.note(event))

    def drop(self, back_in_s: float | None = None) -> None:
        """The socket closes; the library says so, and connects again by itself after a while (or, with None, does not)."""
        if self._up:
            self.lose_socket(Disconnected())
            if back_in_s is not None:
                asyncio.get_running_loop().call_later(back_in_s, self._come_back)

    def lose_cell(self) -> None:
        """The cell dies, and another takes its place, which waits for an order."""
        if self._up:
            self.lose_socket(CellLost())

    def lose_socket(self, event: StateEvent) -> None:
        self._cut()
        self.tell(event)

    def die(self) -> None:
        """kill -9."""
        self.life.kill()
        self._let_go()

    @property
    def _up(self) -> bool:
        return self._device.link is self

    def _is_up(self, socket: int) -> bool:
        in_time = self._whatsapp.clock.monotonic_s() < self.life.deadline_s
        return self._up and self._socket == socket and in_time

    def _next_key(self, ratchet: str) -> MessageKey:
        return self._folder.next_key(ratchet, self._whatsapp.new_number)

    def _come_back(self) -> None:
        if not self._closed and not self._barred and not self.life.stopped and self._device.link is None:
            self._whatsapp.on_connect(self)

    def _let_go(self) -> None:
        self._closed = True
        self._cut()
        if self._folder.holder is self:
            self._folder.holder = None

    def _cut(self) -> None:
        if self._up:
            self._device.link = None

    async def _pause(self) -> None:
        """The time a step takes; nothing that a dead process awaits ever does anything."""
        await self.life.wait(self._whatsapp.random.uniform(LATENCY_MIN_S, LATENCY_MAX_S))


def _secret(tag: bytes) -> str:
    return f"secret:{tag.hex()}"
