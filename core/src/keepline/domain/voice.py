"""Which of an account's linked devices sends for it. Pure.

One document says so, and changes hands by a write that only one can win. The first device begins. From then on the right moves
only where it is needed: to one that is ready, from one that gave it up or whose connector has fallen silent. It does not move
back by itself: who sends goes on sending.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """Who may send at present, as the document says. `connector` is "" before anybody has."""

    connector: str
    slot: str
    yielded: bool


def may_take_when_opening(holder: Holder, slot: str, *, first_slot: str) -> bool:
    """Whether a device that is being opened takes the right before it connects.

    If it is this very device's: whoever ran it before is put out by its login, so there are no two of it. And if it is nobody's.
    """
    if not holder.connector:
        return slot == first_slot
    return holder.slot == slot and not holder.yielded


def may_take_when_ready(holder: Holder, connector: str, slot: str, *, first_slot: str, holder_is_silent: bool) -> bool:
    """Whether a device that is logged in and has caught up takes the right.

    If another connector holds it for this very device, that one has been given the device, and this one is about to hear of it.
    """
    if not holder.connector:
        return slot == first_slot
    own = (holder.connector, holder.slot) == (connector, slot)
    return own or holder.yielded or holder_is_silent
