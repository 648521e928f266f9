"""Telling people: by mail, chat or SMS, whichever way an address names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Telling:
    """What became of one telling. `error` is None when it was taken, else a short stable word."""

    error: str | None
    duration_ms: int


class Notifier(Protocol):
    """Ends within its own time limit, whatever the other side does, and dials nobody that it may not."""

    async def knows(self, url: str) -> bool:
        """Whether the address names somebody who can be told."""
        ...

    async def tell(self, url: str, title: str, text: str, html: str | None = None) -> Telling:
        """Mail has the `html`, if there is any, and everybody else the `text`.

        Raises nothing: whatever goes wrong is in the answer, and nothing of the address is.
        """
        ...
