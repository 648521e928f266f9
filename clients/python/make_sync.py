#!/usr/bin/env python3
"""Write keepline_client/_sync anew from _async: the same without `await`. `make client` runs this.

A test sees to it that what is there is what this would write (docs/decisions/030-a-client-written-once.md). unasync would
take over the table of words and no more: imports in their order, lines filled anew and files that are gone stay to be done here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "src" / "keepline_client"
NOTE = "# Made of _async/{name} by make_sync.py: change that one, then run `make client`.\n"
# In this order.
WORDS = (
    (r"\basync (def|with|for) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_async\b", "_sync"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\ba(close|read|iter_bytes|iter_lines)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\basyncio\b", "time"),
)


def sync_files() -> dict[str, str]:
    """What _sync is to contain, by the files' names."""
    return {file.name: _in_sync(file) for file in sorted((PACKAGE / "_async").glob("*.py"))}


def _in_sync(file: Path) -> str:
    text = file.read_text()
    if file.name == "__init__.py":
        return '"""The client without `await`, made of the other one by clients/python/make_sync.py."""\n'
    for word, instead in WORDS:
        text = re.sub(word, instead, text)
    # Names are sorted and lines are filled by what is there now.
    target = str(PACKAGE / "_sync" / file.name)
    text = _through_ruff(text, "check", "--quiet", "--fix", "--select=I", "--stdin-filename", target)
    return NOTE.format(name=file.name) + _through_ruff(text, "format", "--quiet", "--stdin-filename", target)


def _through_ruff(text: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> None:
    files = sync_files()
    for file in (PACKAGE / "_sync").glob("*.py"):
        if file.name not in files:
            file.unlink()
    for name, text in files.items():
        (PACKAGE / "_sync" / name).write_text(text)


if __name__ == "__main__":
    main()
