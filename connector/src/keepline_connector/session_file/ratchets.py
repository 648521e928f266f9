"""Which ratchets a set of chats uses.

The library names the other end of a ratchet `<user>[_<domain>]:<device>`: `14155550199:0` by phone number, `623162922612368_1:0`
by LID, and domains 128 and 129 for the hosted variants of the two. It moves ratchets from the one spelling to the other as it
learns LIDs, so a chat's devices can stand under both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from keepline_connector.session_file.tables import own_jid


def forget(database: sqlite3.Connection, chats: Collection[str]) -> None:
    """Drop the ratchets with the devices of these chats and with our own other devices (they get a copy of every message)."""
    if not chats:
        return
    users = _both_spellings(database, {_user(chat) for chat in chats} | _own_users(database))
    names = database.execute("SELECT rowid, their_id FROM whatsmeow_sessions").fetchall()
    gone = [(rowid,) for rowid, name in names if name.partition(":")[0].partition("_")[0] in users]
    database.executemany("DELETE FROM whatsmeow_sessions WHERE rowid = ?", gone)


def _own_users(database: sqlite3.Connection) -> set[str]:
    (lid,) = database.execute("SELECT lid FROM whatsmeow_device").fetchone()
    return {_user(jid) for jid in (own_jid(database), lid) if jid}


def _both_spellings(database: sqlite3.Connection, users: set[str]) -> set[str]:
    pairs = database.execute("SELECT lid, pn FROM whatsmeow_lid_map").fetchall()
    return users.union(*(pair for pair in pairs if not users.isdisjoint(pair)))


def _user(jid: str) -> str:
    """`14155550100` of `14155550100:3@s.whatsapp.net`, also in the older form `14155550100.0:3@…`."""
    return jid.partition("@")[0].partition(":")[0].partition(".")[0]
