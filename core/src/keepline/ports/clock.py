"""Time, passed in. Waiting is asyncio's: the simulated ring runs on an event loop whose time is virtual."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """`now` is for people and documents (UTC); `monotonic_s` is for judging how long something has lasted."""

    def now(self) -> datetime: ...

    def monotonic_s(self) -> float: ...
