"""The link to a device of the fake WhatsApp: one life of a cell over a folder, as the use cases see it.

Losing a link loses nothing of WhatsApp, of the device there, or of the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.content.bodies import Content, Revoke
from keepline.domain.link_events import (
    CaughtUp,
    CellLost,
    Connected,
    Disconnected,
    Evidence,
    LinkEvent,
    LinkFailed,
    MediaOutcome,
    MediaWaiting,
    MessageHeard,
    MessageUnreadable,
    Moved,
    NoticeHeard,
    ReceiptHeard,
    Replaced,
    Resumed,
    SendOutcome,
    Stalled,
    StateEvent,
    Tried,
)
from keepline.domain.link_settings import LinkSettings
from keepline.domain.pairing import CodeAnswer
from keepline.testing import whatsapp
from keepline.testing.severed import Life
from keepline.testing.whatsapp import LATENCY_MIN_S, OUR_PHONE, FakeDevice, FakeWhatsApp, Shown
from keepline.testing.whatsapp_folder import Delivery, FakeFolder, MessageKey

ANSWER_LIMIT_S = 75.0
# When a cell notices that an answer is owed and does not come, and when a question is given up.
STALLED_AFTER_S = 1.5
PROBE_LIMIT_S = 5.0
# A cell tells its newest proof of life no more often than this.
EVIDENCE_INTERVAL_S = 1.0
# The library's own tries after its socket was closed: at once, then after 2 s, 4 s and so on, without a limit or jitter.
LIBRARY_BACK_OFF_S = 2.0
REFUSAL_CODE = "wa_503"  # one that may be different the next time


@dataclass
class _Stanza:
    """One message on its way to WhatsApp, for the recipient and with the copies for our other devices."""

    copies: Sequence[tuple[FakeDevice, Delivery]]
    shown: Shown
    key: MessageKey
    login: int  # that of the connection which it left by, as WhatsApp counts
    socket: int  # and as the link does
    left_s: float = 0.0
    ended: asyncio.Future[bool | None] | None = None

    def end(self, taken: bool | None) -> None:
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(taken)


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
        self._client = 0  # the number of the present life of the library, which ends when another is begun
        self._closed = False
        self._barred = False  # cut, until it is asked to connect
        self._deaf_socket = 0  # the number of one that stands, and on which WhatsApp neither hears nor speaks
        self._deaf_unnoticed = False
        self._unreachable_until_s = 0.0
        self._evidence_at_s = -EVIDENCE_INTERVAL_S
        self.settings: LinkSettings | None = None
        self.through: LinkSettings | None = None  # those of the newest connection
        self._arrives_s = 0.0  # the last of what is on its way
        self._buffered: list[_Stanza] = []  # has left the cell, and not the machine

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

    async def use(self, settings: LinkSettings) -> None:
        self.settings = settings

    async def connect(self) -> None:
        through = self.settings
        await self._pause()
        self.through = through
        if self._folder.holder is not self:
            await self.open()  # In a new cell.
        self._barred = False
        self._client += 1
        if not self._try_to_connect():
            self.tell(LinkFailed("unreachable"))

    def log_in(self) -> None:
        """WhatsApp lets the device in and delivers what waited for it; another socket of the same device is closed."""
        other = self._device.link
        if other is not None and other is not self:
            other.lose_socket(Replaced())
        self._device.link = self
        self._device.logins += 1
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
        if self.is_deaf:
            await self._wait_in_vain(socket, ANSWER_LIMIT_S)
            return SendOutcome("unknown", detail="timed out")
        taken = await self._carried(_Stanza(copies, Shown(wa_message_id, chat, text), key, self._device.logins, socket))
        if taken is None:
            return SendOutcome("unknown")
        if self._whatsapp.chance("lose_answer"):
            await self.life.wait(ANSWER_LIMIT_S)
            return SendOutcome("unknown", detail="timed out")
        if self._whatsapp.chance("late_answer"):
            await self.life.wait(self._whatsapp.random.uniform(1, self._whatsapp.late_answer_s_max))
        await self._pause()
        if not self._is_up(socket):
            return SendOutcome("unknown")
        self._prove("answer")
        if not taken:
            return SendOutcome("refused", error_code=REFUSAL_CODE)
        self._folder.answered[tag] = wa_message_id
        await self._pause()
        return SendOutcome("sent", wa_message_id=wa_message_id)

    def _revoke(self, chat: str, wa_message_id: str) -> SendOutcome:
        if self._whatsapp.can_read(self._device, chat, self._next_key(chat), f"revocation of {wa_message_id}"):
            self._whatsapp.revoked.add(wa_message_id)
        return SendOutcome("sent", wa_message_id=f"OUT{self._whatsapp.new_number()}")

    async def keep_media(self, waiting: MediaWaiting, media_id: str) -> MediaOutcome:
        await self._pause()
        return MediaOutcome(error_code="media_gone", final=True)  # No message of this WhatsApp has a file.

    async def forget_media(self, waiting: MediaWaiting) -> None:
        await self._pause()

    async def carry_out(self, command: Command) -> CommandOutcome:
        await self._pause()
        if not self._up:
            return CommandOutcome("not_connected")
        self._whatsapp.carried_out.append(command)
        return self._whatsapp.groups.carry_out(command)

    async def find_tried(self, tags: Sequence[bytes]) -> dict[bytes, Tried]:
        await self._pause()
        tries = {tag: self._folder.tried(tag) for tag in tags}
        return {tag: tried for tag, tried in tries.items() if tried is not None}

    async def probe(self) -> bool:
        self._whatsapp.probes.append(self._whatsapp.clock.monotonic_s())
        await self._pause()
        if self.is_deaf:
            await self._wait_in_vain(self._socket, PROBE_LIMIT_S)
            return False
        return self._up

    async def pair_code(self, phone: str) -> CodeAnswer:
        await self._pause()
        return self._whatsapp.on_code(self, phone)

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
        if not isinstance(event, NoticeHeard):
            self._prove("receipt" if isinstance(event, ReceiptHeard) else "message")

    def drop(self, back_in_s: float | None = None) -> None:
        """The socket closes, and nothing can be reached for so long. The library says so, and tries by itself to connect again.

        With None it can be reached at once, and the library does not try.
        """
        if self._up:
            self.lose_socket(Disconnected())
            if back_in_s is not None:
                self._unreachable_until_s = self._whatsapp.clock.monotonic_s() + back_in_s
                asyncio.get_running_loop().call_later(LATENCY_MIN_S, self._library_tries, self._client, 1)

    def deafen(self, *, unnoticed: bool = False) -> None:
        """The connection stands, and whatever is said on it is acknowledged; nothing is heard, and nothing answered.

        `unnoticed`: bytes still come, so that the cell does not call it stalled.
        """
        self._deaf_socket, self._deaf_unnoticed = self._socket, unnoticed

    @property
    def is_deaf(self) -> bool:
        return self._up and self._socket == self._deaf_socket

    def lose_cell(self) -> None:
        """The cell dies, and another takes its place, which waits for an order."""
        if self._up:
            self.lose_socket(CellLost())
        if self._folder.holder is self:
            self._folder.holder = None

    def stall(self) -> None:
        """Its connection stands and does not answer."""
        if self._up:
            self.tell(Stalled())

    def path_is_back(self) -> None:
        """What the machine could not get rid of leaves now, if its connection stands."""
        if self._up:
            self.tell(Resumed())
        buffered, self._buffered = self._buffered, []
        for stanza in buffered:
            self._arrive(stanza)

    def leave_cell(self) -> None:
        """The device is taken out of its cell on purpose; the next one waits for an order."""
        self.lose_socket(Moved())

    def lose_socket(self, event: StateEvent) -> None:
        self._cut()
        self.tell(event)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def barred(self) -> bool:
        return self._barred

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

    def _try_to_connect(self) -> bool:
        now_s = self._whatsapp.clock.monotonic_s()
        self._whatsapp.attempts.append(now_s)
        if self._whatsapp.is_away or now_s < self._unreachable_until_s:
            return False
        self._whatsapp.on_connect(self)
        return True

    def _library_tries(self, client: int, number: int) -> None:
        if client != self._client or self._device.link is not None:
            return
        if self.life.stopped:
            asyncio.get_running_loop().call_later(whatsapp.LATENCY_MAX_S, self._library_tries, client, number)
            return
        if not (self._closed or self._barred or self._try_to_connect()):
            pause_s = LIBRARY_BACK_OFF_S * number
            asyncio.get_running_loop().call_later(pause_s, self._library_tries, client, number + 1)

    async def _wait_in_vain(self, socket: int, limit_s: float) -> None:
        """An answer is owed and does not come. The cell says so once; cutting the socket ends the wait."""
        await self.life.wait(STALLED_AFTER_S)
        if self._is_up(socket) and not self._deaf_unnoticed:
            self.tell(Stalled())
        until_s = self._whatsapp.clock.monotonic_s() + limit_s - STALLED_AFTER_S
        while self._is_up(socket) and self._whatsapp.clock.monotonic_s() < until_s:
            await self.life.wait(0.5)

    def _prove(self, kind: str) -> None:
        now_s = self._whatsapp.clock.monotonic_s()
        if now_s - self._evidence_at_s >= EVIDENCE_INTERVAL_S:
            self._evidence_at_s = now_s
            self.tell(Evidence(kind, 0))

    def _let_go(self) -> None:
        self._closed = True
        self._cut()
        if self._folder.holder is self:
            self._folder.holder = None

    def _cut(self) -> None:
        if self._up:
            self._device.link = None
        buffered, self._buffered = self._buffered, []
        for stanza in buffered:
            stanza.end(None)

    async def _carried(self, stanza: _Stanza) -> bool | None:
        """Whether WhatsApp took it; None if it was lost. What has left goes its way, whatever becomes of this process."""
        if not self._whatsapp.transit_s_max:
            return self._whatsapp.accept(self._device, stanza.copies, stanza.shown, stanza.key)
        loop = asyncio.get_running_loop()
        stanza.left_s, stanza.ended = loop.time(), loop.create_future()
        transit_s = self._whatsapp.random.uniform(0, self._whatsapp.transit_s_max)
        self._arrives_s = max(self._arrives_s, loop.time() + transit_s)
        loop.call_at(self._arrives_s, self._arrive, stanza)
        return await stanza.ended

    def _arrive(self, stanza: _Stanza) -> None:
        if self._device.logins != stanza.login:
            stanza.end(None)  # WhatsApp has closed that connection.
        elif not self.life.reaches_whatsapp and self._up and self._socket == stanza.socket:
            self._buffered.append(stanza)
        elif not self.life.reaches_whatsapp:
            stanza.end(None)  # Its connection was cut: nobody sends it again.
        else:
            self._whatsapp.on_arrival(self, stanza.shown, stanza.left_s)
            stanza.end(self._whatsapp.accept(self._device, stanza.copies, stanza.shown, stanza.key))

    async def _pause(self) -> None:
        """The time a step takes; nothing that a dead process awaits ever does anything."""
        await self.life.wait(self._whatsapp.random.uniform(LATENCY_MIN_S, whatsapp.LATENCY_MAX_S))
