"""Reading rows of the store, in whatever read transaction the connection is in."""

# ruff: noqa: S608 - statements are put together from names in the file's own schema, quoted; values never

from __future__ import annotations

import sqlite3

from keepline.ports.session_file import Captured
from keepline_connector.session_file import notes
from keepline_connector.session_file.encoding import Rows, TableRows, encode
from keepline_connector.session_file.tables import fingerprint, kept_tables, own_jid, quoted, statements

# Changes must fit into one Firestore document (1 MiB) with room to spare; whatever is bigger is captured whole, and a whole
# capture may be cut in pieces. A store of a busy account has some 10,000 rows and 2 MB.
CHANGED_ROWS_MAX = 5_000
CHANGES_BYTES_MAX = 600_000


def capture(database: sqlite3.Connection, after: int) -> Captured | None:
    """What the notes after the number `after` name."""
    own, noted, incarnation = own_jid(database), notes.pending(database, after), notes.incarnation(database)
    if own is None or noted is None or incarnation is None:
        return None
    if noted.everything or noted.rows > CHANGED_ROWS_MAX:
        return snapshot(database)
    tables = [_changed(database, table, columns, after) for table, columns in kept_tables(database).items()]
    data = encode(Rows(own, fingerprint(statements(database)), [one for one in tables if one.rows or one.deleted]))
    if len(data) > CHANGES_BYTES_MAX:
        return snapshot(database)
    return Captured(incarnation, noted.mark, False, data)


def snapshot(database: sqlite3.Connection) -> Captured | None:
    """Everything that is kept."""
    own, incarnation = own_jid(database), notes.incarnation(database)
    if own is None or incarnation is None:
        return None
    tables = [
        TableRows(table, [list(row) for row in database.execute(f"SELECT rowid, * FROM {quoted(table)}")], [])
        for table in kept_tables(database)
    ]
    data = encode(Rows(own, statements(database), [one for one in tables if one.rows]))
    return Captured(incarnation, notes.newest(database), True, data)


def _changed(database: sqlite3.Connection, table: str, columns: list[str], after: int) -> TableRows:
    values = ", ".join(f"kept.{quoted(column)}" for column in columns)
    found = database.execute(
        f"SELECT noted.row, kept.rowid IS NULL, {values}"
        f" FROM (SELECT DISTINCT row FROM keepline_notes WHERE seq > ? AND tbl = ?) AS noted"
        f" LEFT JOIN {quoted(table)} AS kept ON kept.rowid = noted.row",
        (after, table),
    ).fetchall()
    return TableRows(table, [[row[0], *row[2:]] for row in found if not row[1]], [row[0] for row in found if row[1]])
