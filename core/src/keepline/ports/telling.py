"""Telling people something at length: a letter to the channels that a tenant, or the operator, has set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class NotTold(Exception):
    """No channel took it. The message says why, without addresses and secrets."""


@dataclass(frozen=True)
class Letter:
    """The same in two forms: `html` for mail, `text` for whatever shows no HTML."""

    subject: str
    html: str
    text: str


class Teller(Protocol):
    """Knows the channels. `tenant` is None for the operator's."""

    async def tell(self, tenant: str | None, letter: Letter) -> bool:
        """True when a channel took it, False when there is none to tell. Raises NotTold."""
        ...
