"""The SQLite side of session replication: what is noted, what travels, what is refused. A stand-in writes as the library does."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest

from keepline.ports.session_file import Captured, SessionFileInvalid, SessionFileUnavailable
from keepline_connector.session_file import SqliteSessionFile, capturing, sqlite_file
from keepline_connector.session_file.connections import reading, writing
from tests.whatsmeow_store import KEPT, LID, OUR_JID, PHONE, Store, kept_rows, sessions

BOB, BOB_LID = "14155550199", "623162922612368"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A linked device's store, open as in a cell."""
    opened = Store(tmp_path / "here" / "whatsapp.db")
    opened.link()
    yield opened
    opened.close()


@pytest.fixture
def file(store: Store) -> SqliteSessionFile:
    return SqliteSessionFile(store.path.parent)


async def captured(file: SqliteSessionFile) -> Captured:
    found = await file.capture()
    assert found is not None
    await file.confirm(found.mark)
    return found


def noted(store: Store) -> list[tuple[str, int]]:
    return store.database.execute("SELECT tbl, row FROM keepline_notes ORDER BY seq").fetchall()


async def rebuilt(folder: Path, snapshot: Captured, *changes: Captured, forget: tuple[str, ...] = ()) -> Path:
    await SqliteSessionFile(folder).rebuild(snapshot.data, [change.data for change in changes], forget)
    return folder / "whatsapp.db"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def open_files(path: Path) -> list[str]:
    held = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    return [name for name in held if name.startswith(str(path))]


# What is noted


async def test_every_kept_table_is_noted_and_no_other(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    triggers = store.database.execute("SELECT tbl_name, count(*) FROM sqlite_master WHERE type = 'trigger' GROUP BY 1")
    assert dict(triggers) == {f"whatsmeow_{name}": 3 for name in KEPT}


async def test_a_row_is_noted_when_it_comes_changes_and_goes(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    store.put_session(f"{BOB}:0", b"1")
    store.put_session(f"{BOB}:0", b"2")
    store.write("DELETE FROM whatsmeow_sessions")
    assert noted(store) == [("whatsmeow_sessions", 1)] * 3


async def test_writing_what_is_there_already_is_not_noted(store: Store, file: SqliteSessionFile) -> None:
    store.put_session(f"{BOB}:0", b"1")
    store.put_lid(BOB_LID, BOB)
    store.write("INSERT INTO whatsmeow_pre_keys VALUES (?, 1, zeroblob(32), 1)", OUR_JID)
    await captured(file)
    store.link()
    store.put_session(f"{BOB}:0", b"1")
    store.put_lid(BOB_LID, BOB)
    store.write("UPDATE whatsmeow_pre_keys SET uploaded = true WHERE jid = ? AND key_id <= 812", OUR_JID)
    assert noted(store) == []
    assert await file.capture() is None
    store.link(push_name="Ada L.")
    assert noted(store) == [("whatsmeow_device", 1)]


async def test_what_a_foreign_key_takes_along_is_noted(store: Store, file: SqliteSessionFile, tmp_path: Path) -> None:
    store.put_session(f"{BOB}:0", b"1")
    store.put_app_state("regular", 1)
    store.put_lid(BOB_LID, BOB)
    start = await captured(file)
    store.write("DELETE FROM whatsmeow_app_state_version")
    assert set(noted(store)) == {("whatsmeow_app_state_version", 1), ("whatsmeow_app_state_mutation_macs", 1)}
    store.write("UPDATE whatsmeow_device SET jid = ?", f"{PHONE}:2@s.whatsapp.net")
    store.unlink()
    assert {("whatsmeow_device", 1), ("whatsmeow_sessions", 1)} < set(noted(store))
    store.link()
    change = await captured(file)
    assert kept_rows(await rebuilt(tmp_path / "there", start, change)) == kept_rows(store.path)


async def test_nothing_is_noted_in_a_store_that_is_not_linked(tmp_path: Path) -> None:
    store = Store(tmp_path / "whatsapp.db")
    file = SqliteSessionFile(tmp_path)
    assert await file.capture() is None
    position = await file.position()
    assert position is not None
    assert (position.incarnation, position.mark, position.linked) == ("", 0, False)
    store.link()
    assert (await captured(file)).whole
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE whatsmeow_device ADD COLUMN nonce TEXT NOT NULL DEFAULT 'x'",
        "CREATE TABLE whatsmeow_new (our_jid TEXT)",
        "DROP TRIGGER keepline_whatsmeow_sessions_update",
        "VACUUM",
    ],
)
async def test_a_change_of_the_tables_makes_the_next_capture_whole(
    store: Store, file: SqliteSessionFile, tmp_path: Path, change: str
) -> None:
    first = await captured(file)
    store.put_session(f"{BOB}:0", b"1")
    await captured(file)
    store.database.execute(change)
    store.put_session(f"{BOB}:0", b"2")
    whole = await captured(file)
    assert whole.whole
    assert whole.incarnation == first.incarnation
    store.put_session(f"{BOB}:0", b"3")
    after = await captured(file)
    assert not after.whole
    assert after.mark > whole.mark > first.mark
    path = await rebuilt(tmp_path / "there", whole, after)
    assert kept_rows(path) == kept_rows(store.path)
    # The same, when the whole came as a change: it takes the place of everything before.
    path = await rebuilt(tmp_path / "there", first, whole, after)
    assert kept_rows(path) == kept_rows(store.path)


