"""Webhooks' far side in memory: a receiver that answers as it is told, and wakes that are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keepline.ports.webhook_calls import Answer, WakeFailed


@dataclass(frozen=True)
class Call:
    """What a receiver was sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class MemoryReceiver:
    """Answers with what stands first in `answers`, and with 200 when nothing does."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[Answer] = []

    def will_answer(self, *statuses: int) -> None:
        """The next answers, one each."""
        self.answers += [Answer(status, None, 3) for status in statuses]

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.calls.append(Call(url, dict(headers), body))
        return self.answers.pop(0) if self.answers else Answer(200, None, 3)


class MemoryWaker:
    """`woken` has what nobody has taken up yet."""

    def __init__(self) -> None:
        self.woken: list[tuple[str, str]] = []
        self.down = False

    async def wake(self, webhook: str, lane: str) -> None:
        if self.down:
            raise WakeFailed("nobody hears")
        self.woken.append((webhook, lane))
