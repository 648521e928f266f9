"""What lies in the past of the pictures: written into the emulator by the records' own writers."""

from __future__ import annotations

from keepline_local.run_file import Run


def write(run: Run) -> None:
    """Nothing yet."""
