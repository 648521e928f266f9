"""Results of runs, kept as files: what was run, where, when, on which commit, and the figures it ended with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Machine:
    """What the figures belong to; no name by which it could be found."""

    cores: int
    memory_gib: int
    cpu: str
    python: str

    @classmethod
    def this(cls) -> Machine:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
        return cls(os.cpu_count() or 1, round(memory / 2**30), model, platform.python_version())


@dataclass(frozen=True)
class Result:
    """`figures`: the JSON line a run ended with; several lines are a list. None when it did not come so far."""

    name: str
    command: str
    quick: bool
    seed: int | None
    date: str
    commit: str
    machine: Machine
    seconds: float
    exit_code: int
    figures: Any

    def keep(self, folder: Path = FOLDER) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def kept(folder: Path = FOLDER) -> dict[str, Result]:
    """The newest result of each run that has one."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        fields = json.loads(file.read_text())
        result = Result(**{**fields, "machine": Machine(**fields["machine"])})
        found[result.name] = result
    return found


def json_lines(output: str) -> Any:
    """The JSON with which an output ends: an object, or a list where the last lines are several."""
    found: list[Any] = []
    for line in reversed(output.strip().splitlines()):
        if not line.startswith("{"):
            break
        found.insert(0, json.loads(line))
    return (found[0] if len(found) == 1 else found) or None


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def commit() -> str:
    """The commit that is measured, with a + where the tree differs from it in more than what the report itself writes."""
    head = _git("rev-parse", "--short", "HEAD")
    written = (":!bench/results", ":!bench/history.jsonl", ":!docs/reliability.md", ":!docs/images", ":!README.md")
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", *written) else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip()
