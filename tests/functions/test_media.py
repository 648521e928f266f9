"""Files as programs send, name and fetch them: uploads, addresses, links, limits, and the end of their time."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keepline.adapters.ffmpeg import Ffmpeg
from keepline.adapters.media_folder import MediaFolder
from keepline.domain.errors import InvalidInput
from keepline.domain.link_events import MessageHeard
from keepline.ports.documents import Update
from keepline.ports.media import Intake, MediaUnavailable, VoiceMaker
from keepline.records import heard_media, history, media, outbox
from keepline.records.heard_media import MediaFate, MediaState
from keepline.usecases.media import Shelf
from keepline_functions import media_api

from .framework import serve
from .support import CHAT, NOON, StandingClock, World, error_code

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100
WEBP = b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 100
MP4 = b"\0\0\0\x14ftypmp42" + b"\0" * 100
MP3 = b"ID3\4" + b"\0" * 100
OPUS = b"OggS\0\2" + b"\0" * 20 + b"\1\x13OpusHead" + b"\0" * 50
DOCX = b"PK\3\4" + b"\0" * 100
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MIB = 1 << 20


class Internet:
    """Files by their address, and how often each was fetched."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.fetched: list[str] = []

    @asynccontextmanager
    async def fetch(self, url: str, bytes_max: int) -> AsyncIterator[Intake]:
        self.fetched.append(url)
        if url not in self.files:
            raise InvalidInput("url_not_allowed", "No.", "Elsewhere.")
        intake = Intake(io.BytesIO(), bytes_max)
        content, intake.declared = self.files[url]
        intake.name = url.rpartition("/")[2]
        intake.write(content)
        yield intake


class Files(World):
    """An API that keeps files in a folder for 30 days."""

    def __init__(self, folder: Path, voices: VoiceMaker | None = None) -> None:
        self.internet = Internet()

        def shelf(clock: StandingClock) -> Shelf:
            self.folder = MediaFolder(folder, lambda: clock.now().timestamp())
            return Shelf(self.folder, self.internet, voices, timedelta(days=30))

        super().__init__(shelf)
        self.account = self.add_session(state="connected", code="connected", phone="14155550100")

    def upload(self, data: bytes, mime_type: str = "", name: str = "", **headers: str) -> Any:
        return self.client.post(
            "/api/media",
            data=data,
            query_string={"file_name": name},
            headers=self.anna | {"Content-Type": mime_type or "application/octet-stream"} | headers,
        )

    def uploaded(self, data: bytes, mime_type: str = "", name: str = "") -> str:
        answer = self.upload(data, mime_type, name)
        assert answer.status_code == 201, answer.get_json()
        media_id: str = answer.get_json()["media_id"]
        return media_id

    def send_file(self, kind: str, named: dict[str, Any], headers: dict[str, str] | None = None, **fields: Any) -> Any:
        body = {"session_id": "shop", "to": CHAT, "kind": kind, "media": named} | fields
        return self.client.post("/api/messages/send", json=body, headers=self.anna | (headers or {}))

    def hear_file(self, wa_id: str, kind: str = "image", **said: Any) -> str:
        content = {"media": {"mime_type": "image/png", "size": 3, "sha256": "ab", "file_name": ""}} | said
        heard = MessageHeard(
            1, wa_id, CHAT, "14155550123", None, False, kind, "look", self.clock.now(), content=content
        )
        write = history.heard_message(self.account, "anna", "shop", heard, content)
        self.commit(write)
        return str(write.fields["message_id"])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Files]:
    world = Files(tmp_path)
    yield world
    world.loop.stop()


def test_an_uploaded_file_can_be_looked_at_and_fetched_by_its_link(world: Files) -> None:
    answer = world.upload(PNG, "text/html", "a/b/red.png")
    assert answer.status_code == 201
    shown = answer.get_json()
    assert shown["mime_type"] == "image/png"  # what its bytes say
    assert (shown["size"], shown["sha256"]) == (len(PNG), hashlib.sha256(PNG).hexdigest())
    assert (shown["file_name"], shown["source"]) == ("red.png", "upload")
    assert shown["expires_at"] == "2026-03-31T12:00:00.000Z"
    assert world.get(f"/api/media/{shown['media_id']}").get_json() == shown
    got = world.client.get(shown["url"])
    assert (got.status_code, got.data, got.mimetype) == (200, PNG, "image/png")
    assert got.headers["Content-Disposition"].startswith("attachment;")
    assert got.headers["X-Content-Type-Options"] == "nosniff"


