"""An installation in which nobody has said where to be told."""

from __future__ import annotations

from keepline.ports.telling import Letter


class NoChannels:
    """Keeps the port Teller."""

    async def tell(self, tenant: str | None, letter: Letter) -> bool:
        """Nobody."""
        return False
