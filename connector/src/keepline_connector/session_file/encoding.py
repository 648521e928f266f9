"""Rows of the store as bytes: msgpack arrays, small because they are written for every batch of messages.

    [FORMAT, own jid, schema, [[table, [[rowid, value, …], …], [deleted rowid, …]], …]]

`schema` is a list of CREATE statements when the rows are everything there is, and the 8 bytes that name such a list when they
are changes. Our own jid stands in nearly every row; there it is an extension of no bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import msgpack

from keepline.ports.session_file import SessionFileInvalid

FORMAT = 1
_OWN_JID = msgpack.ExtType(1, b"")
_PLAIN = (float, str, bytes)
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = list[Value]
T = TypeVar("T")


@dataclass(frozen=True)
class TableRows:
    """Rows of one table as they are, each with its rowid in front, and the rowids of those that are gone."""

    table: str
    rows: list[Row]
    deleted: list[int]


@dataclass(frozen=True)
class Rows:
    """`schema` as above."""

    own_jid: str
    schema: list[str] | bytes
    tables: list[TableRows]


def encode(rows: Rows) -> bytes:
    tables = [
        [one.table, [[_OWN_JID if value == rows.own_jid else value for value in row] for row in one.rows], one.deleted]
        for one in rows.tables
    ]
    packed = msgpack.packb([FORMAT, rows.own_jid, rows.schema, tables], unicode_errors="surrogateescape")
    assert isinstance(packed, bytes)
    return packed


def decode(data: bytes) -> Rows:
    """Raises SessionFileInvalid for anything that `encode` does not make."""
    try:
        unpacked = msgpack.unpackb(data, unicode_errors="surrogateescape", strict_map_key=True, ext_hook=_extension)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise SessionFileInvalid(f"not msgpack: {type(error).__name__}") from None
    form, own_jid, schema, tables = _array(unpacked, 4)
    if form != FORMAT:
        raise SessionFileInvalid("a format that this version does not know")
    own = _as(str, own_jid)
    return Rows(own, _schema(schema), [_table(one, own) for one in _list(tables)])


def _extension(code: int, data: bytes) -> msgpack.ExtType:
    return _OWN_JID if (code, data) == _OWN_JID else msgpack.ExtType(code, data)


def _schema(schema: object) -> list[str] | bytes:
    if isinstance(schema, bytes):
        return schema
    return [_as(str, statement) for statement in _list(schema)]


def _table(table: object, own_jid: str) -> TableRows:
    name, rows, deleted = _array(table, 3)
    return TableRows(
        _as(str, name), [_row(row, own_jid) for row in _list(rows)], [_integer(row) for row in _list(deleted)]
    )


def _row(row: object, own_jid: str) -> Row:
    rowid, *values = _list(row) or [None]
    return [_integer(rowid), *(_value(value, own_jid) for value in values)]


def _value(value: object, own_jid: str) -> Value:
    if value is _OWN_JID:
        return own_jid
    if value is None or isinstance(value, _PLAIN):
        return value
    return _integer(value)


def _integer(value: object) -> int:
    # True and False are integers to Python; SQLite has none.
    if isinstance(value, bool) or not isinstance(value, int) or not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise SessionFileInvalid(f"a value of type {type(value).__name__} where SQLite has none")
    return value


def _as(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise SessionFileInvalid(f"{type(value).__name__} instead of {kind.__name__}")
    return value


def _list(value: object) -> list[object]:
    return _as(list, value)


def _array(value: object, length: int) -> list[object]:
    found = _list(value)
    if len(found) != length:
        raise SessionFileInvalid(f"{len(found)} parts instead of {length}")
    return found
