"""`python -m keepline_local logs ID`: the way of one message through all parts of a run, from the parts' logs, in its order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The steps of a message, as they come.
_ORDER = ("accept", "claim", "wire", "settle", "webhook")
# What a line says besides its time, its part and its words; the same in every line of one message.
_SHOWN = ("step", "state", "result", "error_code", "event", "status", "attempts", "took_ms", "request_id")


@dataclass(frozen=True)
class Step:
    """One line of a log that is about the message."""

    time: str
    part: str
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        """`10:47:46.788  connector-2  step=settle state=sent took_ms=3.1`"""
        said = " ".join(f"{name}={self.fields[name]}" for name in _SHOWN if name in self.fields)
        return f"{self.time[11:23]}  {self.part:<12} {said or self.fields['message']}"


def steps(folder: Path, message_id: str) -> list[Step]:
    """What the logs of a folder have of a message, the last run's before it included, the earliest first."""
    found = [step for log in sorted(folder.glob("*.log*")) for step in _in(log, message_id)]
    return sorted(found, key=lambda step: (step.time, _rank(step)))


def _rank(step: Step) -> int:
    """Of two steps in the same millisecond, which one comes first: parts write logs of their own."""
    name = step.fields.get("step")
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _in(log: Path, message_id: str) -> Iterator[Step]:
    named = f'"{message_id}"'
    with log.open(errors="replace") as lines:
        for line in lines:
            if named not in line or not line.startswith("{"):
                continue
            try:
                fields = json.loads(line)
            except ValueError:
                continue  # A line that is being written, or was cut.
            if fields.get("message_id") == message_id:
                yield Step(fields["time"], log.name.partition(".")[0], fields)


def show(folder: Path, message_id: str) -> int:
    """Print the way; the exit code is 1 when there is none."""
    way = steps(folder, message_id)
    for step in way:
        print(step.text)
    if not way:
        print(f"The logs in {folder} have nothing of {message_id}.")
    return 0 if way else 1
