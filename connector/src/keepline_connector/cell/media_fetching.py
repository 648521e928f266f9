"""Fetching a heard file from WhatsApp's media server, through the device's own way out, piece by piece into a file.

Not by the library, which holds a whole file in memory whatever its size, and believes the sender about that.
"""

from __future__ import annotations

import http.client
import ssl
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from keepline.domain.content.file_types import DOCUMENT_BYTES_MAX
from keepline_connector.cell.media_crypto import OVERHEAD_BYTES, Damaged, Opening
from keepline_connector.cell.media_keys import FileKey

# Where files are, for every client (whatsmeow asks for hosts and gets this one first).
_HOST = "mmg.whatsapp.net"
_ORIGIN = "https://web.whatsapp.com"
_SILENCE_LIMIT_S = 20.0
_LIMIT_S = 300.0
_PIECE_BYTES = 64 * 1024
# What the kind of a file is called in an address (whatsmeow, download.go `mediaTypeToMMSType`).
_NAMES = {"image": "image", "video": "video", "audio": "audio", "document": "document", "sticker": "image"}
# It was removed, or is refused for good.
_GONE = (403, 404, 410)


def fetch(key: FileKey, proxy: str, target: Path) -> dict[str, Any]:
    """`{size}` of what is in `target`; or `{error_code, final}`, and nothing is there."""
    if key.size > DOCUMENT_BYTES_MAX:
        return {"error_code": "media_too_large", "final": True}
    try:
        with target.open("wb") as file:
            opening = Opening(key.kind, key.key, key.sha256, key.sealed_sha256, file)
            failure = _download(key, proxy, opening)
            if failure is None:
                opening.finish()
    except Damaged:
        failure = {"error_code": "media_damaged", "final": True}
    except (OSError, http.client.HTTPException):
        failure = {"error_code": "media_unreachable", "final": False}
    if failure is not None:
        target.unlink(missing_ok=True)
        return failure
    return {"size": opening.size}


def _download(key: FileKey, proxy: str, opening: Opening) -> dict[str, Any] | None:
    deadline_s = time.monotonic() + _LIMIT_S
    way = urlsplit(proxy)
    connection = http.client.HTTPSConnection(
        way.hostname or "", way.port, timeout=_SILENCE_LIMIT_S, context=ssl.create_default_context()
    )
    connection.set_tunnel(_HOST, 443)
    try:
        token = urlsafe_b64encode(key.sealed_sha256).decode()
        joint = "&" if "?" in key.direct_path else "?"
        path = f"{key.direct_path}{joint}hash={token}&mms-type={_NAMES[key.kind]}&__wa-mms="
        connection.request("GET", path, headers={"Origin": _ORIGIN, "Referer": f"{_ORIGIN}/"})
        response = connection.getresponse()
        if response.status != 200:
            return {
                "error_code": "media_gone" if response.status in _GONE else "media_unreachable",
                "final": response.status in _GONE,
            }
        received = 0
        while piece := response.read1(_PIECE_BYTES):
            received += len(piece)
            if received > DOCUMENT_BYTES_MAX + OVERHEAD_BYTES:
                return {"error_code": "media_too_large", "final": True}
            if time.monotonic() > deadline_s:
                raise TimeoutError
            opening.write(piece)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return None
    finally:
        connection.close()
