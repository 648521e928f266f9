"""A store as whatsmeow's schema v15 has it, written the way the library writes it, without the library."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

PHONE, LID = "14155550100", "136169848115982"
OUR_JID = f"{PHONE}:1@s.whatsapp.net"

_OF_DEVICE = "FOREIGN KEY ({}) REFERENCES whatsmeow_device(jid) ON DELETE CASCADE ON UPDATE CASCADE"
_OURS, _JIDS = _OF_DEVICE.format("our_jid"), _OF_DEVICE.format("jid")
SCHEMA = f"""
CREATE TABLE whatsmeow_version (version INTEGER, compat INTEGER);
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, facebook_uuid uuid,
    registration_id BIGINT NOT NULL CHECK ( registration_id >= 0 AND registration_id < 4294967296 ),
    noise_key bytea NOT NULL CHECK ( length(noise_key) = 32 ),
    push_name TEXT NOT NULL DEFAULT '');
CREATE TABLE whatsmeow_identity_keys (
    our_jid TEXT, their_id TEXT, identity bytea NOT NULL CHECK ( length(identity) = 32 ),
    PRIMARY KEY (our_jid, their_id), {_OURS});
CREATE TABLE whatsmeow_pre_keys (
    jid TEXT, key_id INTEGER, key bytea NOT NULL CHECK ( length(key) = 32 ), uploaded BOOLEAN NOT NULL,
    PRIMARY KEY (jid, key_id), {_JIDS});
CREATE TABLE whatsmeow_sessions (
    our_jid TEXT, their_id TEXT, session bytea, PRIMARY KEY (our_jid, their_id), {_OURS});
CREATE TABLE whatsmeow_app_state_version (
    jid TEXT, name TEXT, version BIGINT NOT NULL, PRIMARY KEY (jid, name), {_JIDS});
CREATE TABLE whatsmeow_app_state_mutation_macs (
    jid TEXT, name TEXT, version BIGINT, index_mac bytea, value_mac bytea NOT NULL,
    PRIMARY KEY (jid, name, version, index_mac),
    FOREIGN KEY (jid, name) REFERENCES whatsmeow_app_state_version(jid, name) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE whatsmeow_contacts (our_jid TEXT, their_jid TEXT, push_name TEXT, PRIMARY KEY (our_jid, their_jid), {_OURS});
CREATE TABLE whatsmeow_chat_settings (our_jid TEXT, chat_jid TEXT, PRIMARY KEY (our_jid, chat_jid), {_OURS});
CREATE TABLE whatsmeow_message_secrets (
    our_jid TEXT, chat_jid TEXT, sender_jid TEXT, message_id TEXT, key bytea NOT NULL,
    PRIMARY KEY (our_jid, chat_jid, sender_jid, message_id), {_OURS});
CREATE TABLE whatsmeow_privacy_tokens (
    our_jid TEXT, their_jid TEXT, token bytea NOT NULL, timestamp BIGINT NOT NULL, PRIMARY KEY (our_jid, their_jid));
CREATE INDEX idx_whatsmeow_privacy_tokens_our_jid_timestamp ON whatsmeow_privacy_tokens (our_jid, timestamp);
CREATE TABLE whatsmeow_lid_map (lid TEXT PRIMARY KEY, pn TEXT UNIQUE NOT NULL);
CREATE TABLE whatsmeow_event_buffer (our_jid TEXT NOT NULL, plaintext bytea);
CREATE TABLE whatsmeow_retry_buffer (our_jid TEXT NOT NULL, message_id TEXT NOT NULL);
"""
KEPT = (
    "version", "device", "identity_keys", "pre_keys", "sessions", "app_state_version", "app_state_mutation_macs",
    "message_secrets", "privacy_tokens", "lid_map",
)  # fmt: skip


class Store:
    """`write` is a statement of the library, in a transaction of its own. Always `close` it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        fresh = not path.exists()
        self.database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA foreign_keys = ON")
        if fresh:
            self.database.executescript(SCHEMA)
            self.write("INSERT INTO whatsmeow_version VALUES (15, 8)")

    def write(self, statement: str, *values: object) -> None:
        self.database.execute(statement, values)

    def link(self, push_name: str = "Ada", jid: str = OUR_JID) -> None:
        """Saves the device as the library does: again and again, mostly with what is there already."""
        self.write(
            "INSERT INTO whatsmeow_device (jid, lid, registration_id, noise_key, push_name) VALUES (?, ?, 7, ?, ?)"
            " ON CONFLICT (jid) DO UPDATE SET lid = excluded.lid, push_name = excluded.push_name",
            jid, f"{LID}:1@lid", b"n" * 32, push_name,
        )  # fmt: skip

    def unlink(self) -> None:
        self.write("DELETE FROM whatsmeow_device")

    def put_session(self, their_id: str, session: bytes) -> None:
        self.write(
            "INSERT INTO whatsmeow_sessions VALUES (?, ?, ?)"
            " ON CONFLICT (our_jid, their_id) DO UPDATE SET session = excluded.session",
            OUR_JID, their_id, session,
        )  # fmt: skip

    def put_secret(self, message_id: str, secret: bytes = b"s" * 32) -> None:
        self.write(
            "INSERT INTO whatsmeow_message_secrets VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            OUR_JID, f"{LID}@lid", f"{LID}@lid", message_id, secret,
        )  # fmt: skip

    def put_lid(self, lid: str, phone: str) -> None:
        self.write("DELETE FROM whatsmeow_lid_map WHERE lid <> ? AND pn = ?", lid, phone)
        self.write(
            "INSERT INTO whatsmeow_lid_map VALUES (?, ?)"
            " ON CONFLICT (lid) DO UPDATE SET pn = excluded.pn WHERE whatsmeow_lid_map.pn <> excluded.pn",
            lid, phone,
        )  # fmt: skip

    def put_app_state(self, name: str, version: int) -> None:
        self.write(
            "INSERT INTO whatsmeow_app_state_version VALUES (?, ?, ?)"
            " ON CONFLICT (jid, name) DO UPDATE SET version = excluded.version",
            OUR_JID, name, version,
        )  # fmt: skip
        mac = version.to_bytes(32, "big")
        self.write(
            "INSERT INTO whatsmeow_app_state_mutation_macs VALUES (?, ?, ?, ?, ?)", OUR_JID, name, version, mac, mac
        )

    def close(self) -> None:
        self.database.close()


def kept_rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that must survive, with its rowid; text as bytes, for it need not be UTF-8."""
    database = sqlite3.connect(path)
    database.text_factory = bytes
    try:
        names = [name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: sorted(database.execute(f"SELECT rowid, * FROM {table}"), key=lambda row: row[0])
            for table in names
            if table.removeprefix("whatsmeow_") in KEPT
        }
    finally:
        database.close()


def sessions(path: Path) -> dict[str, bytes]:
    """The ratchets in a store, by the other end's name."""
    return {row[2].decode(): row[3] for row in kept_rows(path)["whatsmeow_sessions"]}
