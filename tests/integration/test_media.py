"""Files out and in: the API's use case, the real neonize, and the simulator's phones and media server."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import sqlite3
import struct
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image as Pictures

from keepline.adapters.media_folder import MediaFolder
from keepline.adapters.system_clock import SystemClock
from keepline.adapters.url_fetching import HttpFetcher
from keepline.domain.content.bodies import Content, Forward, Quote
from keepline.domain.content.files import Audio, Document, File, Image, Sticker, Video
from keepline.domain.content.references import MessageRef
from keepline.domain.send_options import SendOptions
from keepline.ports.documents import Document as StoredDocument
from keepline.ports.media import Intake
from keepline.records import media
from keepline.usecases.limiting import Limiter
from keepline.usecases.media import MediaDesk, Shelf
from keepline.usecases.messages import Messages
from simulator import acts
from simulator.media import sealing
from simulator.media.sealing import SealedMedia
from tests.integration.conftest import FRIEND, PHONE, TENANT, Gateway
from tests.integration.test_kinds import CAROL, Talk

KEPT = timedelta(days=30)


def picture(kind: str, size: tuple[int, int] = (320, 240)) -> bytes:
    written = io.BytesIO()
    Pictures.new("RGB", size, (200, 30, 30)).save(written, kind)
    return written.getvalue()


def film(seconds: int) -> bytes:
    header = b"\0\0\0\x14ftypmp42\0\0\0\0mp42"
    movie = b"mvhd" + b"\0" * 12 + struct.pack(">II", 1_000, seconds * 1_000) + b"\0" * 80
    return header + struct.pack(">I", 8 + len(movie) + 4) + b"moov" + struct.pack(">I", 4 + len(movie)) + movie


def voice(seconds: int) -> bytes:
    first = b"OggS\0\2" + struct.pack("<q", 0) + b"\0" * 12 + b"\1\x13OpusHead" + b"\0" * 11
    return first + b"OggS\0\4" + struct.pack("<q", seconds * 48_000) + b"\0" * 300


class MediaTalk(Talk):
    """A session whose files are kept in the folder that its connectors have."""

    def __init__(self, gateway: Gateway, account: str) -> None:
        super().__init__(gateway, account)
        self.folder = MediaFolder(gateway.folder / "media")
        clock = SystemClock()
        # The servers of the tests are on loopback, which nobody else may name.
        shelf = Shelf(self.folder, HttpFetcher(may_dial=lambda _: True), None, KEPT)
        limiter = Limiter(gateway.store, clock)
        self.desk = MediaDesk(gateway.store, clock, os.urandom, limiter, shelf)
        self.messages = Messages(gateway.store, clock, os.urandom, limiter, self.desk)

    async def upload(self, data: bytes, name: str = "", declared: str | None = None) -> File:
        intake = Intake(io.BytesIO(), 1 << 30)
        intake.write(data)
        intake.name, intake.declared = name, declared
        kept = await self.desk.take_in(TENANT, intake)
        return File(kept.file.media_id)

    async def shown(self, row: StoredDocument, data: bytes, number: str = FRIEND, **changed: Any) -> dict[str, Any]:
        """A message with this file as a phone shows it, after the phone has fetched and opened the file."""
        wa_message_id = str(row.fields["wa_message_id"])
        shown = await self.on_phone(wa_message_id, number, **changed)
        assert shown["fields"]["media"] == "ok"
        assert await asyncio.to_thread(self.phones.download, number, wa_message_id) == data
        return shown

    async def stored(self, wa_message_id: str, state: str = "stored") -> Any:
        """A heard message once its file has come to this."""

        async def settled() -> Any:
            view = await self.heard(wa_message_id)
            return view if view.media is not None and view.media.state == state else None

        return await self.gateway.until(settled, f"the file of {wa_message_id} to be {state}")

    async def content_of(self, media_id: str) -> bytes:
        written = io.BytesIO()
        await self.folder.fetch(media_id, written)
        return written.getvalue()


@pytest.fixture
async def talk(gateway: Gateway) -> AsyncIterator[MediaTalk]:
    gateway.start()
    gateway.whatsapp.add_phone(FRIEND, "Bea")
    gateway.whatsapp.add_phone(CAROL, "Carol")
    yield MediaTalk(gateway, await gateway.link())


async def test_every_kind_of_file_goes_out(talk: MediaTalk) -> None:
    asked = await talk.heard(talk.phones.send(FRIEND, PHONE, "show me"))
    data = picture("JPEG")
    image = Content(Image(await talk.upload(data), "red"), Quote(MessageRef(asked.message_id)))
    row = await talk.send(image)
    shown = await talk.shown(row, data, kind="image", text="red")
    assert (shown["fields"]["width"], shown["fields"]["height"]) == (320, 240)
    assert shown["fields"]["mimetype"] == "image/jpeg"
    assert shown["fields"]["quote"]["id"] == asked.wa_message_id

    once = await talk.send(Content(Image(await talk.upload(data), view_once=True)))
    assert (await talk.shown(once, data, kind="image"))["fields"]["view_once"] is True

    data = film(7)
    shown = await talk.shown(await talk.send(Content(Video(await talk.upload(data), "moving"))), data, text="moving")
    assert (shown["kind"], shown["fields"]["seconds"]) == ("video", 7)

    data = voice(5)
    shown = await talk.shown(await talk.send(Content(Audio(await talk.upload(data), voice=True))), data)
    assert (shown["kind"], shown["fields"]["seconds"]) == ("voice", 5)
    shown = await talk.shown(await talk.send(Content(Audio(await talk.upload(data)))), data)
    assert shown["kind"] == "audio"

    data = b"%PDF-1.7 and so on"
    document = await talk.send(Content(Document(await talk.upload(data, "bill.pdf"), "for May")))
    shown = await talk.shown(document, data, kind="document", text="for May")
    assert (shown["fields"]["filename"], shown["fields"]["mimetype"]) == ("bill.pdf", "application/pdf")

    data = picture("WEBP", (512, 512))
    shown = await talk.shown(await talk.send(Content(Sticker(await talk.upload(data)))), data)
    assert (shown["kind"], shown["fields"]["width"]) == ("sticker", 512)

    forwarded = await talk.send(Content(Forward(MessageRef(row.id))), CAROL)
    shown = await talk.shown(forwarded, picture("JPEG"), CAROL, text="red")
    assert shown["fields"]["forwarded"] is True


async def test_every_kind_of_file_comes_in(talk: MediaTalk) -> None:
    files = {
        "image": picture("PNG"),
        "video": film(3),
        "audio": b"ID3" + os.urandom(1_000),
        "voice": voice(4),
        "document": os.urandom(100_000),
        "sticker": picture("WEBP"),
    }
    for kind, data in files.items():
        named = {"filename": "data.bin"} if kind == "document" else {}
        wa_message_id = talk.phones.send_file(FRIEND, PHONE, kind, data, **named)
        view = await talk.stored(wa_message_id)
        assert view.kind == ("audio" if kind == "voice" else kind)
        said = view.content["media"]
        assert (said["size"], said["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert view.content.get("voice", False) is (kind == "voice")
        assert await talk.content_of(said["media_id"]) == data
        kept = await talk.gateway.store.get(media.media_path(said["media_id"]))
        assert kept is not None
        assert kept.fields["sha256"] == said["sha256"]
        left = kept.fields["expires_at"] - SystemClock().now()
        assert KEPT - timedelta(minutes=1) < left <= KEPT
    # Nothing is left of them on the connector's disk, and no key of a file.
    places = talk.gateway.folder / "connector-1" / "media"
    assert await asyncio.to_thread(lambda: list(places.iterdir())) == []


async def test_a_file_that_is_gone_says_so_and_its_message_is_there(talk: MediaTalk) -> None:
    talk.gateway.connectors["connector-1"].stop()
    wa_message_id = talk.phones.send_file(FRIEND, PHONE, "image", picture("PNG"), caption="look")
    talk.phones.remove_file(FRIEND, wa_message_id)
    talk.gateway.start()
    view = await talk.stored(wa_message_id, "failed")
    assert (view.text, view.media.error_code) == ("look", "media_gone")


class OneFile(BaseHTTPRequestHandler):
    """A server of one file, which is another one each time that it is asked."""

    served = 0

    def do_GET(self) -> None:
        type(self).served += 1
        data = picture("PNG", (type(self).served, 1))
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


async def test_what_is_sent_is_what_the_address_gave_when_it_was_accepted(talk: MediaTalk) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), OneFile)
    serving = asyncio.create_task(asyncio.to_thread(server.serve_forever, 0.01))
    try:
        content = Content(Image(File(url=f"http://127.0.0.1:{server.server_port}/red.png"), "as it was"))
        accepted = await talk.messages.send(TENANT, "s1", FRIEND, content, "one", SendOptions())
        again = await talk.messages.send(TENANT, "s1", FRIEND, content, "one", SendOptions())
        assert (again.message.message_id, again.replayed) == (accepted.message.message_id, True)
        row = await talk.gateway.until_message(accepted.message.message_id, "sent", "delivered")
        await talk.shown(row, picture("PNG", (1, 1)), text="as it was")
        assert OneFile.served == 1
    finally:
        server.shutdown()
        await serving
        server.server_close()


async def test_a_file_that_is_not_the_accepted_one_or_is_gone_is_not_sent(talk: MediaTalk) -> None:
    async def failed(content: Content) -> str:
        accepted = await talk.messages.send(TENANT, "s1", FRIEND, content, None, SendOptions(send_at=soon))
        await spoil(content)
        row = await talk.gateway.until_message(accepted.message.message_id, "failed")
        return str(row.fields["error_code"])

    async def spoil(content: Content) -> None:
        body = content.body
        assert isinstance(body, Document)
        if body.caption == "changed":
            await talk.folder.put(str(body.file.media_id), io.BytesIO(b"other data"), "text/plain")
        else:
            await talk.folder.delete(str(body.file.media_id))

    soon = SystemClock().now() + timedelta(seconds=1)
    assert await failed(Content(Document(await talk.upload(b"some data."), "changed"))) == "media_changed"
    soon = SystemClock().now() + timedelta(seconds=1)
    assert await failed(Content(Document(await talk.upload(b"some data."), "gone"))) == "media_missing"
    assert talk.gateway.inbox() == []


async def test_a_message_with_a_file_that_is_in_flight_at_a_kill_is_shown_once(talk: MediaTalk) -> None:
    rows = []
    for number in range(8):
        data = picture("PNG", (500 + number, 500))
        accepted = await talk.messages.send(
            TENANT, "s1", FRIEND, Content(Image(await talk.upload(data), f"no. {number}")), None, SendOptions()
        )
        rows.append((accepted.message.message_id, data))
    await talk.gateway.until_inbox(2)
    talk.gateway.kill()
    talk.gateway.start()
    for message_id, data in rows:
        row = await talk.gateway.until_message(message_id, "delivered", "read")
        await talk.shown(row, data)
    assert talk.gateway.inbox() == [f"no. {number}" for number in range(8)]


async def test_a_heard_file_outlives_a_kill_and_a_store_that_is_away(talk: MediaTalk) -> None:
    away = talk.gateway.folder / "media"
    await asyncio.to_thread(away.write_text, "no folder")
    data = picture("PNG")
    wa_message_id = talk.phones.send_file(FRIEND, PHONE, "image", data, caption="look")
    view = await talk.heard(wa_message_id, text="look")
    assert view.media is not None
    assert view.media.state == "pending"
    talk.gateway.kill()
    await asyncio.to_thread(away.unlink)
    talk.gateway.start()
    view = await talk.stored(wa_message_id)
    assert await talk.content_of(view.content["media"]["media_id"]) == data


async def test_a_file_with_another_hash_than_its_message_names_is_damaged(
    talk: MediaTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lying(plain: bytes, kind: str) -> SealedMedia:
        return sealing.seal(plain, kind)._replace(file_sha256=hashlib.sha256(b"something else").digest())

    with monkeypatch.context() as lies:
        lies.setattr(acts, "seal", lying)
        wa_message_id = talk.phones.send_file(FRIEND, PHONE, "document", b"the data", caption="trust me")
    view = await talk.stored(wa_message_id, "failed")
    assert (view.text, view.media.error_code) == ("trust me", "media_damaged")
    assert not (talk.gateway.folder / "media" / "files").exists()


async def test_both_devices_hear_a_file_and_it_is_fetched_once(talk: MediaTalk) -> None:
    await talk.gateway.link_standby(talk.account)
    data = picture("PNG")
    wa_message_id = talk.phones.send_file(FRIEND, PHONE, "image", data)
    view = await talk.stored(wa_message_id)
    assert await talk.content_of(view.content["media"]["media_id"]) == data
    # The standby looks a little later, and then it has nothing left to do.
    keys = talk.gateway.folder / "connector-1" / f"{talk.account}_b" / "media.db"

    async def settled() -> bool:
        def left() -> int:
            with closing(sqlite3.connect(keys)) as database:
                return int(database.execute("SELECT COUNT(*) FROM media").fetchone()[0])

        return await asyncio.to_thread(left) == 0

    await talk.gateway.until(settled, "the standby to forget the key")
    downloads, _ = talk.phones.log(kind="downloaded")
    assert len([entry for entry in downloads if entry["path"].startswith("/v/image/")]) == 1
