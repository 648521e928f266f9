"""What messages rely on of a media store: the folder, and the adapter of Cloud Storage on a server of our own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import google.auth
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from keepline.adapters.cloud_storage import CloudStorage
from keepline.adapters.media_folder import MediaFolder
from keepline.ports.media import MediaMissing, MediaStore, MediaUnavailable
from tests.google_apis.storage import BUCKET, MAIL, StorageServer

MEDIA_ID = "f_" + "a" * 26
# More than what Google's client sends at once.
LARGE = 17 * (1 << 20) + 5


@dataclass
class Kept:
    """A store; what a link gives (None when it is not good), and how to let time pass and to make it fail."""

    store: MediaStore
    open_link: Callable[[str], bytes | None]
    advance: Callable[[float], None]
    break_it: Callable[[], None]


def folder(tmp_path: Path) -> Kept:
    passed = [0.0]
    store = MediaFolder(tmp_path / "media", lambda: time.time() + passed[0])

    def open_link(url: str) -> bytes | None:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        media_id = parts.path.removeprefix("/api/media/").removesuffix("/file")
        if not store.is_good(media_id, int(query["expires"]), query["signature"]):
            return None
        with store.open(media_id) as file:
            return file.read()

    def break_it() -> None:
        (tmp_path / "media").rename(tmp_path / "elsewhere")
        (tmp_path / "media").write_text("no folder")

    return Kept(store, open_link, lambda seconds: passed.__setitem__(0, passed[0] + seconds), break_it)


def cloud(server: StorageServer) -> Kept:
    def open_link(url: str) -> bytes | None:
        response = requests.get(url, timeout=10)
        return response.content if response.status_code == 200 else None

    def advance(seconds: float) -> None:
        server.ahead += timedelta(seconds=seconds)

    store = CloudStorage(BUCKET, "p", server.client)
    return Kept(store, open_link, advance, lambda: setattr(server, "refusal", 403))


@pytest.fixture(params=["folder", "cloud storage"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "folder":
        yield folder(tmp_path)
        return
    server = StorageServer()
    with server.serve():
        yield cloud(server)


async def content(store: MediaStore, media_id: str = MEDIA_ID) -> bytes:
    written = io.BytesIO()
    await store.fetch(media_id, written)
    return written.getvalue()


@pytest.mark.parametrize("size", [1, 1000, LARGE])
async def test_a_file_comes_back_as_it_was_put(kept: Kept, size: int) -> None:
    data = os.urandom(size)
    file = io.BytesIO(data)
    file.seek(size)  # As whoever has written it leaves it.
    await kept.store.put(MEDIA_ID, file, "image/png")
    assert hashlib.sha256(await content(kept.store)).digest() == hashlib.sha256(data).digest()


async def test_what_is_put_again_is_replaced(kept: Kept) -> None:
    await kept.store.put(MEDIA_ID, io.BytesIO(b"before"), "image/png")
    await kept.store.put(MEDIA_ID, io.BytesIO(b"after"), "image/png")
    assert await content(kept.store) == b"after"


async def test_a_deleted_file_is_missing_and_may_be_deleted_again(kept: Kept) -> None:
    with pytest.raises(MediaMissing):
        await content(kept.store)
    await kept.store.put(MEDIA_ID, io.BytesIO(b"data"), "image/png")
    await kept.store.delete(MEDIA_ID)
    with pytest.raises(MediaMissing):
        await content(kept.store)
    await kept.store.delete(MEDIA_ID)


async def test_a_link_gives_its_file_until_it_ends(kept: Kept) -> None:
    await kept.store.put(MEDIA_ID, io.BytesIO(b"data"), "image/png")
    link = await kept.store.link(MEDIA_ID, 60, "image/png", "größe 1.png")
    assert await asyncio.to_thread(kept.open_link, link) == b"data"
    kept.advance(50)
    assert await asyncio.to_thread(kept.open_link, link) == b"data"
    kept.advance(15)
    assert await asyncio.to_thread(kept.open_link, link) is None


async def test_a_link_is_good_for_its_own_file_and_time_only(kept: Kept) -> None:
    other = "f_" + "b" * 26
    for media_id in (MEDIA_ID, other):
        await kept.store.put(media_id, io.BytesIO(b"data"), "image/png")
    link = await kept.store.link(MEDIA_ID, 60, "image/png", "")
    assert await asyncio.to_thread(kept.open_link, link.replace(MEDIA_ID, other)) is None
    query = parse_qs(urlsplit(link).query)
    field = "expires" if "expires" in query else "X-Goog-Expires"
    [ends] = query[field]
    assert await asyncio.to_thread(kept.open_link, link.replace(f"{field}={ends}", f"{field}={int(ends) + 60}")) is None


async def test_a_store_that_fails_says_so(kept: Kept) -> None:
    await kept.store.put(MEDIA_ID, io.BytesIO(b"data"), "image/png")
    kept.break_it()
    with pytest.raises(MediaUnavailable):
        await kept.store.put(MEDIA_ID, io.BytesIO(b"data"), "image/png")
    with pytest.raises(MediaUnavailable):
        await content(kept.store)
    with pytest.raises(MediaUnavailable):
        await kept.store.delete(MEDIA_ID)


async def test_without_a_key_of_its_own_iam_signs_the_links(monkeypatch: pytest.MonkeyPatch) -> None:
    server, asked = StorageServer(), []

    class OfTheMachine:
        """As on Cloud Run: a name and a token, which has to be fetched anew when it is old."""

        valid, token, service_account_email = False, "", "default"

        def refresh(self, request: object) -> None:
            self.valid, self.token, self.service_account_email = True, "fresh", MAIL

    def sign(message: str, token: str, email: str, domain: str) -> str:
        asked.append((token, email))
        signature = server.key.sign(message.encode(), padding.PKCS1v15(), SHA256())
        return base64.b64encode(signature).decode()

    def default(scopes: list[str]) -> tuple[OfTheMachine, str]:
        assert scopes == ["https://www.googleapis.com/auth/iam"]
        return OfTheMachine(), "p"

    monkeypatch.setattr(google.auth, "default", default)
    monkeypatch.setattr("google.cloud.storage._signing._sign_message", sign)
    with server.serve():
        options = {"api_endpoint": server.url}
        store = CloudStorage(BUCKET, "p", lambda _: Client("p", AnonymousCredentials(), client_options=options))
        await store.put(MEDIA_ID, io.BytesIO(b"data"), "image/png")
        link = await store.link(MEDIA_ID, 60, "image/png", "")
        assert (await asyncio.to_thread(requests.get, link, timeout=10)).content == b"data"
    assert asked == [("fresh", MAIL)]


async def test_all_processes_of_a_machine_sign_with_one_key_that_nobody_else_can_read(tmp_path: Path) -> None:
    one, other = MediaFolder(tmp_path), MediaFolder(tmp_path)
    [link, _] = await asyncio.gather(one.link(MEDIA_ID, 60, "", ""), other.link(MEDIA_ID, 60, "", ""))
    query = parse_qs(urlsplit(link).query)
    assert other.is_good(MEDIA_ID, int(query["expires"][0]), query["signature"][0])
    assert stat.S_IMODE((tmp_path / "links.key").stat().st_mode) == 0o600
    assert await asyncio.to_thread(lambda: [path.name for path in tmp_path.iterdir()]) == ["links.key"]
