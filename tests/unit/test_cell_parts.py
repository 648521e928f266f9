"""The parts of a cell that need no WhatsApp library: frames, journal, store, outcomes."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keepline.adapters.key_file import create_key_file
from keepline.domain import link_events
from keepline.domain.cell_recycling import RecycleLimits
from keepline.domain.compaction import RestorePolicy
from keepline.domain.link_events import LinkEvent
from keepline.domain.link_settings import Proxy
from keepline_connector import frames
from keepline_connector.cell.journal import WINDOW_MAX, Journal
from keepline_connector.cell.life_signs import LifeSigns
from keepline_connector.cell.outcomes import code_error_of, is_answer, is_rate_signal, outcome_of
from keepline_connector.cell.store import DeviceStore, OwnNumber
from keepline_connector.folder_lock import FolderHeld, FolderLock
from keepline_connector.settings import BadSetting, read_settings

AT = datetime(2026, 11, 21, 10, 30, 0, 250_000, tzinfo=UTC)

HEARD = (link_events.MessageHeard, link_events.ReceiptHeard)
HEARD = (link_events.MessageHeard, link_events.ReceiptHeard)
EVENTS: list[LinkEvent] = [
    link_events.PairingCode("https://wa.me/…#a,b,c"),
    link_events.PairingEnded(),
    link_events.Paired("14155550100", None, 3),
    link_events.Connected("14155550100", "287300554604365"),
    link_events.CaughtUp(),
    link_events.Disconnected(),
    link_events.LoggedOut(401),
    link_events.Banned(101, 3600),
    link_events.Outdated(),
    link_events.Replaced(),
    link_events.LinkFailed("unreachable", "dial tcp …"),
    link_events.Stalled(),
    link_events.Resumed(),
    link_events.QualityChanged(True, 41, "slow_acks"),
    link_events.Evidence("answer", 120, 87),
    link_events.RateSignal(),
    link_events.MessageHeard(1, "3EB0", "1@s.whatsapp.net", "1", None, False, "text", "ă€😀\n", AT, b"\x00\xff" * 16),
    link_events.MessageHeard(2, "3EB1", "1@s.whatsapp.net", "1", "2", True, "image", None, AT, None),
    link_events.MessageHeard(
        *(3, "3EB2", "1@g.us", None, "2", False, "poll", "?", AT, None),
        {"poll": {"question": "?", "options": ["ä"], "selectable": 1}, "mentions": [{"phone": None, "lid": "2"}]},
        "lid",
    ),
    link_events.ReceiptHeard(4, ("3EB0", "3EB1"), "read", AT),
    link_events.NoticeHeard(
        5, "group.update", "1@g.us", "[1]", AT, {"by": None, "changes": {"subject": "ă", "locked": False}}
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_through_the_pipe_as_it_was(event: LinkEvent) -> None:
    line = frames.encode({"device": "a", "event": frames.event_to_json(event)})
    assert line.count(b"\n") == 1
    assert frames.event_from_json(frames.decode(line)["event"]) == event


class Listener:
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def __call__(self, seq: int, event: dict[str, Any]) -> None:
        self.told.append((seq, event["text"]))


def test_what_is_not_acknowledged_is_told_again_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", Listener())
    for text in "abc":
        journal.append({"text": text})
    journal.acknowledge([2])
    # No close: the process was killed.
    again = Listener()
    Journal(tmp_path / "journal.db", again).replay()
    assert again.told == [(1, "a"), (3, "c")]


def test_numbers_are_never_used_twice_even_when_the_journal_was_emptied(tmp_path: Path) -> None:
    first = Listener()
    journal = Journal(tmp_path / "journal.db", first)
    journal.append({"text": "a"})
    journal.acknowledge([1])
    journal.close()
    second = Listener()
    journal = Journal(tmp_path / "journal.db", second)
    journal.replay()
    journal.append({"text": "b"})
    assert second.told == [(2, "b")]


def test_a_flood_waits_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    listener = Listener()
    journal = Journal(tmp_path / "journal.db", listener)
    for n in range(WINDOW_MAX + 20):
        journal.append({"text": str(n)})
    assert len(listener.told) == WINDOW_MAX
    journal.acknowledge([seq for seq, _ in listener.told[:5]])
    assert len(listener.told) == WINDOW_MAX + 5
    while len(listener.told) < WINDOW_MAX + 20:
        journal.acknowledge([seq for seq, _ in listener.told])
    assert [text for _, text in listener.told] == [str(n) for n in range(WINDOW_MAX + 20)]


def make_store(folder: Path) -> DeviceStore:
    """As whatsmeow's schema v15 has it, as far as we read it."""
    store = DeviceStore(folder)
    with sqlite3.connect(folder / "whatsapp.db") as database:
        database.executescript(
            """
            CREATE TABLE whatsmeow_device (jid TEXT PRIMARY KEY, lid TEXT);
            CREATE TABLE whatsmeow_message_secrets (our_jid TEXT, chat_jid TEXT, sender_jid TEXT, message_id TEXT, key BLOB);
            CREATE TABLE whatsmeow_lid_map (lid TEXT PRIMARY KEY, pn TEXT);
            """
        )
        database.execute("INSERT INTO whatsmeow_device VALUES ('14155550100:7@s.whatsapp.net', '99887766:7@lid')")
        database.execute("INSERT INTO whatsmeow_message_secrets VALUES ('', '', '', '3EB0AA', ?)", (b"t" * 32,))
        database.execute("INSERT INTO whatsmeow_lid_map VALUES ('5544', '14155550123')")
    return store


