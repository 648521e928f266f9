"""Asking a watched target whether it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Question:
    """What is asked, and what must be answered: one of these statuses, with `text` in the body if it is given."""

    url: str
    method: str
    headers: Mapping[str, str] = field(repr=False)
    expected_status: tuple[int, ...]
    text: str | None
    timeout_ms: int


@dataclass(frozen=True)
class Found:
    """What became of it: `answers`, or a short stable word for why that is not so. `ms` is None without an answer."""

    code: str
    ms: int | None


class Probe(Protocol):
    """Follows no redirect, and ends within the question's time limit, whatever the other side does."""

    async def ask(self, question: Question) -> Found:
        """Raises nothing: whatever goes wrong is what was found."""
        ...
