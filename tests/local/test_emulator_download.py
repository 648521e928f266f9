"""Fetching an emulator: whole and as expected, or not at all."""

import hashlib
import io
import urllib.error
import zipfile
from dataclasses import replace

import pytest

from keepline_local.emulators import FIRESTORE, PUBSUB
from keepline_local.emulators.download import DOWNLOAD_TRIES_MAX, fetch
from keepline_local.errors import LocalError

CONTENT = bytes(range(256)) * 4096


class Server:
    """Answers like a file server that honours ranges; `breaks` are after how many bytes the next answers break off."""

    def __init__(self, content, breaks=(), ranges=True):
        self.content, self.breaks, self.ranges = content, list(breaks), ranges
        self.requests = []

    def __call__(self, request, timeout_s):
        start = 0
        if self.ranges and (asked := request.get_header("Range")):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.requests.append(start)
        body = self.content[start:]
        if self.breaks:
            body = body[: self.breaks.pop(0)]
        response = io.BytesIO(body)
        response.status = 206 if start else 200
        return response


def pinned(emulator, content):
    download = replace(emulator.download, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return replace(emulator, download=download)


def ignore(done, total):
    pass


def test_a_file_is_fetched_with_progress_and_put_in_place(tmp_path):
    seen = []
    jar = fetch(pinned(FIRESTORE, CONTENT), tmp_path, lambda done, total: seen.append((done, total)), Server(CONTENT))
    assert jar.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [jar.name]


def test_a_broken_download_goes_on_where_it_broke_off(tmp_path):
    server = Server(CONTENT, breaks=[1000, 5000])
    assert fetch(pinned(FIRESTORE, CONTENT), tmp_path, ignore, server).read_bytes() == CONTENT
    assert server.requests == [0, 1000, 6000]


def test_a_server_without_ranges_sends_all_of_it_again(tmp_path):
    server = Server(CONTENT, breaks=[1000], ranges=False)
    assert fetch(pinned(FIRESTORE, CONTENT), tmp_path, ignore, server).read_bytes() == CONTENT


def test_another_file_under_the_same_name_is_refused_and_deleted(tmp_path):
    with pytest.raises(LocalError, match="is not the file that Keepline knows"):
        fetch(pinned(FIRESTORE, CONTENT), tmp_path, ignore, Server(CONTENT[::-1]))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_that_does_not_end_is_not_followed(tmp_path):
    done = []
    with pytest.raises(LocalError, match="could not be fetched"):
        fetch(
            pinned(FIRESTORE, CONTENT[:-7]),
            tmp_path,
            lambda got, _: done.append(got),
            Server(CONTENT * 9, ranges=False),
        )
    assert max(done) <= len(CONTENT)


def test_offline_the_error_says_what_else_can_be_done(tmp_path):
    tries = []

    def offline(request, timeout_s):
        tries.append(request.full_url)
        raise urllib.error.URLError("Name or service not known")

    with pytest.raises(LocalError, match="Name or service not known") as caught:
        fetch(FIRESTORE, tmp_path, ignore, offline)
    assert "gcloud components install cloud-firestore-emulator" in caught.value.hint
    assert "firebase setup:emulators:firestore" in caught.value.hint
    assert len(tries) == DOWNLOAD_TRIES_MAX


def test_of_an_archive_only_the_jar_is_taken(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("pubsub-emulator/bin/cloud-pubsub-emulator", "#!/bin/sh")
        zipped.writestr("../pubsub-emulator/lib/cloud-pubsub-emulator-0.8.35-all.jar", b"the jar")
    jar = fetch(pinned(PUBSUB, archive.getvalue()), tmp_path, ignore, Server(archive.getvalue()))
    assert jar == tmp_path / "cloud-pubsub-emulator-0.8.35-all.jar"
    assert jar.read_bytes() == b"the jar"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", jar.name]
