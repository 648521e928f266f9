"""The states of a message and the order in which proof may move it."""

from __future__ import annotations

from enum import StrEnum


class MessageState(StrEnum):
    """Where an outgoing message is, and what proves it."""

    QUEUED = "queued"  # Accepted and durable. Left by a claim's outcome.
    SENDING = (
        "sending"  # Named in an open claim of the present generation; shown by the API, the row itself stays queued.
    )
    SENT = "sent"  # WhatsApp acknowledged the stanza (or a copy carried our tag).
    DELIVERED = "delivered"  # A phone of the recipient has it: its receipt arrived.
    READ = "read"  # The recipient's phone sent a read receipt.
    PLAYED = "played"  # A voice or video message was played.
    FAILED = "failed"  # Refused for good, with the reason; nothing will be tried again.
    EXPIRED = "expired"  # Its time ran out while it was queued.
    CANCELLED = "cancelled"  # Withdrawn before it was claimed, or its session was deleted.
    IN_DOUBT = "in_doubt"  # It may have left when something died; evidence or the policy decides.


# Delivery only ever moves up this ladder, in whatever order receipts arrive.
_LADDER = (
    MessageState.QUEUED,
    MessageState.IN_DOUBT,
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.READ,
    MessageState.PLAYED,
)


def advance(state: MessageState, proof: MessageState) -> MessageState:
    """The state after `proof` (sent, delivered, read or played) for a message in `state`; never a step down.

    A failed, expired or cancelled message that turns out to have arrived is moved as well: the phone knows better.
    """
    if state not in _LADDER:
        return proof
    return max(state, proof, key=_LADDER.index)
