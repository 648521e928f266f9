"""Calling a webhook's endpoint, and having somebody woken who does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """What became of one call. Without an answer `status` is None and `error` a short stable word."""

    status: int | None
    error: str | None
    duration_ms: int
    retry_after_s: int | None = None


class WebhookCaller(Protocol):
    """Follows no redirect, and ends within its own time limit, whatever the other side does."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises nothing: whatever goes wrong is an answer."""
        ...


class WakeFailed(Exception):
    """Nobody was woken, or perhaps somebody was."""


class DeliveryWaker(Protocol):
    """Has a lane's deliveries looked at, at least once, soon, by somebody."""

    async def wake(self, webhook: str, lane: str) -> None:
        """Raises WakeFailed."""
        ...
