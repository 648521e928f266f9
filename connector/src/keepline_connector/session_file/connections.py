"""Connections to the store: opened for one operation and closed again.

One supervisor can hold 200 devices, and an open connection takes three file descriptors; opening one takes about a millisecond.

SQLite keeps its locks with POSIX record locks, which a process loses when *any* copy of SQLite in it closes the file. So the
process that runs the library (it has a SQLite of its own) must not open the file with Python's sqlite3 as well: the
supervisor would take itself for the last one to leave, and delete the write-ahead log under the library's hands. As a second
line of defence a connection that writes is closed while one that only reads is open, and that one cannot delete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

BUSY_TIMEOUT_S = 5.0


def decode_text(text: bytes) -> str:
    """Text as it is in the file: ids come from other people's clients and need not be valid UTF-8."""
    return text.decode(errors="surrogateescape")


def encode_text(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, in one read transaction: it sees one moment. The writer is not held up."""
    with closing(_open(path, "ro")) as database:
        database.execute("BEGIN")
        yield database


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without a transaction. Whoever uses it keeps its transactions short: the library waits for them."""
    with closing(_open(path, "ro")) as witness:
        witness.execute("SELECT 1 FROM sqlite_master").fetchone()  # Takes the lock that shows that somebody is there.
        with closing(_open(path, "rw")) as database:
            # As the library's own: a commit is in the log, and on the disk at the next checkpoint.
            database.execute("PRAGMA synchronous = NORMAL")
            yield database


def _open(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    database.text_factory = decode_text
    return database
