"""Watched targets in memory: each answers as it is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from keepline.ports.uptime_probes import Found, Question

GOOD = Found("answers", 20)
REFUSES = Found("connection_failed", None)


@dataclass
class MemoryProbe:
    """`found` by URL; what is not there answers well. `takes_s`: how long an answer takes; above the limit there is none."""

    found: dict[str, Found] = field(default_factory=dict)
    takes_s: dict[str, float] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)

    async def ask(self, question: Question) -> Found:
        self.asked.append(question)
        takes_s = self.takes_s.get(question.url, 0.0)
        if takes_s * 1000 > question.timeout_ms:
            await asyncio.sleep(question.timeout_ms / 1000)
            return Found("timeout", None)
        await asyncio.sleep(takes_s)
        return self.found.get(question.url, GOOD)
