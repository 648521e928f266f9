"""Waiting for something to become so: how long in all, and how long between two looks. Shared by both clients."""

from __future__ import annotations

import time

from keepline_client.errors import CannotConnect, NotDelivered, WaitedInVain
from keepline_client.types import Message, Reached, Session

_FIRST_PAUSE_S = 0.2
_PAUSE_S_MAX = 2.0
_GROWTH = 1.5

# States that nothing leads out of but a person.
_HOPELESS = frozenset({"logged_out", "banned", "outdated", "failed"})
_ENDED = frozenset({"failed", "expired", "cancelled"})
_IN_ORDER: tuple[Reached, ...] = ("sent", "delivered", "read", "played")


class Patience:
    """The pauses between looks, which grow; over when the time is up."""

    def __init__(self, what: str, timeout_s: float) -> None:
        self._what = what
        self._timeout_s = timeout_s
        self._ends_s = time.monotonic() + timeout_s
        self._pause_s = _FIRST_PAUSE_S

    def next_pause_s(self) -> float:
        """How long to wait before the next look. Raises WaitedInVain when the time is up."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise WaitedInVain("waited_in_vain", f"Waited {self._timeout_s:g} s for {self._what}, in vain.")
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * _GROWTH, _PAUSE_S_MAX)
        return min(pause_s, left_s)


def is_connected(session: Session) -> bool:
    """Whether a session is linked and up. Raises CannotConnect when only a person can help it."""
    if session["state"] in _HOPELESS:
        raise CannotConnect(session)
    return session["state"] == "connected" and session["phone"] is not None


def has_reached(message: Message, state: Reached) -> bool:
    """Whether a message is as far as this, or farther. Raises NotDelivered when it will not get there."""
    if message["state"] in _ENDED:
        raise NotDelivered(message)
    return message["state"] in _IN_ORDER[_IN_ORDER.index(state) :]
