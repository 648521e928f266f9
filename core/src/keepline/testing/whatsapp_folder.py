"""What one machine's disk keeps of a linked device of the fake WhatsApp: the library's store, with its ratchets, and the journal.

Losing a disk loses all of it, and a phone that sees a message key twice cannot read the message.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from keepline.domain.link_events import HeardEvent, MessageHeard, Tried
from keepline.testing.session_file import FakeSessionDisk

_SKIPPED_MAX = 50  # keys kept for messages that others have overtaken


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
    holder: object | None = None  # the link that has it open, or who reads its journal

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

    def tried(self, tag: bytes) -> Tried | None:
        """What it knows of a send under this tag."""
        if tag in self.answered:
            return Tried(self.answered[tag], acknowledged=True)
        row = self.disk.get(_secret(tag))
        return Tried(row.decode(), acknowledged=False) if row is not None else None

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


def _secret(tag: bytes) -> str:
    return f"secret:{tag.hex()}"