def test_the_store_tells_whose_it_is_and_what_was_tried(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert store.own_number() == OwnNumber("14155550100", "99887766", 7)
    assert store.find_tried([b"t" * 32, b"u" * 32]) == {b"t" * 32: "3EB0AA"}
    assert store.phone_of_lid("5544") == "14155550123"
    assert store.phone_of_lid("1") is None
    assert store.lid_of_phone("14155550123") == "5544"
    assert store.both_of("14155550123@s.whatsapp.net") == store.both_of("5544@lid") == ("14155550123", "5544")
    assert (store.both_of("1@lid"), store.both_of("120363@g.us")) == ((None, "1"), (None, None))
    assert store.secrets_of("3EB0AA") == [("", b"t" * 32)]
    assert store.secrets_of("3EB0BB") == []


def test_a_store_that_was_never_opened_knows_nothing(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "new")
    assert store.own_number() is None
    assert store.find_tried([b"t" * 32]) == {}


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    held = FolderLock(tmp_path)
    with pytest.raises(FolderHeld, match=str(tmp_path)):
        FolderLock(tmp_path, wait_s=0.05)
    held.release()
    FolderLock(tmp_path).release()


@pytest.mark.parametrize(
    ("words", "result", "code"),
    [
        ("server returned error 463", "refused", "wa_463"),
        ("failed to send: server returned error 429", "refused", "wa_429"),
        ("no LID found for 1415@s.whatsapp.net from server", "refused", "no_lid"),
        ("websocket not connected", "not_sent", "not_connected"),
        ("failed to get group members: you're not participating in that group: 403", "refused", "not_in_group"),
        ("failed to get group members: that group does not exist: 404", "refused", "no_such_group"),
        ("timed out waiting for message send response", "unknown", None),
        ("something that no version has said yet", "unknown", None),
    ],
)
def test_the_librarys_words_for_a_failed_send(words: str, result: str, code: str | None) -> None:
    outcome = outcome_of(words)
    assert (outcome.result, outcome.error_code) == (result, code)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("info query returned status 429: rate-overlimit", "rate_limited"),
        ("info query returned status 419: resource-limit", "rate_limited"),
        ("info query returned status 404: item-not-found", "number_refused"),
        ("info query returned status 400: bad-request", "number_refused"),
        ("phone number too short", "number_refused"),
        ("international phone number required (must not start with 0)", "number_refused"),
        ("info query returned status 503: service-unavailable", "unreachable"),
        ("info query timed out", "unreachable"),
        ("websocket not connected", "unreachable"),
        ("", "unreachable"),
    ],
)
def test_the_librarys_words_for_a_pairing_code_that_is_not_given(words: str, code: str) -> None:
    assert code_error_of(words) == code


GOOD = {
    "KEEPLINE_PROJECT": "p",
    "KEEPLINE_CONNECTOR_ID": "connector-1",
    "KEEPLINE_REGION": "local-1",
    "KEEPLINE_DATA_DIR": "data",
    "KEEPLINE_KMS_KEY": "projects/p/locations/eu/keyRings/keepline/cryptoKeys/sessions",
}


@pytest.mark.parametrize(
    ("words", "answer", "too_much"),
    [
        ("info query returned status 429: rate-overlimit", True, True),
        ("info query returned status 500: internal-server-error", True, False),
        ("info query returned unknown error: <error/>", True, False),
        ("missing <list> element in response to blocklist query", True, False),
        ("info query timed out", False, False),
        ("websocket not connected", False, False),
    ],
)
def test_a_refusal_of_a_question_is_an_answer_and_silence_is_none(words: str, answer: bool, too_much: bool) -> None:
    assert (is_answer(words), is_rate_signal(words)) == (answer, too_much)


