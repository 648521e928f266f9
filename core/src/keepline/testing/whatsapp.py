"""A WhatsApp in memory, as the use cases see it through a device link: enough to lose, repeat and reorder what should not be.

`FakeWhatsApp` is the server and the recipients' phones; `FakeDevice` a linked device as WhatsApp knows it. What one machine's
disk keeps of it is in whatsapp_folder.py, one life of a cell over that in whatsapp_link.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from keepline.domain.commands import Command
from keepline.domain.link_events import MessageHeard, NoticeHeard, ReceiptHeard
from keepline.domain.pairing import LINKED, CodeAnswer
from keepline.ports.clock import Clock
from keepline.testing.groups import FakeGroups
from keepline.testing.whatsapp_folder import Delivery, FakeFolder, MessageKey

if TYPE_CHECKING:
    from keepline.testing.whatsapp_link import FakeLink

LATENCY_MIN_S = 0.01
LATENCY_MAX_S = 0.4
LATE_ANSWER_MAX_S = 60.0
READ_MAX_S = 10.0
OUR_PHONE = "14155550100"


@dataclass(frozen=True)
class Shown:
    """What a recipient's phone shows."""

    wa_message_id: str
    chat: str
    text: str


@dataclass
class FakeDevice:
    """A linked device at WhatsApp: who is logged in as it, and what waits for it while nobody is."""

    number: int
    folder: FakeFolder = field(default_factory=FakeFolder)  # where it was linked
    waiting: list[Delivery] = field(default_factory=list)
    link: FakeLink | None = None
    logins: int = 0  # with each one WhatsApp closes the connection before

    def deliver(self, delivery: Delivery) -> None:
        # What a stopped process has not read was not acknowledged: it waits for whoever reads it.
        if self.link is not None and not self.link.life.stopped and not self.link.is_deaf:
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
    groups: FakeGroups = field(default_factory=lambda: FakeGroups(OUR_PHONE))
    reused: list[str] = field(default_factory=list)  # texts that came under a message key which had been used
    devices: list[FakeDevice] = field(default_factory=list)
    sequence: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # what went wrong by the chances below
    # What WhatsApp does with a device that connects: by default it is linked already and let in.
    on_connect: Callable[[FakeLink], None] = field(default=lambda link: link.log_in())
    # What it answers to a request for a pairing code; by default the device is linked already.
    on_code: Callable[[FakeLink, str], CodeAnswer] = field(default=lambda _, __: CodeAnswer(error_code=LINKED))
    # Chances, 0 to 1, of what goes wrong with one send: its answer is lost, or late; its recipient cannot decrypt it and asks
    # again; WhatsApp refuses it for now. And with one delivery to a device: it comes twice.
    lose_answer: float = 0.0
    late_answer: float = 0.0
    late_answer_s_max: float = LATE_ANSWER_MAX_S
    unreadable: float = 0.0
    refuse: float = 0.0
    deliver_twice: float = 0.0
    reads: float = (
        0.0  # the chance that a recipient reads a message soon; another phone of theirs may get it only afterwards
    )
    read: set[str] = field(default_factory=set)  # WhatsApp ids
    recipients_are_off: bool = False  # their phones get the messages later; no receipt comes now
    is_away: bool = False  # nobody can connect
    attempts: list[float] = field(default_factory=list)  # when somebody tried to, in monotonic seconds
    probes: list[float] = field(default_factory=list)  # when somebody asked whether it answers
    # What has left a cell takes up to this long to WhatsApp, whatever becomes of the cell; and who hears of it.
    transit_s_max: float = 0.0
    on_arrival: Callable[[FakeLink, Shown, float], None] = field(default=lambda link, shown, left_s: None)
    _garbled: set[tuple[str, str]] = field(default_factory=set)  # chat, text
    _used: set[tuple[int, str, MessageKey]] = field(default_factory=set)
    _phones: dict[tuple[str, int], MessageKey] = field(default_factory=dict)

    def add_device(self) -> FakeDevice:
        """Link one more device of our account."""
        device = FakeDevice(len(self.devices))
        device.folder.disk.linked = True
        self.devices.append(device)
        return device

    def go_away(self) -> None:
        """An outage: every connection closes, and none can be made until `come_back`."""
        self.is_away = True
        for device in self.devices:
            if device.link is not None:
                device.link.drop(0.0)

    def come_back(self) -> None:
        self.is_away = False

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

    def tell(self, notice: NoticeHeard) -> None:
        """Something happens in a group, or somebody calls: each of our devices is told."""
        for device in self.devices:
            self._deliver(device, Delivery(notice))

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
