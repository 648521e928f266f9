# Made of _async/pausing.py by make_sync.py: change that one, then run `make client`.
"""Letting time pass."""

from __future__ import annotations

import time


def pause(seconds: float) -> None:
    """Wait this long."""
    time.sleep(seconds)
