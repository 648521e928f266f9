"""The parts of files of messages that are pure or alone: types, durations, sealing, keys on the disk, and their fetching."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest

from keepline.domain.content.durations import seconds_of
from keepline.domain.content.file_types import UNKNOWN, VOICE, sniffed, type_of
from keepline.domain.content.files import plain_name
from keepline.domain.content.waveforms import opus_waveform
from keepline.domain.errors import TooLarge
from keepline.ports.media import Intake
from keepline_connector.cell import media_fetching
from keepline_connector.cell.media_crypto import Damaged, Opening
from keepline_connector.cell.media_keys import KEYS_MAX, FileKey, MediaKeys
from simulator.media.sealing import seal

PNG = b"\x89PNG\r\n\x1a\n"
ZIP = b"PK\x03\x04" + b"\0" * 60
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        (b"\xff\xd8\xff\xe1", "image/jpeg"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"RIFF1234WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        (b"\0\0\0\x18ftyp3gp5", "video/3gpp"),
        (b"\0\0\0\x18ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff\xfb\x90\x44", "audio/mpeg"),
        (b"OggS\0\2" + b"\0" * 22 + b"OpusHead", VOICE),
        (b"OggS\0\2" + b"\0" * 22 + b"\1vorbis", "audio/ogg"),
        (b"<html>", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_a_file_is_what_its_bytes_show(head: bytes, mime_type: str | None) -> None:
    assert sniffed(head) == mime_type
    if mime_type is not None:
        assert type_of(head, "text/html") == mime_type


@pytest.mark.parametrize(
    ("head", "declared", "mime_type"),
    [
        (ZIP, WORD, WORD),
        (ZIP, "image/png", "application/zip"),
        (b"hello", "text/plain; charset=utf-8", "text/plain"),
        (b"hello", "image/png", UNKNOWN),
        (b"hello", "multipart/form-data", UNKNOWN),
        (b"hello", "text/plain\r\nX: y", UNKNOWN),
        (b"hello", None, UNKNOWN),
    ],
)
def test_what_is_said_of_a_file_counts_only_where_its_bytes_show_nothing(
    head: bytes, declared: str | None, mime_type: str
) -> None:
    assert type_of(head, declared) == mime_type


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a/b/c.pdf", "c.pdf"),
        ("..\\..\\x.exe", "x.exe"),
        ("a\r\nb: c", "ab: c"),
        ("..", ".."),
        ("\u202egpj.exe", "gpj.exe"),
        ("x" * 300, "x" * 240),
    ],
)
def test_a_name_of_a_file_has_no_folders_and_nothing_that_cannot_be_seen(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_an_intake_is_bounded_and_hashed_in_whatever_pieces_it_comes() -> None:
    data = os.urandom(1_000)
    for step in (1, 7, 1_000):
        intake = Intake(io.BytesIO(), 1_000)
        for at in range(0, len(data), step):
            intake.write(data[at : at + step])
        assert (intake.size, intake.head) == (1_000, data[:64])
        assert intake.sha256 == hashlib.sha256(data).hexdigest()
    with pytest.raises(TooLarge):
        intake.write(b"x")


def test_a_film_and_a_voice_note_say_how_long_they_last() -> None:
    short = b"\0\0\0\x6cmvhd\0" + b"\0" * 11 + struct.pack(">II", 600, 4_260)
    long = b"\0\0\0\x78mvhd\1" + b"\0" * 19 + struct.pack(">IQ", 600, 4_260)
    for movie in (short, long):
        assert seconds_of("video/mp4", b"\0\0\0\x14ftypmp42" + movie) == 7
    page = b"OggS\0\4" + struct.pack("<q", 48_000 * 3) + b"\0" * 20
    assert seconds_of(VOICE, page) == 3
    assert seconds_of(VOICE, b"OggS\0\4" + struct.pack("<q", 400) + b"\0" * 20) == 1
    for mime_type, data in (("video/mp4", b"mvhd"), ("video/mp4", b"x"), (VOICE, b"OggS"), ("audio/mpeg", page)):
        assert seconds_of(mime_type, data) is None


def ogg(*packets: bytes) -> bytes:
    """Packets in pages of up to 255 segments, each packet in one page."""
    pages = b""
    for packet in packets:
        table = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        pages += b"OggS\0\0" + bytes(20) + bytes([len(table)]) + table + packet
    return pages


def test_a_voice_note_is_drawn_loud_where_there_is_much_to_hear() -> None:
    head, tags = b"OpusHead" + bytes(11), b"OpusTags" + bytes(600)
    quiet, loud = bytes(40), bytes(400)
    drawn = opus_waveform(ogg(head, tags, *[quiet] * 100, *[loud] * 100))
    assert drawn is not None
    assert drawn == bytes(32) + bytes([100]) * 32
    for flat in (ogg(head, tags, *[quiet] * 200), ogg(head, tags, *[loud] * 10), b"", b"OggS", ogg(head)[:-5], PNG):
        assert opus_waveform(flat) is None


def opened(kind: str, sealed: Any, blob: bytes, step: int = 1 << 20, **other: bytes) -> bytes:
    target = io.BytesIO()
    named = {"key": sealed.key, "sha256": sealed.file_sha256, "sealed_sha256": sealed.blob_sha256} | other
    opening = Opening(kind, **named, target=target)
    for at in range(0, len(blob), step):
        opening.write(blob[at : at + step])
    opening.finish()
    assert opening.size == len(target.getvalue())
    return target.getvalue()


@pytest.mark.parametrize("kind", ["image", "video", "audio", "document", "sticker"])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 4_096])
def test_a_sealed_file_is_opened_in_whatever_pieces_it_comes(kind: str, size: int) -> None:
    data = os.urandom(size)
    sealed = seal(data, kind)
    for step in (1, 3, 16, 1 << 20):
        assert opened(kind, sealed, sealed.blob, step) == data


def test_a_sealed_file_that_is_not_what_its_message_names_is_refused() -> None:
    sealed, other = seal(b"data" * 100, "image"), seal(b"data" * 100, "image")
    flipped = bytes([sealed.blob[0] ^ 1]) + sealed.blob[1:]
    unsigned = sealed.blob[:-1] + bytes([sealed.blob[-1] ^ 1])
    wrong: list[tuple[bytes, dict[str, bytes]]] = [
        (sealed.blob, {"sealed_sha256": bytes(32)}),
        (unsigned, {"sealed_sha256": hashlib.sha256(unsigned).digest()}),
        (flipped, {}),
        (flipped, {"sealed_sha256": hashlib.sha256(flipped).digest()}),
        (sealed.blob, {"key": other.key}),
        (sealed.blob, {"sha256": bytes(32)}),
        (sealed.blob, {"sha256": b""}),
        (other.blob, {}),
        (sealed.blob[:-1], {}),
        (b"", {}),
        (b"", {"sealed_sha256": hashlib.sha256(b"").digest()}),
    ]
    for blob, named in wrong:
        with pytest.raises(Damaged):
            opened("image", sealed, blob, **named)
    with pytest.raises(Damaged):
        opened("video", sealed, sealed.blob)


KEY = FileKey("image", "/v/x?a=b", b"k" * 32, b"s" * 32, b"e" * 32, 5)


def test_keys_of_files_outlive_their_process_and_go_when_they_are_settled(tmp_path: Path) -> None:
    keys = MediaKeys(tmp_path / "media.db")
    keys.note("chat", "W1", KEY, {"n": 1})
    keys.note("chat", "W2", KEY, {"n": 2})
    keys.note("chat", "W2", KEY, {"n": 3})  # Delivered once more.
    keys.close()
    keys = MediaKeys(tmp_path / "media.db")
    assert keys.waiting() == [{"n": 1}, {"n": 3}]
    assert keys.find("chat", "W1") == KEY
    assert "kkkk" not in repr(keys.find("chat", "W1"))
    keys.forget("chat", "W1")
    keys.forget("chat", "W2")
    assert keys.find("chat", "W1") is None
    keys.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.to_json().encode()[10:60] not in left


def test_keys_of_files_are_bounded_and_the_oldest_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepline_connector.cell.media_keys.KEYS_MAX", 3)
    keys = MediaKeys(tmp_path / "media.db")
    for number in range(5):
        keys.note("chat", f"W{number}", KEY, {"n": number})
    assert keys.waiting() == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert KEYS_MAX > 1_000
    keys.close()
    with sqlite3.connect(tmp_path / "media.db") as database:
        assert database.execute("SELECT COUNT(*) FROM media").fetchone() == (3,)


def test_a_file_that_is_said_to_be_too_large_is_not_asked_for(tmp_path: Path) -> None:
    huge = FileKey("document", "/v/x", b"k" * 32, b"s" * 32, b"e" * 32, 100 * (1 << 20) + 1)
    answer = media_fetching.fetch(huge, "http://127.0.0.1:9", tmp_path / "file")
    assert answer == {"error_code": "media_too_large", "final": True}


def test_a_way_out_that_is_closed_is_tried_again_later_and_leaves_nothing(tmp_path: Path) -> None:
    answer = media_fetching.fetch(KEY, "http://127.0.0.1:9", tmp_path / "file")
    assert answer == {"error_code": "media_unreachable", "final": False}
    assert list(tmp_path.iterdir()) == []