def test_a_form_with_one_file_is_taken_and_no_other(world: Files) -> None:
    def post(**files: Any) -> Any:
        return world.client.post("/api/media", data=files, headers=world.anna, content_type="multipart/form-data")

    answer = post(file=(io.BytesIO(DOCX), "letter.docx", WORD))
    shown = answer.get_json()
    assert (shown["file_name"], shown["mime_type"], shown["size"]) == ("letter.docx", WORD, len(DOCX))
    assert error_code(post(name="nothing")) == "bad_media"
    assert error_code(post(a=(io.BytesIO(b"1"), "a"), b=(io.BytesIO(b"2"), "b"))) == "bad_media"


def test_a_link_ends_and_is_good_for_its_own_file_only(world: Files) -> None:
    shown = world.upload(PNG).get_json()
    other = world.uploaded(JPEG)
    assert world.client.get(shown["url"].replace(shown["media_id"], other)).status_code == 404
    assert world.client.get(f"/api/media/{other}/file").status_code == 404
    assert world.client.get(f"/api/media/{other}/file?expires=99999999999&signature=").status_code == 404
    assert world.client.get(f"/api/media/{other}/file?expires=²&signature=é").status_code == 404
    world.clock.advance(899)
    assert world.client.get(shown["url"]).status_code == 200
    world.clock.advance(2)
    assert error_code(world.client.get(shown["url"])) == "link_over"


def test_a_file_of_another_tenant_is_not_found(world: Files) -> None:
    media_id = world.uploaded(PNG)
    assert error_code(world.get(f"/api/media/{media_id}", world.bert)) == "media_not_found"
    world.add_session("shop", "bert", state="connected", code="connected", phone="14155550101")
    assert error_code(world.send_file("image", {"media_id": media_id}, world.bert)) == "media_not_found"
    assert error_code(world.send_file("image", {"media_id": "../../x"})) == "media_not_found"


def test_an_upload_has_a_limit_whether_its_length_is_told_or_not(world: Files) -> None:
    with_length = world.upload(b"x" * (100 * MIB + 1))
    assert (with_length.status_code, error_code(with_length)) == (413, "media_too_large")
    told = {"CONTENT_LENGTH": str(200 * MIB)}
    beyond = world.client.post("/api/media", data=PNG, headers=world.anna, environ_overrides=told)
    assert (beyond.status_code, error_code(beyond)) == (413, "media_too_large")
    endless = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    untold = world.client.post("/api/media", data=b"x" * (100 * MIB + 1), headers=world.anna, environ_overrides=endless)
    assert (untold.status_code, error_code(untold)) == (413, "media_too_large")
    assert error_code(world.upload(b"")) == "empty_media"
    assert world.all_in(media.MEDIA) == []