def test_what_proves_life_is_what_was_decrypted_or_answered() -> None:
    signs = LifeSigns()
    for event in (
        link_events.PairingCode("qr"),
        link_events.Stalled(),
        link_events.CaughtUp(),
        link_events.Disconnected(),
    ):
        signs.heard(event)
    assert signs.newest() is None
    kinds = []
    for event in (link_events.Connected(), *(one for one in EVENTS if isinstance(one, HEARD))):
        signs.heard(event)
        kinds.append((signs.newest() or ("", 0))[0])
    signs.answered()
    newest = signs.newest()
    assert newest is not None
    assert [*kinds, newest[0]] == ["login", "message", "message", "message", "receipt", "answer"]
    assert newest[1] < 1_000


def test_settings_are_read() -> None:
    settings = read_settings({**GOOD, "KEEPLINE_UPSTREAM_PROXY": "http://127.0.0.1:3128"})
    assert settings.connector == "connector-1"
    assert settings.data_dir.is_absolute()
    assert settings.upstream_proxy == Proxy("http", "127.0.0.1", 3128)
    assert read_settings(GOOD).upstream_proxy is None
    assert "secret" not in repr(read_settings({**GOOD, "KEEPLINE_UPSTREAM_PROXY": "socks5://user:secret@host"}))
    assert not read_settings(GOOD).private_proxies
    assert read_settings({**GOOD, "KEEPLINE_PRIVATE_ADDRESSES": "allow"}).private_proxies
    assert (read_settings(GOOD).devices_max, read_settings(GOOD).devices_per_cell_max) == (200, 50)
    assert read_settings(GOOD).recycle == RecycleLimits(device_mb_max=12, age_max_s=86_400)
    few = read_settings({**GOOD, "KEEPLINE_DEVICES_MAX": "40", "KEEPLINE_DEVICES_PER_CELL_MAX": " 10"})
    assert (few.devices_max, few.devices_per_cell_max) == (40, 10)
    assert read_settings(GOOD).restore_policy is RestorePolicy.REFUSE
    assert read_settings({**GOOD, "KEEPLINE_RESTORE_POLICY": "fallback"}).restore_policy is RestorePolicy.FALLBACK


def test_sessions_are_wrapped_by_cloud_kms_or_by_a_file_that_is_there(tmp_path: Path) -> None:
    assert (read_settings(GOOD).kms_key, read_settings(GOOD).key_file) == (GOOD["KEEPLINE_KMS_KEY"], None)
    keys = tmp_path / "keys.json"
    with_file = {**GOOD, "KEEPLINE_KMS_KEY": "", "KEEPLINE_KEY_FILE": str(keys)}
    with pytest.raises(BadSetting, match="key_file create"):
        read_settings(with_file)
    create_key_file(keys)
    assert read_settings(with_file).key_file == keys
    with pytest.raises(BadSetting, match="either"):
        read_settings({**GOOD, "KEEPLINE_KEY_FILE": str(keys)})
    with pytest.raises(BadSetting, match="either"):
        read_settings({**GOOD, "KEEPLINE_KMS_KEY": ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEEPLINE_PROJECT", " "),
        ("KEEPLINE_CONNECTOR_ID", "Bad Name"),
        ("KEEPLINE_REGION", ""),
        ("KEEPLINE_HEALTH_PORT", "70000"),
        ("KEEPLINE_KMS_KEY", "sessions"),
        ("KEEPLINE_RESTORE_POLICY", "hope"),
        ("KEEPLINE_PRIVATE_ADDRESSES", "yes"),
        ("KEEPLINE_UPSTREAM_PROXY", "socks4://x:1"),
        ("KEEPLINE_UPSTREAM_PROXY", "https://user:secret@host:1"),
        ("KEEPLINE_DEVICES_MAX", "0"),
        ("KEEPLINE_DEVICES_MAX", "501"),
        ("KEEPLINE_DEVICES_MAX", "many"),
        ("KEEPLINE_DEVICES_PER_CELL_MAX", "101"),
        ("KEEPLINE_DEVICES_PER_CELL_MAX", "-1"),
        ("KEEPLINE_CELL_DEVICE_MB_MAX", "0"),
        ("KEEPLINE_CELL_AGE_S_MAX", "9"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as refused:
        read_settings({**GOOD, name: value})
    assert name in str(refused.value)
    assert "secret" not in str(refused.value)
