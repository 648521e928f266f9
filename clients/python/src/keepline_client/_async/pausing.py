"""Letting time pass."""

from __future__ import annotations

import asyncio


async def pause(seconds: float) -> None:
    """Wait this long."""
    await asyncio.sleep(seconds)
