"""The states of an outgoing message: who may move it from each, and what proves the move."""

from __future__ import annotations

from enum import StrEnum


class MessageState(StrEnum):
    """Where an outgoing message is."""

    SCHEDULED = "scheduled"  # Queued for a time that has not come; shown by the API, the row itself is queued.
    QUEUED = "queued"  # Accepted and durable.
    SENDING = "sending"  # Named in an open claim of the present generation; shown by the API, the row stays queued.
    IN_DOUBT = "in_doubt"  # It may have left when something died; evidence decides, and where there is none, `OnDoubt`.
    SENT = "sent"  # WhatsApp has it.
    DELIVERED = "delivered"  # A phone of the recipient has it.
    READ = "read"  # The recipient's phone showed it.
    PLAYED = "played"  # A voice or video message was played.
    FAILED = "failed"  # A dead letter: nothing will be tried again unless a person replays it.
    EXPIRED = "expired"  # Its time ran out while it was queued.
    CANCELLED = "cancelled"  # Withdrawn before it was claimed, or its session was deleted.


# What a phone of the recipient said. It is true whoever heard it.
FACTS = frozenset({MessageState.DELIVERED, MessageState.READ, MessageState.PLAYED})


class OnDoubt(StrEnum):
    """What becomes of a message when the evidence cannot say whether it left."""

    RESEND = "resend"  # Send it again: it arrives, perhaps twice.
    HOLD = "hold"  # Keep it as failed with `outcome_unknown` until a person decides: it arrives at most once.


class Cause(StrEnum):
    """What moves a message. The comment names who says so."""

    TAKEN = "taken"  # The connector: WhatsApp acknowledged the stanza, or a copy of it was seen with our tag.
    DELIVERED = "delivered"  # The recipient's phone, by a receipt.
    READ = "read"
    PLAYED = "played"
    UNSURE = "unsure"  # The connector: it was handed over, and its answer is lost.
    NOT_TAKEN = "not_taken"  # The witness device, or the caller's choice `resend` after the wait.
    HELD = "held"  # The caller's choice `hold` after the wait.
    REFUSED = "refused"  # WhatsApp or the library, for good; or the last of the tries failed.
    UNREADABLE = "unreadable"  # The recipient's phone asks for it again and the library has forgotten it.
    EXPIRED = "expired"  # The clock, while nothing of it can have left.
    CANCELLED = "cancelled"  # Its sender, while no claim names it; or the session was deleted.
    REPLAYED = "replayed"  # A person, for a dead letter.


_S, _C = MessageState, Cause

# Proof that the message is with WhatsApp or beyond moves it up and never down, in whatever order proofs arrive. A message that
# was given up and turns out to have arrived is moved as well: the phone knows better.
_LADDER = (_S.SENT, _S.DELIVERED, _S.READ, _S.PLAYED)
_PROOFS = dict(zip((_C.TAKEN, _C.DELIVERED, _C.READ, _C.PLAYED), _LADDER, strict=True))

_OTHER_MOVES: dict[MessageState, dict[Cause, MessageState]] = {
    _S.QUEUED: {
        _C.UNSURE: _S.IN_DOUBT,
        _C.REFUSED: _S.FAILED,
        _C.EXPIRED: _S.EXPIRED,
        _C.CANCELLED: _S.CANCELLED,
    },
    _S.IN_DOUBT: {
        _C.NOT_TAKEN: _S.QUEUED,
        _C.UNREADABLE: _S.QUEUED,
        _C.HELD: _S.FAILED,
        _C.REFUSED: _S.FAILED,
        _C.CANCELLED: _S.CANCELLED,
    },
    # Once a phone of the recipient has it, another one that cannot read it is not worth a second copy for all.
    _S.SENT: {_C.UNREADABLE: _S.QUEUED},
    _S.FAILED: {_C.REPLAYED: _S.QUEUED},
}


def next_state(state: MessageState, cause: Cause) -> MessageState | None:
    """The state after `cause`, or None where that cause cannot move a message in this state."""
    if cause in _PROOFS:
        proven = _PROOFS[cause]
        return max(state, proven, key=_LADDER.index) if state in _LADDER else proven
    return _OTHER_MOVES.get(state, {}).get(cause)