async def test_a_restart_of_the_library_makes_nothing_whole(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    store.close()
    store.database = Store(store.path).database
    store.link()
    assert await file.capture() is None


async def test_numbers_are_never_used_twice(store: Store, file: SqliteSessionFile) -> None:
    marks = [(await captured(file)).mark]
    for session in (b"1", b"2"):
        store.put_session(f"{BOB}:0", session)
        marks.append((await captured(file)).mark)
        store.write("DELETE FROM keepline_notes")
        position = await file.position()
        assert position is not None
        assert position.mark == marks[-1]
    assert marks == sorted(set(marks))


async def test_many_changes_of_one_row_travel_as_one(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    store.put_session(f"{BOB}:0", b"x" * 1_000)
    once = await captured(file)
    for count in range(2_500):
        store.put_session(f"{BOB}:0", count.to_bytes(2, "big") * 500)
    many = await captured(file)
    assert len(many.data) == len(once.data)


async def test_confirmed_notes_are_dropped_when_there_are_many(
    store: Store, file: SqliteSessionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "NOTES_DROPPED_MIN", 50)
    await captured(file)
    assert noted(store) == [], "the note that stands for everything goes at once"
    longest = 0
    for count in range(200):
        store.put_session(f"{BOB}:0", count.to_bytes(2, "big"))
        await captured(file)
        longest = max(longest, len(noted(store)))
    assert longest == 49


async def test_another_reader_of_the_file_captures_what_is_still_noted_once_more(
    store: Store, file: SqliteSessionFile, tmp_path: Path
) -> None:
    start = await captured(file)
    store.put_session(f"{BOB}:0", b"1")
    change = await captured(file)
    assert await file.capture() is None
    restarted = SqliteSessionFile(store.path.parent)
    again = await captured(restarted)
    assert (again.whole, again.mark) == (False, change.mark)
    assert await restarted.capture() is None
    assert kept_rows(await rebuilt(tmp_path / "there", start, change, again)) == kept_rows(store.path)


async def test_a_mark_of_an_earlier_file_hides_nothing_of_a_new_one(
    store: Store, file: SqliteSessionFile, tmp_path: Path
) -> None:
    await captured(file)
    for n in range(50):
        store.put_session(f"{n}:0", b"1")
    await captured(file)
    snapshot = await file.snapshot()
    assert snapshot is not None
    store.close()
    await file.rebuild(snapshot.data, (), ())
    store.database = Store(store.path).database
    store.put_session("1:0", b"2")
    assert (await captured(file)).mark == 1


@pytest.mark.parametrize(("limit", "value"), [("CHANGED_ROWS_MAX", 20), ("CHANGES_BYTES_MAX", 5_000)])
async def test_too_much_for_one_document_is_captured_whole(
    store: Store, file: SqliteSessionFile, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    await captured(file)
    for n in range(50):
        store.put_session(f"{n}:0", b"x" * 200)
    monkeypatch.setattr(capturing, limit, value)
    assert (await captured(file)).whole
    store.put_session("1:0", b"y")
    assert not (await captured(file)).whole


@contextmanager
def process(program: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program with a store of its own process, killed at the end."""
    pipe = subprocess.PIPE
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=pipe, stdout=pipe, cwd=root) as running:
        try:
            yield running
        finally:
            running.kill()


WRITER = """
import sys
from pathlib import Path
from tests.whatsmeow_store import Store

store = Store(Path(sys.argv[1]))
for n in range(10_000_000):
    store.database.execute("BEGIN")
    store.put_session(f"{n % 7}:0", n.to_bytes(8, "big") * 100)
    store.put_secret(f"3EB0{n}")
    store.write("DELETE FROM whatsmeow_message_secrets WHERE message_id = ?", f"3EB0{n - 20}")
    store.database.execute("COMMIT")
    print(n, flush=True)
"""


async def test_notes_and_rows_share_their_fate_at_a_kill(store: Store, file: SqliteSessionFile, tmp_path: Path) -> None:
    chain = [await captured(file)]
    for round_ in range(4):
        with process(WRITER, store.path) as writer:
            assert writer.stdout is not None
            for _ in range(30 + 25 * round_):
                assert writer.stdout.readline()
                if (change := await file.capture()) is not None:
                    await file.confirm(change.mark)
                    chain.append(change)
        if (change := await file.capture()) is not None:
            await file.confirm(change.mark)
            chain.append(change)
        assert kept_rows(await rebuilt(tmp_path / "there", *chain)) == kept_rows(store.path)
    assert len(chain) > 100


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_library_does_comes_back_row_for_row(
    store: Store, file: SqliteSessionFile, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    chain = [await captured(file)]
    for _ in range(300):
        some = str(dice.randrange(12))
        match dice.randrange(9):
            case 0 | 1:
                store.put_session(f"{some}:0", dice.randbytes(20))
            case 2:
                store.write("DELETE FROM whatsmeow_sessions WHERE their_id = ?", f"{some}:0")
            case 3:
                store.put_secret(some, dice.randbytes(32))
            case 4:
                store.put_lid(some, str(dice.randrange(12)))
            case 5:
                version = store.database.execute("SELECT max(version) FROM whatsmeow_app_state_version").fetchone()[0]
                store.put_app_state(some, (version or 0) + 1)
            case 6:
                store.write("DELETE FROM whatsmeow_app_state_version WHERE name = ?", some)
            case 7:
                store.write("DELETE FROM whatsmeow_message_secrets WHERE message_id = ?", some)
            case 8 if dice.random() < 0.05:
                store.unlink()
                store.link()
        # Some captures never arrive; what they had is captured again with the next.
        if dice.random() < 0.2 and (change := await file.capture()) is not None and dice.random() < 0.7:
            await file.confirm(change.mark)
            chain.append(change)
    if (change := await file.capture()) is not None:
        chain.append(change)
    assert kept_rows(await rebuilt(tmp_path / "there", *chain)) == kept_rows(store.path)


# What travels


async def test_a_rebuilt_file_is_what_the_library_left(store: Store, file: SqliteSessionFile, tmp_path: Path) -> None:
    store.write("ALTER TABLE whatsmeow_device ADD COLUMN companion_meta_nonce TEXT NOT NULL DEFAULT ''")
    store.write("INSERT INTO whatsmeow_contacts VALUES (?, ?, 'Bob')", OUR_JID, f"{BOB}@s.whatsapp.net")
    start = await captured(file)
    path = await rebuilt(tmp_path / "there", start)
    made = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'keepline%' ORDER BY type, name"
    again = Store(path)
    assert again.database.execute(made).fetchall() == store.database.execute(made).fetchall()
    assert kept_rows(path) == kept_rows(store.path)
    assert again.database.execute("SELECT * FROM whatsmeow_version").fetchall() == [(15, 8)]
    assert again.database.execute("SELECT count(*) FROM whatsmeow_contacts").fetchone() == (0,)
    assert again.database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()
    assert names(path.parent) == ["whatsapp.db"]


async def test_values_of_every_type_come_back_as_they_were(
    store: Store, file: SqliteSessionFile, tmp_path: Path
) -> None:
    start = await captured(file)
    values = (None, 0, -(2**63), 2**63 - 1, 1.5, "", "ă€😀\n", "12", OUR_JID, b"", b"\x00\xff", OUR_JID.encode())
    for n, value in enumerate(values):
        store.write(
            "INSERT INTO whatsmeow_privacy_tokens VALUES (?, ?, ?, ?)", OUR_JID, str(n), value or b"", value or 0
        )
        store.write("INSERT INTO whatsmeow_sessions VALUES (?, ?, ?)", OUR_JID, str(n), value)
    # An id from somebody else's client is whatever bytes they sent.
    store.write("INSERT INTO whatsmeow_sessions VALUES (?, CAST(x'ff00fe41' AS TEXT), NULL)", OUR_JID)
    store.link(push_name="\x00\x7f")
    change = await captured(file)
    assert kept_rows(await rebuilt(tmp_path / "there", start, change)) == kept_rows(store.path)


async def test_our_own_address_travels_once(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    for n in range(10):
        store.put_secret(f"3EB0{n}")
    assert (await captured(file)).data.count(OUR_JID.encode()) == 1


# What is forgotten


@pytest.mark.parametrize("chat", [f"{BOB}@s.whatsapp.net", f"{BOB_LID}@lid"])
async def test_a_chats_ratchets_go_under_every_spelling(
    store: Store, file: SqliteSessionFile, tmp_path: Path, chat: str
) -> None:
    store.put_lid(BOB_LID, BOB)
    store.put_lid(LID, PHONE)
    gone = [f"{BOB}:0", f"{BOB}:12", f"{BOB_LID}_1:0", f"{BOB_LID}_1:3", f"{BOB}_128:99", f"{BOB_LID}_129:99"]
    gone += [f"{PHONE}:0", f"{LID}_1:0", f"{LID}_1:2"]
    stay = [f"{BOB}0:0", f"1{BOB}:0", "623162922612369_1:0", f"{BOB[:-1]}:0"]
    for name in gone + stay:
        store.put_session(name, b"x")
    path = await rebuilt(tmp_path / "there", await captured(file), forget=(chat,))
    assert sorted(sessions(path)) == sorted(stay)
    assert sorted(sessions(store.path)) == sorted(gone + stay)


async def test_an_unknown_chat_costs_only_our_own_ratchets(
    store: Store, file: SqliteSessionFile, tmp_path: Path
) -> None:
    for name in (f"{BOB}:0", f"{PHONE}:0", f"{LID}_1:0"):
        store.put_session(name, b"x")
    path = await rebuilt(tmp_path / "there", await captured(file), forget=("14155550777@s.whatsapp.net",))
    assert sorted(sessions(path)) == [f"{BOB}:0"]


async def test_old_secrets_are_dropped_and_that_is_noted(store: Store, file: SqliteSessionFile, tmp_path: Path) -> None:
    for n in range(3):
        store.put_secret(f"before{n}")
    start = await captured(file)
    for n in range(450):
        store.put_secret(f"old{n}")
    store.write("UPDATE keepline_secrets SET noted_at = noted_at - 1000")
    store.put_secret("young")
    grown = await captured(file)
    assert await file.prune(2_000) == 0
    assert await file.capture() is None
    assert await file.prune(900) == 453
    left = store.database.execute("SELECT message_id FROM whatsmeow_message_secrets").fetchall()
    assert left == [("young",)]
    assert store.database.execute("SELECT count(*) FROM keepline_secrets").fetchone() == (1,)
    pruned = await captured(file)
    assert not pruned.whole
    assert kept_rows(await rebuilt(tmp_path / "there", start, grown, pruned)) == kept_rows(store.path)


async def test_a_secret_in_the_place_of_an_older_one_is_young(store: Store, file: SqliteSessionFile) -> None:
    store.put_secret("old")
    await captured(file)
    store.write("UPDATE keepline_secrets SET noted_at = 0")
    store.write("DELETE FROM whatsmeow_message_secrets")
    store.put_secret("new")  # SQLite gives it the same rowid.
    assert await file.prune(900) == 0


async def test_a_note_that_was_left_behind_never_stops_the_library(store: Store, file: SqliteSessionFile) -> None:
    store.put_secret("old")
    await captured(file)
    store.write("DROP TRIGGER keepline_whatsmeow_message_secrets_delete")
    store.write("DELETE FROM whatsmeow_message_secrets")
    store.put_secret("new")  # In the same place.
    assert (await captured(file)).whole


# What is refused


async def test_cut_or_bent_bytes_are_refused_and_leave_no_file(
    store: Store, file: SqliteSessionFile, tmp_path: Path
) -> None:
    store.put_session(f"{BOB}:0", b"x" * 100)
    start = await captured(file)
    store.put_session(f"{BOB}:0", b"y" * 100)
    change = await captured(file)
    folder = tmp_path / "there"
    there = SqliteSessionFile(folder)
    dice = random.Random(4)
    refused = 0
    for round_ in range(400):
        data = [start.data, change.data]
        which = dice.randrange(2)
        bent = bytearray(data[which])
        if round_ % 3:
            bent[dice.randrange(len(bent))] ^= 1 << dice.randrange(8)
        else:
            del bent[dice.randrange(len(bent)) :]
        data[which] = bytes(bent)
        try:
            await there.rebuild(data[0], data[1:], [f"{BOB}@s.whatsapp.net"])
        except SessionFileInvalid:
            refused += 1
            assert names(folder) == []
    assert refused > 200


def packed(*parts: object) -> bytes:
    data = msgpack.packb(list(parts))
    assert isinstance(data, bytes)
    return data


SESSION = ["whatsmeow_sessions", [[1, OUR_JID, "1:0", b"x"]], []]


@pytest.mark.parametrize(
    "tables",
    [
        [["whatsmeow_unheard_of", [[1, "x"]], []]],
        [["keepline_notes", [[1, "x", 1]], []]],
        [["sqlite_master", [], [1]]],
        [["whatsmeow_sessions", [[1, OUR_JID, "1:0"]], []]],
        [["whatsmeow_sessions", [[1, OUR_JID, "1:0", b"x", 1]], []]],
        [["whatsmeow_sessions", [[]], []]],
        [["whatsmeow_sessions", [[True, OUR_JID, "1:0", b"x"]], []]],
        [["whatsmeow_sessions", [[2**64 - 1, OUR_JID, "1:0", b"x"]], []]],
        [["whatsmeow_sessions", [[1, OUR_JID, "1:0", 2**63]], []]],
        [["whatsmeow_sessions", [[1, OUR_JID, "1:0", [1]]], []]],
        [["whatsmeow_sessions", [[1, OUR_JID, "1:0", {"a": 1}]], []]],
        [["whatsmeow_sessions", [[1, OUR_JID, "1:0", msgpack.ExtType(2, b"")]], []]],
        [["whatsmeow_sessions", [], ["1"]]],
        [["whatsmeow_sessions", {}, []]],
        [["whatsmeow_sessions", []]],
        [[b"whatsmeow_sessions", [], []]],
        [["whatsmeow_sessions", [[1, "nobody@s.whatsapp.net", "1:0", b"x"]], []]],
        [["whatsmeow_device", [], [1]]],
        [["whatsmeow_device", [[2, "other", None, None, 7, b"n" * 32, ""]], []]],
        [["whatsmeow_device", [[1, OUR_JID, None, None, 7, b"short", ""]], []]],
        [["whatsmeow_device", [[1, OUR_JID, None, None, None, b"n" * 32, ""]], []]],
        "whatsmeow_sessions",
        None,
    ],
)
async def test_rows_that_do_not_fit_are_refused(
    store: Store, file: SqliteSessionFile, tmp_path: Path, tables: object
) -> None:
    start = await captured(file)
    store.put_session(f"{BOB}:0", b"x")
    _, _, schema, _ = msgpack.unpackb((await captured(file)).data)
    there = SqliteSessionFile(tmp_path / "there")
    await there.rebuild(start.data, [packed(1, OUR_JID, schema, [SESSION])], ())
    with pytest.raises(SessionFileInvalid):
        await there.rebuild(start.data, [packed(1, OUR_JID, schema, tables)], ())
    assert names(tmp_path / "there") == []


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE whatsmeow_device (jid TEXT); DROP TABLE whatsmeow_device"],
        ["PRAGMA writable_schema = ON"],
        ["ATTACH 'x.db' AS x"],
        ["CREATE TRIGGER t AFTER INSERT ON whatsmeow_device BEGIN SELECT 1; END"],
        ["CREATE TABLE"],
        ["CREATE TABLE keepline_notes (a)", "CREATE TABLE whatsmeow_device (jid TEXT)"],
        ["CREATE TABLE \udcff (a)"],
        ["CREATE TABLE x (a)\x00"],
        [1],
        [],
        b"12345678",
        "CREATE TABLE whatsmeow_device (jid TEXT)",
    ],
)
async def test_a_snapshot_of_other_tables_is_refused(tmp_path: Path, statements: object) -> None:
    data = msgpack.packb([1, OUR_JID, statements, []], unicode_errors="surrogateescape")
    with pytest.raises(SessionFileInvalid):
        await SqliteSessionFile(tmp_path).rebuild(data, (), ())
    assert names(tmp_path) == []


async def test_changes_of_other_tables_are_refused(store: Store, file: SqliteSessionFile, tmp_path: Path) -> None:
    start = await captured(file)
    store.write("ALTER TABLE whatsmeow_device ADD COLUMN nonce TEXT")
    await captured(file)
    store.put_session(f"{BOB}:0", b"x")
    change = await captured(file)
    there = SqliteSessionFile(tmp_path / "there")
    with pytest.raises(SessionFileInvalid):
        await there.rebuild(start.data, [change.data], ())
    with pytest.raises(SessionFileInvalid):
        await there.rebuild(change.data, (), ())


async def test_a_full_disk_is_not_the_datas_fault(
    store: Store, file: SqliteSessionFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = await captured(file)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "whatsapp.db").write_bytes(b"what was there")

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("keepline_connector.session_file.rebuilding._write", full)
    with pytest.raises(SessionFileUnavailable):
        await SqliteSessionFile(tmp_path / "there").rebuild(start.data, (), ())
    assert names(tmp_path / "there") == ["whatsapp.db"]


@pytest.mark.parametrize("damage", ["cut", "header", "page", "letters"])
async def test_a_damaged_file_has_no_position(store: Store, file: SqliteSessionFile, damage: str) -> None:
    for n in range(200):
        store.put_session(f"{n}:0", b"x" * 500)
    await captured(file)
    store.close()
    whole = bytearray(store.path.read_bytes())
    match damage:
        case "cut":
            del whole[len(whole) // 2 :]
        case "header":
            whole[:16] = bytes(16)
        case "page":
            for at in range(4096, len(whole), 4096):
                whole[at : at + 64] = b"\xff" * 64
        case "letters":
            whole[:] = b"x" * len(whole)
    store.path.write_bytes(whole)
    assert await file.position() is None


# The file and the machine


async def test_the_log_of_an_old_file_does_not_get_into_the_new_one(
    store: Store, file: SqliteSessionFile, tmp_path: Path
) -> None:
    start = await captured(file)
    for n in range(50):
        store.put_session(f"{n}:0", b"x" * 500)
    # The library was killed: its log is still there, and full.
    there = tmp_path / "there"
    there.mkdir()
    for entry in store.path.parent.iterdir():
        shutil.copy(entry, there / entry.name)
    assert (there / "whatsapp.db-wal").stat().st_size > 0
    (there / "whatsapp.db.new").write_bytes(b"of a rebuild that was killed")
    (there / "whatsapp.db.new-wal").write_bytes(b"of a rebuild that was killed")
    path = await rebuilt(there, start)
    assert sessions(path) == {}
    assert (await SqliteSessionFile(there).position()) is not None


async def test_the_library_writes_on_while_it_is_read(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    store.database.execute("PRAGMA busy_timeout = 0")
    with reading(store.path) as reader:
        reader.execute("SELECT count(*) FROM whatsmeow_device").fetchone()
        store.put_session(f"{BOB}:0", b"x")  # Raises at once if it had to wait.
    store.database.execute("BEGIN IMMEDIATE")
    store.put_session(f"{BOB}:1", b"x")
    change = await file.capture()  # And it is read while it writes.
    store.database.execute("COMMIT")
    assert change is not None
    assert f"{BOB}:0".encode() in change.data
    assert f"{BOB}:1".encode() not in change.data


LIBRARY_WITHOUT_LOCKS = """
import os, sys
from pathlib import Path
from tests.whatsmeow_store import Store

path = Path(sys.argv[1])
store = Store(path)
store.put_session("1:0", b"1")
os.close(os.open(path, os.O_RDONLY))  # What another copy of SQLite in the process does: POSIX drops all its locks.
print("open", flush=True)
sys.stdin.readline()
store.put_session("1:0", b"2")
print("written", flush=True)
sys.stdin.readline()
"""


async def test_a_log_is_never_deleted_under_the_librarys_hands(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    store.close()
    with process(LIBRARY_WITHOUT_LOCKS, store.path) as library:
        assert library.stdout is not None
        assert library.stdin is not None
        assert library.stdout.readline() == b"open\n"
        await captured(file)
        await file.prune(0)
        library.stdin.write(b"\n")
        library.stdin.flush()
        assert library.stdout.readline() == b"written\n"
        # Not through `sessions`: its connection would do what must not be done.
        with reading(store.path) as database:
            assert database.execute("SELECT session FROM whatsmeow_sessions").fetchall() == [(b"2",)]


async def test_no_connection_stays_open(store: Store, file: SqliteSessionFile) -> None:
    await captured(file)
    assert open_files(store.path) != [], "the stand-in's own"
    store.close()
    for _ in range(3):
        await file.capture()
        await file.snapshot()
        await file.confirm(1)
        await file.prune(0)
        await file.position()
    assert open_files(store.path) == []


async def test_a_failed_installation_changes_nothing(
    store: Store, file: SqliteSessionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepline_connector.session_file.notes.SECRETS", "whatsmeow_device")
    monkeypatch.setattr("keepline_connector.session_file.notes._NOW", "no_such_function()")
    with pytest.raises(SessionFileUnavailable):
        await file.capture()
    monkeypatch.undo()
    with writing(store.path) as database:
        assert not database.execute("SELECT 1 FROM sqlite_master WHERE name LIKE 'keepline%'").fetchall()
    assert (await captured(file)).whole
