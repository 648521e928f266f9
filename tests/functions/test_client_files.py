"""Files through the Python client: however they are named, whole or not at all, and without the key where it has no business."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from keepline.records import media, outbox
from keepline_client import Conflict, KeeplineError, NoAnswer

from .client_support import HALVES, URL, Pauses, Wire, client
from .support import CHAT
from .test_media import PNG, Files

KIB = 1 << 10


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Files]:
    world = Files(tmp_path / "media")
    yield world
    world.loop.stop()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    return Pauses(monkeypatch)


@pytest.fixture
def wire(world: Files) -> Wire:
    return Wire(world)


@pytest.fixture(params=HALVES)
def keepline(request: pytest.FixtureRequest, world: Files, wire: Wire, pauses: Pauses) -> Iterator[Any]:
    with client(request.param, URL, world.anna["X-Api-Key"], wire) as keepline:
        yield keepline


def test_a_file_is_the_same_however_it_is_named(keepline: Any, tmp_path: Path) -> None:
    content = PNG + os.urandom(200 * KIB)
    file = tmp_path / "red.png"
    file.write_bytes(content)
    with file.open("rb") as opened:
        ways = [content, file, str(file), opened]
        kept = [keepline.media.upload(way) for way in ways]
    assert {one["sha256"] for one in kept} == {kept[0]["sha256"]}
    assert [one["file_name"] for one in kept] == ["", "red.png", "red.png", "red.png"]
    assert keepline.media.download(kept[0]["media_id"]) == content
    assert keepline.media.upload(content, file_name="blue.png")["file_name"] == "blue.png"


def test_an_open_file_is_sent_from_where_it_stands(keepline: Any) -> None:
    file = io.BytesIO(b"head" + PNG)
    file.seek(4)
    assert keepline.media.download(keepline.media.upload(file)["media_id"]) == PNG


def test_a_pipe_is_sent_too(keepline: Any, wire: Wire) -> None:
    wire.faults = [httpx.WriteError("cut off")]
    reading, writing = os.pipe()
    os.write(writing, PNG)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        kept = keepline.media.upload(pipe, file_name="red.png")
    assert (kept["size"], kept["file_name"], len(wire.requests)) == (len(PNG), "red.png", 2)


def test_a_file_that_was_opened_as_text_is_refused_before_anything_is_sent(
    keepline: Any, wire: Wire, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("hello")
    with (tmp_path / "text").open() as file, pytest.raises(TypeError, match="rb"):
        keepline.media.upload(file)
    assert wire.requests == []


def test_an_upload_whose_answer_gets_lost_is_sent_again_whole(keepline: Any, wire: Wire, world: Files) -> None:
    wire.answers_to_lose = 1
    kept = keepline.media.upload(PNG)
    assert keepline.media.download(kept["media_id"]) == PNG
    assert len(world.all_in(media.MEDIA)) == 2


def test_the_key_does_not_go_where_a_link_leads(keepline: Any, wire: Wire, world: Files) -> None:
    media_id = keepline.media.upload(PNG)["media_id"]
    elsewhere = {**keepline.media.get(media_id), "url": "https://storage.example/o?signature=1"}
    wire.faults = [httpx.Response(200, json=elsewhere), httpx.Response(200, content=PNG)]
    assert keepline.media.download(media_id) == PNG
    asked, fetched = wire.requests[-2:]
    assert (fetched.url.host, "Authorization" in asked.headers) == ("storage.example", True)
    assert world.anna["X-Api-Key"] not in str(fetched.headers.raw)


def test_a_download_that_breaks_off_is_begun_again(keepline: Any, wire: Wire) -> None:
    class Half(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"x" * (100 * KIB)
            raise httpx.ReadError("cut off")

        async def __aiter__(self) -> Any:
            for piece in self:
                yield piece

    kept = keepline.media.upload(PNG)
    wire.faults = [httpx.Response(200, json=kept), httpx.Response(200, stream=Half()), httpx.ReadTimeout("slow")]
    assert keepline.media.download(kept["media_id"]) == PNG


def test_a_saved_file_is_there_whole_or_as_it_was(keepline: Any, wire: Wire, tmp_path: Path) -> None:
    kept = keepline.media.upload(PNG)
    folder = tmp_path / "saved"
    folder.mkdir()
    place = folder / "red.png"
    place.write_bytes(b"before")
    wire.faults = [httpx.Response(200, json=kept), *[httpx.ReadError("cut off")] * 5]
    with pytest.raises(NoAnswer):
        keepline.media.save(kept["media_id"], place)
    assert (place.read_bytes(), list(folder.iterdir())) == (b"before", [place])
    assert keepline.media.save(kept["media_id"], place)["sha256"] == kept["sha256"]
    assert (place.read_bytes(), list(folder.iterdir())) == (PNG, [place])


def test_a_link_that_has_ended_is_an_error_by_name(keepline: Any, wire: Wire, world: Files) -> None:
    kept = keepline.media.upload(PNG)
    world.clock.advance(901)
    wire.faults = [httpx.Response(200, json=kept)]
    with pytest.raises(KeeplineError, match="link_over"):
        keepline.media.download(kept["media_id"])


def test_a_file_is_uploaded_and_sent_in_one_call(keepline: Any, world: Files, tmp_path: Path) -> None:
    file = tmp_path / "bill.pdf"
    file.write_bytes(b"%PDF-1.7" + b"0" * 100)
    message = keepline.messages.send_document("shop", CHAT, file=file, caption="Yours")
    assert (message["media"]["file_name"], message["text"]) == ("bill.pdf", "Yours")
    assert keepline.media.download(message["media"]["media_id"]) == file.read_bytes()


def test_a_send_of_a_file_whose_answer_gets_lost_is_sent_once(keepline: Any, world: Files, wire: Wire) -> None:
    media_id = keepline.media.upload(PNG)["media_id"]
    wire.answers_to_lose = 2
    keepline.messages.send_image("shop", CHAT, media_id=media_id)
    assert len(world.all_in(outbox.OUTBOX)) == 1


def test_the_same_key_never_sends_a_file_twice(keepline: Any, world: Files) -> None:
    first = keepline.messages.send_image("shop", CHAT, file=PNG, idempotency_key="order-7")
    again = keepline.messages.send_image("shop", CHAT, media_id=first["media"]["media_id"], idempotency_key="order-7")
    assert again["message_id"] == first["message_id"]
    with pytest.raises(Conflict, match="idempotency_mismatch"):
        keepline.messages.send_image("shop", CHAT, file=PNG, idempotency_key="order-7")
    assert len(world.all_in(outbox.OUTBOX)) == 1


@pytest.mark.parametrize("named", [{}, {"url": "https://a.example", "file": b"1"}, {"url": None}])
def test_a_message_has_one_file(keepline: Any, wire: Wire, named: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one file"):
        keepline.messages.send_image("shop", CHAT, **named)
    with pytest.raises(ValueError, match="idempotency_key"):
        keepline.messages.send_image("shop", CHAT, file=PNG, idempotency_key="ä")
    assert wire.requests == []
