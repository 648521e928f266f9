"""Naming an earlier message: as our API does, by its id, and as WhatsApp does, by its own id, chat and sender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from keepline.domain.addresses import LID_SERVER, PHONE_SERVER

# By which of their two addresses the members of a chat name each other; a group has one of the two (whatsmeow, `AddressingMode`).
Addressing = Literal["phone", "lid"]


@dataclass(frozen=True)
class MessageRef:
    """A message that another one refers to.

    `message_id` is ours: `m_…` for one of the API, `i_…` for what WhatsApp brought, None where that cannot be known. The API
    accepts a reference that has nothing else, and resolves it before anything is written. `from_me`: our own number wrote it.
    """

    message_id: str | None
    wa_message_id: str = ""
    chat: str = ""
    from_me: bool = False
    sender_phone: str | None = None
    sender_lid: str | None = None
    addressing: Addressing = "phone"

    @property
    def is_resolved(self) -> bool:
        return bool(self.wa_message_id)

    @property
    def sender(self) -> str | None:
        """The address of its sender as the other members of the chat know them, or None where none is known."""
        by_lid = f"{self.sender_lid}@{LID_SERVER}" if self.sender_lid else None
        by_phone = f"{self.sender_phone}@{PHONE_SERVER}" if self.sender_phone else None
        return by_lid or by_phone if self.addressing == "lid" else by_phone or by_lid

    def to_map(self) -> dict[str, Any]:
        if not self.is_resolved:
            return {"message_id": self.message_id}
        return {
            "message_id": self.message_id,
            "wa_message_id": self.wa_message_id,
            "chat": self.chat,
            "from_me": self.from_me,
            "from": {"phone": self.sender_phone, "lid": self.sender_lid},
            "addressing": self.addressing,
        }

    @classmethod
    def from_map(cls, fields: Mapping[str, Any]) -> MessageRef:
        if "wa_message_id" not in fields:
            return cls(fields["message_id"])
        return cls(
            fields["message_id"],
            fields["wa_message_id"],
            fields["chat"],
            fields["from_me"],
            fields["from"]["phone"],
            fields["from"]["lid"],
            fields["addressing"],
        )
