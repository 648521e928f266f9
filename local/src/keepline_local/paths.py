"""Where things are: the repository, and the folder that holds a run's state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keepline_local.errors import LocalError


@cache
def repository() -> Path:
    """The root of the checkout that this package belongs to (it runs from a checkout only); KEEPLINE_ROOT names another."""
    if override := os.environ.get("KEEPLINE_ROOT"):
        return Path(override).resolve()
    for folder in Path(__file__).resolve().parents:
        if (folder / "infra" / "functions.json").is_file():
            return folder
    raise LocalError(
        "Keepline's checkout was not found above this package.",
        hint="Run `make` in a clone of the repository.",
    )


@dataclass(frozen=True)
class State:
    """The folder that holds what runs write. One run at a time may use it (see `lock.py`)."""

    root: Path

    @classmethod
    def chosen(cls) -> State:
        """KEEPLINE_STATE_DIR if it is set, else `.keepline` in the repository."""
        override = os.environ.get("KEEPLINE_STATE_DIR")
        return cls(Path(override).resolve() if override else repository() / ".keepline")

    @property
    def run_json(self) -> Path:
        return self.root / "run.json"

    @property
    def api_key(self) -> Path:
        return self.root / "api_key"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def kind(self, kind: str) -> Path:
        """What one kind of run (`up`, `demo`) keeps."""
        return self.root / kind
