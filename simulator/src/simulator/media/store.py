"""The media server's memory: encrypted blobs by path, and who may upload."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import quote

from simulator.limits import MEDIA_BLOB_BYTES_MAX, MEDIA_STORE_BYTES_MAX

MEDIA_HOST = "mmg.whatsapp.net"
PICTURE_HOST = "pps.whatsapp.net"
# Seconds that a client may use what `media_conn` told it (whatsmeow mediaconn.go asks again after `ttl`).
CONNECTION_TTL_SECONDS = 3_600
AUTH_TTL_SECONDS = 21_600


@dataclass(slots=True)
class Stored:
    """Where an upload can be fetched. `direct_path` has a query, because clients append to it with `&`."""

    path: str
    direct_path: str
    handle: str
    host: str = MEDIA_HOST

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.direct_path}"


@dataclass(slots=True)
class MediaStore:
    """Blobs in memory; the oldest go when there are too many bytes of them, as on WhatsApp after some weeks."""

    bytes_held: int = 0
    _blobs: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _gone: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _secret: bytes = field(default_factory=lambda: os.urandom(32))

    def __len__(self) -> int:
        return len(self._blobs)

    def auth_for(self, number: str) -> str:
        """The token by which an account's devices may upload."""
        return f"{number}.{hmac.digest(self._secret, number.encode(), 'sha256').hex()}"

    def may_upload(self, auth: str) -> bool:
        number = auth.partition(".")[0]
        return hmac.compare_digest(auth.encode(), self.auth_for(number).encode())

    def put(self, blob: bytes, kind: str, host: str = MEDIA_HOST) -> Stored:
        """Keeps a blob; the same bytes are kept once. Raises ValueError if it is too large."""
        if len(blob) > MEDIA_BLOB_BYTES_MAX:
            raise ValueError(f"a file may have at most {MEDIA_BLOB_BYTES_MAX} bytes")
        name = base64.urlsafe_b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        path = f"/v/{quote(kind, safe='-')}/{name}.enc"
        if path not in self._blobs:
            self._blobs[path] = blob
            self._gone.pop(path, None)
            self.bytes_held += len(blob)
            while self.bytes_held > MEDIA_STORE_BYTES_MAX:
                self.remove(next(iter(self._blobs)))
        return Stored(path, f"{path}?ccb=11-4&oe=ffffffff", f"handle-{name[:22]}", host)

    def get(self, path: str) -> bytes | None:
        return self._blobs.get(path.partition("?")[0])

    def was_removed(self, path: str) -> bool:
        return path.partition("?")[0] in self._gone

    def remove(self, path: str) -> bool:
        path = path.partition("?")[0]
        blob = self._blobs.pop(path, None)
        if blob is None:
            return False
        self.bytes_held -= len(blob)
        self._gone[path] = None
        while len(self._gone) > len(self._blobs) + 10_000:
            self._gone.popitem(last=False)
        return True
