"""A notifier in memory: what it was told, and refusals where a test wants them."""

from __future__ import annotations

from keepline.ports.notifying import Telling


class MemoryNotifier:
    """`refusing` has the addresses that fail, each with its error; `unknown` those in which it finds nobody."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.refusing: dict[str, str] = {}
        self.unknown: set[str] = set()

    async def knows(self, url: str) -> bool:
        return url not in self.unknown

    async def tell(self, url: str, title: str, text: str, html: str | None = None) -> Telling:
        error = self.refusing.get(url)
        if error is None:
            self.told.append((url, title, text))
        return Telling(error, 3)
