"""A scenario in processes of its own: what measures coverage here would count as the run's time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


async def run_apart(scenario: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run `python -m tests.simulation.<scenario>`. Returns its line of figures, empty if there is none, and what else it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.simulation.{scenario}", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return (json.loads(out) if out else {}), err.decode()


async def run_parts(scenario: str, parts: Sequence[Sequence[str]]) -> tuple[Counter[str], Counter[str], str]:
    """Run it once with each part's arguments, at the same time.

    Returns the sums of their figures, those of the faults by kind, and what else they said. Prints the sums.
    """
    ran = await asyncio.gather(*(run_apart(scenario, *arguments) for arguments in parts))
    told = "\n".join(err for _, err in ran)
    # Without a line of figures, what the process said before it ended is all there is.
    assert all(figures for figures, _ in ran), told
    kinds: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for figures, _ in ran:
        kinds.update(figures.pop("faults_by_kind"))
        total.update(figures)
    print()
    print(json.dumps({**total, "faults_by_kind": kinds}))
    return total, kinds, told
