"""Reads the WhatsApp library's store from a process of its own.

The library carries its own copy of SQLite. Two copies in one process do not see each other's locks (POSIX locks belong to the
process): Python's copy then rebuilds the shared memory of the write-ahead log under the library's feet, which ended cells with
SIGBUS and could have damaged stores (sqlite.org, "How To Corrupt An SQLite Database File", 2.2.1). So no code in a cell opens the
store; it asks this process, one for each cell, a JSON line for a question and one for its answer.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

_TRIES_MAX = 3
_BUSY_TIMEOUT_S = 5.0

Value = str | int | bytes | None


class StoreReader:
    """Runs the reading process, starts it at the first question at the latest, and again if it has died. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """So that the first question need not wait for it."""
        with self._lock:
            self._running()

    def read(self, path: Path, statement: str, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        """The rows of a query; none when there is no store yet, or one without tables."""
        question = {"path": str(path), "statement": statement, "values": [_to_json(value) for value in values]}
        line = json.dumps(question).encode() + b"\n"
        with self._lock:
            for _ in range(_TRIES_MAX):
                if answer := self._ask(line):
                    return [tuple(_from_json(value) for value in row) for row in json.loads(answer)]
        raise RuntimeError("the process that reads the stores does not stay alive")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", __name__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def _ask(self, line: bytes) -> bytes:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            return process.stdout.readline()
        except OSError:
            return b""


def main() -> None:
    """Answer questions until the cell's end of the pipe closes."""
    for line in sys.stdin.buffer:
        question = json.loads(line)
        values = [_from_json(value) for value in question["values"]]
        rows = _rows(Path(question["path"]), question["statement"], values)
        answer = [[_to_json(value) for value in row] for row in rows]
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _rows(path: Path, statement: str, values: list[Value]) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []  # There is no file before the first connection.
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)) as database:
        try:
            return list(database.execute(statement, values))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []  # A kill during the very first start left a file without tables.
            raise  # Nothing may be taken for "there is no such row" that is not.


def _to_json(value: Value) -> Any:
    return {"bytes": b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    return b64decode(value["bytes"]) if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
