"""Channels in memory."""

from __future__ import annotations

from keepline.ports.telling import Letter, NotTold


class MemoryTeller:
    """Keeps what was told, and to whom. `deaf`: nobody has a channel. `broken`: so many tries fail first."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, Letter]] = []
        self.deaf = False
        self.broken = 0

    async def tell(self, tenant: str | None, letter: Letter) -> bool:
        if self.broken:
            self.broken -= 1
            raise NotTold("the mail server does not answer")
        if self.deaf:
            return False
        self.told.append((tenant, letter))
        return True
