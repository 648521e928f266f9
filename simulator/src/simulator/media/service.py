"""What answers on `mmg.whatsapp.net` and `pps.whatsapp.net`: uploads, downloads, removals."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import TYPE_CHECKING

from simulator.http11 import Request, RequestReader, response
from simulator.limits import MEDIA_BLOB_BYTES_MAX
from simulator.media.store import MediaStore
from simulator.proxy import Socket

if TYPE_CHECKING:
    from simulator.log import TruthLog

# `/mms/<type>/<sha256 of the blob, base64url>`, with a prefix for some kinds of media (whatsmeow upload.go `rawUpload`).
_UPLOAD = re.compile(r"(?:/[a-z-]+)*/mms/(?P<kind>[a-z-]+)/(?P<token>[A-Za-z0-9_=-]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class MediaConnection:
    """One connection to the media server."""

    def __init__(self, store: MediaStore, log: TruthLog, socket: Socket) -> None:
        self._store = store
        self._log = log
        self._socket = socket
        self._reader = RequestReader(MEDIA_BLOB_BYTES_MAX)

    def received(self, data: bytes) -> None:
        for request in self._reader.feed(data):
            self._socket.write(self._answer(request))
            if not request.keeps_alive():
                self._socket.close()

    def lost(self) -> None:
        """Nothing is kept per connection."""

    def drained(self) -> None:
        """Answers are written whole; nothing waits."""

    def _answer(self, request: Request) -> bytes:
        if request.method == "GET":
            return self._download(request)
        if request.method in ("POST", "PUT"):
            return self._upload(request)
        if request.method == "DELETE":
            return self._remove(request)
        return response(405)

    def _upload(self, request: Request) -> bytes:
        found = _UPLOAD.fullmatch(request.path)
        if found is None:
            return response(404)
        if not self._store.may_upload(request.query.get("auth", "")):
            return response(401)
        if request.query.get("resume"):
            # "How far did my upload come?": nothing is kept of an upload that broke off.
            return response(200, b'{"resume":0}')
        if _sha256_in(found["token"]) != hashlib.sha256(request.body).digest():
            return response(400, b'{"error":"the token is not the sha256 of the body"}')
        stored = self._store.put(request.body, found["kind"])
        self._log.add("uploaded", path=stored.path, bytes=len(request.body), type=found["kind"])
        told = {"url": stored.url, "direct_path": stored.direct_path, "handle": stored.handle}
        return response(200, json.dumps(told).encode())

    def _download(self, request: Request) -> bytes:
        blob = self._store.get(request.path)
        if blob is None:
            return response(410 if self._store.was_removed(request.path) else 404)
        wanted = request.query.get("hash")
        if wanted and _sha256_in(wanted) != hashlib.sha256(blob).digest():
            return response(404)
        self._log.add("downloaded", path=request.path, bytes=len(blob))
        part = _RANGE.fullmatch(request.headers.get("range", ""))
        if part:
            end = int(part[2]) + 1 if part[2] else len(blob)
            return response(206, blob[int(part[1]) : end], "application/octet-stream")
        return response(200, blob, "application/octet-stream")

    def _remove(self, request: Request) -> bytes:
        if not self._store.may_upload(request.query.get("auth", "")):
            return response(401)
        try:
            path = base64.urlsafe_b64decode(request.query.get("d_md", "") + "==").decode()
        except (binascii.Error, UnicodeDecodeError):
            return response(400)
        return response(200 if self._store.remove(path) else 404)


def _sha256_in(token: str) -> bytes:
    """The hash in a base64url text, with or without its padding; empty if it is none."""
    try:
        return base64.urlsafe_b64decode(token.rstrip("=") + "=")
    except (binascii.Error, ValueError):
        return b""
