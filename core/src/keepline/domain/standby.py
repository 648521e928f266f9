"""A session's second device: whether one is wanted, when it is offered, and what a person is told of it. Pure.

An offer is a word and nothing more: there is no device, no process, no socket and no code until somebody asks for the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keepline.domain.session import SessionState, SessionStatus
from keepline.domain.views import standby_reason

# A first device that has been connected for so long, without a break, is up: its phone is at hand and its number works.
OFFER_AFTER_S = 30.0


class StandbySetting(StrEnum):
    """What is to happen about a standby when nobody says anything. Left for `off` when a standby is removed or declined."""

    OFFER = "offer"  # It is offered once the first device is up.
    OFF = "off"  # Nothing: whoever wants one asks for it.


class Standby(StrEnum):
    """How a session's second device is."""

    NONE = "none"  # There is none, or it is being removed.
    OFFERED = "offered"  # There is none. Its code is there for whoever asks, which makes it.
    LINKING = "linking"  # No phone has linked it yet: its QR code waits, or will.
    READY = "ready"  # Connected, with fresh evidence.
    AWAY = "away"  # Linked, but not connected now. Its reason says why.


@dataclass(frozen=True)
class StandbyView:
    """What may be said of a session's standby. `offered_at` is None while it has not been offered."""

    state: Standby
    setting: StandbySetting
    offered_at: datetime | None
    sentence: str
    next_step: str


def standby_view(
    told: SessionStatus | None,
    *,
    linked: bool,
    setting: StandbySetting,
    offered_at: datetime | None,
    was_refused: bool,
) -> StandbyView:
    """The standby by what may be told of its device; `told` is None when there is no such device.

    `was_refused`: the last one was linked by a phone with another number.
    """
    state = _state(told, linked=linked, is_offered=setting is StandbySetting.OFFER and offered_at is not None)
    sentence = _SENTENCES[state]
    if told is not None:
        return StandbyView(state, setting, offered_at, sentence, standby_reason(told).next_step)
    if was_refused:
        sentence = f"{_REFUSED} {sentence}"
    if state is Standby.OFFERED:
        next_step = "Show its QR code (slot b) or ask for its pairing code, and link it with the same phone."
    elif setting is StandbySetting.OFFER:
        next_step = f"Nothing to do: one is offered when the first device has been connected for {OFFER_AFTER_S:.0f} s."
    else:
        next_step = "Ask for one if you want one."
    return StandbyView(state, setting, offered_at, sentence, next_step)


def _state(told: SessionStatus | None, *, linked: bool, is_offered: bool) -> Standby:
    if told is None:
        return Standby.OFFERED if is_offered else Standby.NONE
    if not linked:
        return Standby.LINKING
    return Standby.READY if told.state is SessionState.CONNECTED else Standby.AWAY


_REFUSED = "A phone with another number linked the standby; it was unlinked at once."
_SENTENCES = {
    Standby.NONE: "The session works with one device and has no standby.",
    Standby.OFFERED: "The session works with one device and has no standby; one can be linked at once.",
    Standby.LINKING: "The session works with one device; its standby waits to be linked.",
    Standby.READY: "The standby is connected and takes over when it has to.",
    Standby.AWAY: "The standby is linked, but not connected now.",
}