def test_an_upload_goes_through_the_framework_whatever_its_size(world: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve("api", world, monkeypatch)
    data = PNG + b"\1" * (12 * MIB)
    answer = client.post("/api/media", data=data, headers=world.anna | {"Content-Type": "image/png"})
    assert answer.status_code == 201, answer.data[:200]
    shown = answer.get_json()
    assert shown["sha256"] == hashlib.sha256(data).hexdigest()
    assert client.get(shown["url"]).data == data


@pytest.mark.parametrize(
    ("kind", "data", "declared", "fields", "shown"),
    [
        ("image", PNG, "", {"caption": "red", "view_once": True}, {"text": "red", "view_once": True}),
        ("image", JPEG, "", {}, {"text": None, "view_once": False}),
        ("video", MP4, "", {"caption": "moving"}, {"text": "moving"}),
        ("audio", MP3, "", {}, {"voice": False}),
        ("audio", OPUS, "", {"voice": True}, {"voice": True}),
        ("document", DOCX, WORD, {"caption": "a letter"}, {"text": "a letter"}),
        ("sticker", WEBP, "", {}, {}),
    ],
)
def test_a_message_with_a_file_is_kept_and_shown_as_it_was_sent(
    world: Files, kind: str, data: bytes, declared: str, fields: dict[str, Any], shown: dict[str, Any]
) -> None:
    media_id = world.uploaded(data, declared, "named.bin")
    answer = world.send_file(kind, {"media_id": media_id}, **fields)
    assert answer.status_code == 202, answer.get_json()
    message = answer.get_json()
    assert message["kind"] == kind
    assert {name: message[name] for name in shown} == shown
    said = message["media"]
    assert (said["media_id"], said["size"], said["sha256"]) == (media_id, len(data), hashlib.sha256(data).hexdigest())
    assert said["file_name"] == "named.bin"
    assert world.get(f"/api/messages/{message['message_id']}").get_json() == message


@pytest.mark.parametrize(
    ("kind", "data", "fields", "status", "code"),
    [
        ("image", MP4, {}, 400, "unsupported_media_kind"),
        ("image", b"<svg onload=alert(1)>", {}, 400, "unsupported_media_kind"),
        ("video", PNG, {}, 400, "unsupported_media_kind"),
        ("audio", MP3, {"voice": True}, 400, "voice_needs_opus"),
        ("sticker", PNG, {}, 400, "unsupported_media_kind"),
        ("sticker", WEBP + b"\0" * 500 * 1024, {}, 413, "media_too_large"),
        ("image", PNG + b"\0" * 16 * MIB, {}, 413, "media_too_large"),
        ("image", PNG, {"caption": "x" * 1_025}, 413, "text_too_long"),
        ("image", PNG, {"voice": True}, 400, "unknown_field"),
        ("image", PNG, {"to": "status@broadcast"}, 400, "not_for_status"),
    ],
)
def test_a_file_that_whatsapp_does_not_take_as_this_kind_is_refused_by_name(
    world: Files, kind: str, data: bytes, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = world.send_file(kind, {"media_id": world.uploaded(data, "image/png")}, **fields)
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert world.all_in(outbox.OUTBOX) == []


@pytest.mark.parametrize(
    "named", [{}, {"url": "https://a.example/x", "media_id": "f_x"}, {"media_id": "f_x", "file_name": "a/b"}]
)
def test_a_file_is_named_in_one_way(world: Files, named: dict[str, str]) -> None:
    assert error_code(world.send_file("image", named)) == "bad_media"


def test_a_file_is_fetched_once_before_its_message_is_accepted(world: Files) -> None:
    url = "https://a.example/red.png"
    world.internet.files[url] = (PNG, "text/html")
    key = {"Idempotency-Key": "one"}
    first = world.send_file("image", {"url": url}, key).get_json()
    assert first["media"]["mime_type"] == "image/png"
    assert world.internet.fetched == [url]
    # What is there by now changes nothing: a repeat is the message that was accepted.
    world.internet.files[url] = (JPEG, "image/jpeg")
    again = world.send_file("image", {"url": url}, key)
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.get_json() == first
    assert error_code(world.send_file("image", {"url": f"{url}?2"}, key)) == "idempotency_mismatch"
    assert world.internet.fetched == [url]
    kept = world.fields(media.media_path(first["media"]["media_id"]))
    assert (kept["source"], kept["sha256"]) == ("url", hashlib.sha256(PNG).hexdigest())


def test_an_address_that_cannot_be_fetched_leaves_nothing_behind(world: Files) -> None:
    assert error_code(world.send_file("image", {"url": "http://127.0.0.1/"})) == "url_not_allowed"
    world.internet.files["https://a.example/m"] = (MP4, "image/png")
    assert error_code(world.send_file("image", {"url": "https://a.example/m"})) == "unsupported_media_kind"
    assert world.all_in(outbox.OUTBOX) == world.all_in(media.MEDIA) == []


def test_without_a_place_for_files_they_are_refused_by_name() -> None:
    world = World()
    world.add_session(state="connected", code="connected")
    body = {"session_id": "shop", "to": CHAT, "kind": "image", "media": {"url": "https://a.example/x"}}
    answer = world.client.post("/api/messages/send", json=body, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (503, "media_not_set_up")
    answer = world.client.post("/api/media", data=PNG, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (503, "media_not_set_up")
    world.loop.stop()


def test_a_store_of_files_that_fails_is_told_and_nothing_is_accepted(
    world: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> None:
        raise MediaUnavailable("in the test")

    monkeypatch.setattr(world.folder, "put", fails)
    answer = world.upload(PNG)
    assert (answer.status_code, error_code(answer)) == (503, "media_unavailable")
    assert "Retry-After" in answer.headers


# Does what it is told as ffmpeg would, for what begins as an MP3 does.
FFMPEG = """#!{python}
import pathlib, sys
told = sys.argv[1:]
assert told[told.index("-f") + 1] == "mp3" and "libopus" in told
given = pathlib.Path(told[told.index("-i") + 1]).read_bytes()
if b"broken" in given:
    sys.exit(1)
while b"endless" in given:
    pass
pathlib.Path(told[-1]).write_bytes({opus!r} + given[-5:])
"""


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Iterator[Files]:
    program = tmp_path / "ffmpeg"
    program.write_text(FFMPEG.format(python=sys.executable, opus=OPUS))
    program.chmod(0o700)
    world = Files(tmp_path, Ffmpeg(str(program), limit_s=2.0))
    yield world
    world.loop.stop()


def test_a_voice_note_is_made_of_another_sound_where_ffmpeg_is(ffmpeg: Files) -> None:
    url = "https://a.example/hello.mp3"
    ffmpeg.internet.files[url] = (MP3 + b"12345", "audio/mpeg")
    for named in ({"url": url}, {"media_id": ffmpeg.uploaded(MP3 + b"12345", name="hello.mp3")}):
        shown = ffmpeg.send_file("audio", named, voice=True).get_json()
        assert (shown["voice"], shown["media"]["mime_type"]) == (True, "audio/ogg; codecs=opus")
        assert (shown["media"]["file_name"], shown["media"]["size"]) == ("hello.ogg", len(OPUS) + 5)
        link = ffmpeg.get(f"/api/media/{shown['media']['media_id']}").get_json()["url"]
        assert ffmpeg.client.get(link).data == OPUS + b"12345"
    # What is no voice note stays as it is.
    assert ffmpeg.send_file("audio", {"url": url}).get_json()["media"]["mime_type"] == "audio/mpeg"
    already = {"media_id": ffmpeg.uploaded(OPUS)}
    assert ffmpeg.send_file("audio", already, voice=True).get_json()["media"]["media_id"] == already["media_id"]


@pytest.mark.parametrize("data", [MP3 + b"broken", MP3 + b"endless", PNG, b"#EXTM3U\nfile:///etc/passwd"])
def test_what_ffmpeg_makes_nothing_of_is_refused_by_name(ffmpeg: Files, data: bytes) -> None:
    answer = ffmpeg.send_file("audio", {"media_id": ffmpeg.uploaded(data)}, voice=True)
    assert (answer.status_code, error_code(answer)) == (400, "voice_needs_opus")
    assert ffmpeg.all_in(outbox.OUTBOX) == []


def test_a_file_is_kept_for_its_time_and_then_forgotten(world: Files) -> None:
    media_id, later = world.uploaded(PNG), world.uploaded(JPEG)
    send_at = NOON + timedelta(days=10)
    scheduled = world.send_file("image", {"media_id": later}, send_at=send_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert scheduled.status_code == 202, scheduled.get_json()
    round_ = world.process.media_round
    assert round_ is not None
    world.clock.advance(30 * 86_400 - 1)
    world.run(round_.make())
    assert world.get(f"/api/media/{media_id}").status_code == 200
    world.clock.advance(2)
    world.run(round_.make())
    assert error_code(world.get(f"/api/media/{media_id}")) == "media_not_found"
    # One that a message needs ten days later stays for as much longer.
    assert world.get(f"/api/media/{later}").status_code == 200
    world.clock.advance(10 * 86_400)
    world.run(round_.make())
    assert error_code(world.get(f"/api/media/{later}")) == "media_not_found"
    assert world.all_in(media.MEDIA) == []


def test_two_messages_that_need_a_file_for_longer_are_both_accepted(world: Files) -> None:
    media_id = world.uploaded(PNG)
    world.clock.advance(86_400)

    async def another() -> None:
        await world.store.others_commit(
            Update(media.media_path(media_id), {"expires_at": NOON + timedelta(days=30, hours=1)})
        )

    world.store.meanwhile.append(another)
    assert world.send_file("image", {"media_id": media_id}).status_code == 202
    assert world.fields(media.media_path(media_id))["expires_at"] == NOON + timedelta(days=31)


def test_a_file_that_cannot_be_removed_now_is_removed_later(world: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    world.uploaded(PNG)
    world.clock.advance(31 * 86_400)
    round_ = world.process.media_round
    assert round_ is not None

    async def fails(*_: Any) -> None:
        raise MediaUnavailable("in the test")

    with monkeypatch.context() as broken:
        broken.setattr(world.folder, "delete", fails)
        world.run(round_.make())
    assert len(world.all_in(media.MEDIA)) == 1
    world.run(round_.make())
    assert world.all_in(media.MEDIA) == []


def test_a_heard_file_is_pending_then_stored_or_failed_with_the_reason(world: Files) -> None:
    message_id = world.hear_file("W1")
    shown = world.get(f"/api/messages/{message_id}").get_json()
    assert (shown["kind"], shown["text"]) == ("image", "look")
    said = {"mime_type": "image/png", "size": 3, "sha256": "ab", "file_name": ""}
    assert shown["media"] == said | {"media_id": None, "state": "pending", "error": None}

    world.commit(heard_media.settled(world.account, CHAT, "W1", MediaFate(MediaState.STORED)))
    world.hear_file("W1")  # The account's other device hears it too, and takes nothing back.
    shown = world.get(f"/api/messages/{message_id}").get_json()
    assert shown["media"]["state"] == "stored"
    assert shown["media"]["media_id"].startswith("f_")

    world.clock.advance(1)
    world.hear_file("W2")
    world.commit(heard_media.settled(world.account, CHAT, "W2", MediaFate(MediaState.FAILED, "media_damaged")))
    [newest] = world.get("/api/messages?session_id=shop&limit=1").get_json()["messages"]
    assert (newest["media"]["state"], newest["media"]["media_id"]) == ("failed", None)
    assert newest["media"]["error"]["code"] == "media_damaged"


def test_a_file_that_nobody_has_fetched_for_days_is_lost(world: Files) -> None:
    message_id = world.hear_file("W1")
    world.clock.advance(3 * 86_400 + 1)
    shown = world.get(f"/api/messages/{message_id}").get_json()
    assert (shown["media"]["state"], shown["media"]["error"]["code"]) == ("failed", "media_lost")


def test_a_heard_file_is_forwarded_once_it_is_stored(world: Files) -> None:
    message_id = world.hear_file("W1")

    def forward() -> Any:
        body = {"session_id": "shop", "to": CHAT, "kind": "forward", "forward": {"message": message_id}}
        return world.client.post("/api/messages/send", json=body, headers=world.anna)

    assert error_code(forward()) == "cannot_forward"
    world.commit(heard_media.settled(world.account, CHAT, "W1", MediaFate(MediaState.STORED)))
    assert error_code(forward()) == "media_not_found"  # Its time is over.
    media_id = world.get(f"/api/messages/{message_id}").get_json()["media"]["media_id"]
    write = media.kept(
        "anna", "shop", media.File(media_id, None, "image/png", 3, "ab", ""), "inbound", NOON + timedelta(days=9)
    )
    world.commit(write)
    shown = forward().get_json()
    assert (shown["kind"], shown["text"], shown["forwarded"]) == ("image", "look", True)
    assert shown["media"]["media_id"] == media_id


def test_uploads_count_and_are_refused_before_they_are_read(world: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    for left in range(29, -1, -1):
        answer = world.upload(PNG)
        assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (201, str(left))
    assert answer.headers["RateLimit-Policy"] == '"files";q=60;w=60;burst=30'
    before = world.store.commits

    def read(intake: Intake) -> None:
        raise AssertionError("it was read")

    with monkeypatch.context() as unread:
        unread.setattr(media_api, "_read_body", read)
        refused = world.upload(PNG)
    assert (refused.status_code, error_code(refused), refused.headers["Retry-After"]) == (429, "rate_limited", "1")
    # One commit: the note that the limit was hit.
    assert (world.store.commits, len(world.all_in(media.MEDIA))) == (before + 1, 30)
    # Messages have a limit of their own: what was uploaded can be sent.
    media_id = answer.get_json()["media_id"]
    sent = world.send_file("image", {"media_id": media_id})
    assert (sent.status_code, sent.headers["X-RateLimit-Remaining"]) == (202, "29")
    world.clock.advance(1)
    assert world.upload(PNG).status_code == 201


def test_addresses_count_too_and_nothing_is_fetched_beyond_the_limit(world: Files) -> None:
    world.set_limit("anna", "files", count=2, burst=2)
    url = "https://a.example/red.png"
    world.internet.files[url] = (PNG, "image/png")
    key = {"Idempotency-Key": "once"}
    assert [world.send_file("image", {"url": url}, key).status_code for _ in range(3)] == [202] * 3
    assert world.send_file("image", {"url": "https://a.example/none"}).status_code == 400
    assert error_code(world.send_file("image", {"url": url})) == "rate_limited"
    assert len(world.internet.fetched) == 2
    assert len(world.all_in(outbox.OUTBOX)) == 1


def test_conversions_count_too(ffmpeg: Files) -> None:
    ffmpeg.set_limit("anna", "files", count=1, burst=1)
    media_id = ffmpeg.uploaded(MP3 + b"12345")
    assert error_code(ffmpeg.send_file("audio", {"media_id": media_id}, voice=True)) == "rate_limited"
    assert ffmpeg.send_file("audio", {"media_id": media_id}).status_code == 202


def test_a_message_with_a_file_counts_as_a_message(world: Files) -> None:
    world.set_limit("anna", "messages", count=1, burst=1)
    media_id = world.uploaded(PNG)
    assert world.send_file("image", {"media_id": media_id}).status_code == 202
    assert error_code(world.send_file("image", {"media_id": media_id})) == "rate_limited"


def test_the_last_file_of_a_limit_whose_answer_was_lost_is_asked_for_again(world: Files) -> None:
    world.set_limit("anna", "files", count=1, burst=1)
    world.store.conflicts_after_applying = 1
    answer = world.upload(PNG)
    assert (answer.status_code, error_code(answer)) == (503, "busy")


def test_a_key_for_one_session_has_the_files_of_that_one_and_uploads(world: Files) -> None:
    world.add_session("other", state="connected", code="connected", phone="14155550199")
    headers = world.add_key("anna", sessions=("other",))
    url = "https://a.example/red.png"
    world.internet.files[url] = (PNG, "image/png")
    of_shop = world.send_file("image", {"url": url}).get_json()["media"]["media_id"]
    of_other = world.send_file("image", {"url": url}, session_id="other").get_json()["media"]["media_id"]
    heard = media.kept("anna", "shop", media.File("f_" + "b" * 26, None, "image/png", 3, "ab", ""), "inbound", NOON)
    world.commit(heard)
    for media_id in (of_shop, "f_" + "b" * 26):
        assert error_code(world.get(f"/api/media/{media_id}", headers)) == "media_not_found"
        refused = world.send_file("image", {"media_id": media_id}, headers, session_id="other")
        assert (refused.status_code, error_code(refused)) == (404, "media_not_found")
    assert world.get(f"/api/media/{of_other}", headers).status_code == 200
    uploaded = world.uploaded(PNG)
    for media_id in (of_other, uploaded):
        assert world.send_file("image", {"media_id": media_id}, headers, session_id="other").status_code == 202
    assert world.get(f"/api/media/{uploaded}", headers).status_code == 200


def test_a_file_that_is_sent_in_another_session_too_is_of_both(world: Files) -> None:
    world.add_session("other", state="connected", code="connected", phone="14155550199")
    headers = world.add_key("anna", sessions=("other",))
    url = "https://a.example/red.png"
    world.internet.files[url] = (PNG, "image/png")
    later = world.send_file("image", {"url": url}, send_at="2026-03-11T12:00:00Z")
    media_id = later.get_json()["media"]["media_id"]
    assert world.get(f"/api/media/{media_id}", headers).status_code == 404
    expires_at = world.fields(media.media_path(media_id))["expires_at"]
    assert expires_at == NOON + timedelta(days=40)
    assert world.send_file("image", {"media_id": media_id}, session_id="other").status_code == 202
    assert world.get(f"/api/media/{media_id}", headers).status_code == 200
    fields = world.fields(media.media_path(media_id))
    assert (fields["sessions"], fields["expires_at"]) == (["other", "shop"], expires_at)


def test_a_repeat_of_a_key_for_one_session_is_answered_although_its_file_is_gone(world: Files) -> None:
    headers = world.add_key("anna", sessions=("shop",)) | {"Idempotency-Key": "once"}
    media_id = world.uploaded(PNG)
    first = world.send_file("image", {"media_id": media_id}, headers).get_json()
    world.clock.advance(31 * 86_400)
    round_ = world.process.media_round
    assert round_ is not None
    world.run(round_.make())
    again = world.send_file("image", {"media_id": media_id}, headers)
    assert (again.status_code, again.get_json()["message_id"]) == (202, first["message_id"])
