"""Change notes: triggers in the store write down which row of which table was touched, in the transaction that touched it.

So a note and its row live or die together, also at `kill -9`. Notes are only ever appended: conflict handling inside a trigger
would be overridden by that of the outer statement. They are brought together when they are read. A note holds no data: what
counts is the row as it is when it is captured.

Rows are named by rowid. Only VACUUM changes those, and like every change of the schema it raises SQLite's schema version;
then everything is noted anew as one note, `EVERYTHING`, which stays until it is confirmed.
"""

# ruff: noqa: S608 - statements are put together from names in the file's own schema, quoted; values never

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

from keepline_connector.session_file.tables import SECRETS, has_table, kept_tables, quoted

EVERYTHING = "*"
_DROP_BATCH = 1_000

_TABLES = (
    "CREATE TABLE IF NOT EXISTS keepline_meta (incarnation TEXT NOT NULL, schema_version INTEGER NOT NULL)",
    # AUTOINCREMENT: a number is not used again when all notes have been dropped.
    "CREATE TABLE IF NOT EXISTS keepline_notes (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, row INTEGER NOT NULL)",
    # The library does not say when it stored a secret.
    "CREATE TABLE IF NOT EXISTS keepline_secrets (row INTEGER PRIMARY KEY, noted_at INTEGER NOT NULL)",
)
_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"  # Runs in the library's SQLite, which may be too old for unixepoch().


@dataclass(frozen=True)
class Noted:
    """Which rows were touched. `rows` is empty when everything counts as touched."""

    mark: int
    everything: bool
    rows: int


def install(database: sqlite3.Connection, *, everything: bool) -> None:
    """Make or renew tables and triggers, in one write transaction. `everything`: the first capture is to be whole."""
    database.execute("BEGIN IMMEDIATE")
    try:
        _install(database, everything)
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def incarnation(database: sqlite3.Connection) -> str | None:
    """Names this life of the file; None before change capture has begun."""
    if not has_table(database, "keepline_meta"):
        return None
    row = database.execute("SELECT incarnation FROM keepline_meta").fetchone()
    return None if row is None else str(row[0])


def are_current(database: sqlite3.Connection) -> bool:
    """Whether every change since the last confirmed one has been noted: nobody has touched tables or triggers since."""
    if not has_table(database, "keepline_meta"):
        return False
    row = database.execute("SELECT schema_version FROM keepline_meta").fetchone()
    return row is not None and row == database.execute("PRAGMA schema_version").fetchone()


def newest(database: sqlite3.Connection) -> int:
    """The number of the newest note there has ever been."""
    if not has_table(database, "keepline_notes"):
        return 0
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'keepline_notes'").fetchone()
    return 0 if row is None else int(row[0])


def pending(database: sqlite3.Connection, after: int) -> Noted | None:
    """What was noted after the number `after`; None when there is nothing."""
    (mark,) = database.execute("SELECT max(seq) FROM keepline_notes WHERE seq > ?", (after,)).fetchone()
    if mark is None:
        return None
    if everything_since(database, after):
        return Noted(mark, True, 0)
    (rows,) = database.execute(
        "SELECT count(*) FROM (SELECT DISTINCT tbl, row FROM keepline_notes WHERE seq > ?)", (after,)
    ).fetchone()
    return Noted(mark, False, rows)


def everything_since(database: sqlite3.Connection, after: int) -> bool:
    found = database.execute("SELECT 1 FROM keepline_notes WHERE seq > ? AND tbl = ? LIMIT 1", (after, EVERYTHING))
    return found.fetchone() is not None


def oldest(database: sqlite3.Connection) -> int | None:
    """The number of the oldest note that is still there."""
    row = database.execute("SELECT min(seq) FROM keepline_notes").fetchone()
    return None if row[0] is None else int(row[0])


def drop(database: sqlite3.Connection, mark: int) -> None:
    """Drop the notes up to `mark`, a few at a time."""
    while True:
        dropped = database.execute(
            "DELETE FROM keepline_notes WHERE seq <= min(?, (SELECT min(seq) FROM keepline_notes) + ?)",
            (mark, _DROP_BATCH),
        )
        if not dropped.rowcount:
            return


def _install(database: sqlite3.Connection, everything: bool) -> None:
    for (name,) in database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, 9) = 'keepline_'"
    ).fetchall():
        database.execute(f"DROP TRIGGER {quoted(name)}")
    for statement in _TABLES:
        database.execute(statement)
    for table, columns in kept_tables(database).items():
        for statement in _triggers(table, columns):
            database.execute(statement)
    if has_table(database, SECRETS):
        database.execute(
            f"INSERT INTO keepline_secrets (row, noted_at) SELECT rowid, {_NOW} FROM {SECRETS}"
            " WHERE rowid NOT IN (SELECT row FROM keepline_secrets)"
        )
        database.execute(f"DELETE FROM keepline_secrets WHERE row NOT IN (SELECT rowid FROM {SECRETS})")
    if everything:
        database.execute("INSERT INTO keepline_notes (tbl, row) VALUES (?, 0)", (EVERYTHING,))
    (version,) = database.execute("PRAGMA schema_version").fetchone()
    if database.execute("UPDATE keepline_meta SET schema_version = ?", (version,)).rowcount == 0:
        database.execute("INSERT INTO keepline_meta VALUES (?, ?)", (secrets.token_hex(8), version))


def _triggers(table: str, columns: list[str]) -> list[str]:
    def trigger(when: str, row: str, condition: str = "", more: str = "") -> str:
        return (
            f"CREATE TRIGGER {quoted(f'keepline_{table}_{when.lower()}')} AFTER {when} ON {quoted(table)}{condition} BEGIN"
            f" INSERT INTO keepline_notes (tbl, row) VALUES ('{table}', {row}.rowid);{more} END"
        )

    # The library saves its device on every connect, and marks all pre-keys as uploaded at each upload: mostly nothing changes.
    changed = " OR ".join(f"NEW.{quoted(column)} IS NOT OLD.{quoted(column)}" for column in columns)
    forget, note = "", ""
    if table == SECRETS:
        forget = " DELETE FROM keepline_secrets WHERE row = {}.rowid;"
        note = f" INSERT INTO keepline_secrets VALUES (NEW.rowid, {_NOW});"
    return [
        trigger("INSERT", "NEW", more=forget.format("NEW") + note),
        trigger("UPDATE", "NEW", condition=f" WHEN {changed}"),
        trigger("DELETE", "OLD", more=forget.format("OLD")),
    ]
