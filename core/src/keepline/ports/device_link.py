"""A linked device as the use cases see it: something that sends, answers about what it tried, and tells events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from keepline.domain.commands import Command, CommandOutcome
from keepline.domain.content.bodies import Content
from keepline.domain.link_events import LinkEvent, MediaOutcome, MediaWaiting, SendOutcome, Tried
from keepline.domain.link_settings import LinkSettings
from keepline.domain.pairing import CodeAnswer


class DeviceLink(Protocol):
    """One linked device in one cell."""

    def events(self) -> AsyncIterator[LinkEvent]:
        """Everything the device tells, in order. One reader."""
        ...

    async def open(self) -> None:
        """Take hold of the device's folder; returns once no other process of this machine has it. It stays offline."""
        ...

    async def use(self, settings: LinkSettings) -> None:
        """Be seen like this from now on, after each login too; go through this proxy from the next `connect` on."""
        ...

    async def connect(self) -> None:
        """Begin (or begin again) to connect or pair. Returns when a cell has taken the order; events tell how it goes."""
        ...

    async def send(self, chat: str, content: Content, tag: bytes) -> SendOutcome:
        """Hand one message to WhatsApp and wait for its answer (the library gives up after 75 s). Never raises.

        What the content refers to is resolved: WhatsApp's own ids, chats and senders.
        """
        ...

    async def keep_media(self, waiting: MediaWaiting, media_id: str) -> MediaOutcome:
        """Fetch the file of a heard message from WhatsApp, and put it into the media store under this id. Never raises."""
        ...

    async def forget_media(self, waiting: MediaWaiting) -> None:
        """The file is settled, one way or the other: the device may forget its key."""
        ...

    async def carry_out(self, command: Command) -> CommandOutcome:
        """Do something at once that is no message. Never raises; not connected is an outcome."""
        ...

    async def find_tried(self, tags: Sequence[bytes]) -> dict[bytes, Tried]:
        """What the device's own store and journal know of messages with these tags, sent or got as a copy. Needs no socket."""
        ...

    async def probe(self) -> bool:
        """Ask WhatsApp something that it has to answer, over the device's socket. False when no answer comes in time."""
        ...

    async def pair_code(self, phone: str) -> CodeAnswer:
        """Ask WhatsApp for a code with which the phone of this number (digits) can link the device. Never raises.

        Begins a new round of QR codes where the present one is no longer new, for a code lives as long as its round.
        """
        ...

    async def acknowledge(self, seqs: Sequence[int]) -> None:
        """These heard events are durable in Firestore: the device's journal may forget them."""
        ...

    async def cut(self) -> None:
        """Cut the socket at once: nothing more leaves, until `connect` makes another. Returns when it is cut."""
        ...

    async def log_out(self) -> None:
        """Unlink the device at WhatsApp if it can be reached, and remove what is kept of it on this machine."""
        ...

    async def close(self) -> None:
        """Cut the socket and let go of the device, which stays linked."""
        ...
