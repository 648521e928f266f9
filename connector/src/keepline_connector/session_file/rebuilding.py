"""A new store out of a snapshot and the changes after it, built beside the old one; it takes its place only when it is sound."""

# ruff: noqa: S608 - statements are put together from names in the file's own schema, quoted; values never

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from keepline.ports.session_file import Position, SessionFileInvalid
from keepline_connector.session_file import notes, ratchets
from keepline_connector.session_file.connections import decode_text, encode_text
from keepline_connector.session_file.encoding import Row, Rows, TableRows, decode
from keepline_connector.session_file.tables import DEVICE, fingerprint, has_table, kept_tables, quoted, statements

_CREATES = ("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ")
_SIDE_FILES = ("-wal", "-shm", "-journal")
# What SQLite says when it is the machine's fault (out of memory, read-only, I/O, full, cannot open), not the data's.
_MACHINE_CODES = frozenset(
    {sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
)


def rebuild(path: Path, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]) -> Position:
    """Replace the store at `path`. Raises SessionFileInvalid, and then there is no store: an old one must not pass for this."""
    new = path.with_name(f"{path.name}.new")
    remove(new)
    try:
        position = _build(new, snapshot, changes, forget_chats)
    except SessionFileInvalid:
        remove(new)
        remove(path)
        raise
    except BaseException:
        remove(new)
        raise
    # A log that outlived its file would be replayed into the new one, so it goes between the two.
    remove(path)
    new.rename(path)
    _sync(path.parent)
    return position


def remove(path: Path) -> None:
    """Delete a store with what SQLite keeps beside it."""
    path.unlink(missing_ok=True)
    for suffix in _SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _build(path: Path, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]) -> Position:
    whole = decode(snapshot)
    with closing(_create(path)) as database:
        try:
            _fill(database, whole)
            for change in map(decode, changes):
                if isinstance(change.schema, list):
                    _clear(database)
                    _fill(database, change)
                else:
                    _apply(database, change)
            database.execute("COMMIT")
            notes.install(database, everything=False)
            # Noted like any change, so that the next capture says it too.
            database.execute("BEGIN")
            ratchets.forget(database, forget_chats)
            database.execute("COMMIT")
            _check(database)
            position = _position(database)
            # The library asks for it at its start; a file that has it already needs no exclusive moment then.
            database.execute("PRAGMA journal_mode = WAL")
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            # A warning stands for two statements in one, a ValueError for text that is no text.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _MACHINE_CODES:
                raise
            raise SessionFileInvalid(f"SQLite refuses it: {type(error).__name__}") from None
    _sync(path)
    return position


def _create(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    database = sqlite3.connect(path, isolation_level=None)
    database.text_factory = decode_text
    # A file that is not finished is thrown away, so nothing needs to be undone or to survive meanwhile.
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    # Rows come table by table; the whole is checked at the end.
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("BEGIN")
    return database


def _fill(database: sqlite3.Connection, whole: Rows) -> None:
    if not isinstance(whole.schema, list):
        raise SessionFileInvalid("changes where everything should be")
    for statement in whole.schema:
        if not statement.upper().startswith(_CREATES):
            raise SessionFileInvalid("a statement that makes neither a table nor an index")
        database.execute(statement)
    _write(database, whole.tables)


def _clear(database: sqlite3.Connection) -> None:
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in tables:
        database.execute(f"DROP TABLE {quoted(name)}")


def _apply(database: sqlite3.Connection, change: Rows) -> None:
    if change.schema != fingerprint(statements(database)):
        raise SessionFileInvalid("changes of tables that look different")
    _write(database, change.tables)


def _write(database: sqlite3.Connection, tables: list[TableRows]) -> None:
    """All rows that are named go before any comes: two may have swapped what must be unique."""
    kept = kept_tables(database)
    for one in tables:
        if one.table not in kept:
            raise SessionFileInvalid("rows of a table that is not there")
        rowids = [*one.deleted, *(row[0] for row in one.rows)]
        database.executemany(f"DELETE FROM {quoted(one.table)} WHERE rowid = ?", [(rowid,) for rowid in rowids])
        _insert(database, one.table, kept[one.table], one.rows)


def _insert(database: sqlite3.Connection, table: str, columns: list[str], rows: list[Row]) -> None:
    names = ", ".join(("rowid", *map(quoted, columns)))
    # Most rows are pre-keys, 800 and more of the same form: one statement for all neighbours that are alike.
    for texts, alike in itertools.groupby(rows, lambda row: [isinstance(value, str) for value in row]):
        if len(texts) != len(columns) + 1:
            raise SessionFileInvalid("a row with more or fewer columns than its table")
        # Text that is not UTF-8 cannot be handed over as text.
        places = ", ".join("CAST(? AS TEXT)" if text else "?" for text in texts)
        database.executemany(
            f"INSERT OR REPLACE INTO {quoted(table)} ({names}) VALUES ({places})",
            ([encode_text(value) if isinstance(value, str) else value for value in row] for row in alike),
        )


def _check(database: sqlite3.Connection) -> None:
    if database.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        raise SessionFileInvalid("it fails SQLite's integrity check")
    if database.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise SessionFileInvalid("a row belongs to one that is not there")
    if not has_table(database, DEVICE):
        raise SessionFileInvalid("no table of devices")
    if database.execute(f"SELECT count(*) FROM {DEVICE}").fetchone() != (1,):
        raise SessionFileInvalid("not exactly one device")


def _position(database: sqlite3.Connection) -> Position:
    incarnation = notes.incarnation(database)
    assert incarnation is not None  # It was installed a moment ago.
    return Position(incarnation, notes.newest(database), True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
