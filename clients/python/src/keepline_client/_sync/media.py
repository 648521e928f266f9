# Made of _async/media.py by make_sync.py: change that one, then run `make client`.
"""Files: hand them in, look at them, fetch them."""

from __future__ import annotations

import io
import os

from keepline_client._calls import Call, path, query
from keepline_client._files import name_of, to_upload, whole
from keepline_client._sync.transport import Transport
from keepline_client.types import KeptFile, Source


class Media:
    """`keepline.media`. Files are sent and fetched in pieces, so a large one needs no memory."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(self, file: Source, *, file_name: str | None = None, mime_type: str | None = None) -> KeptFile:
        """Hand in a file: bytes, a path, or an open binary file from where it stands. Its own name counts where none is given.

        After a lost answer it is sent again; the copy that nobody knows of is deleted when its time is over.
        """
        name = name_of(file) if file_name is None else file_name
        with to_upload(file, name, mime_type) as upload:
            asked = query(file_name=name or None)
            call = Call("POST", "/api/media", query=asked, upload=upload, is_harmless=True)
            media: KeptFile = self._transport.json(call)
        return media

    def get(self, media_id: str) -> KeptFile:
        """What is known of a file, with a new link to it, good for 15 minutes."""
        media: KeptFile = self._transport.json(Call("GET", path("api", "media", media_id)))
        return media

    def download(self, media_id: str) -> bytes:
        """A file's content, by its link. Of a large file `save` is better."""
        content = io.BytesIO()
        self._transport.fetch((self.get(media_id))["url"], content)
        return content.getvalue()

    def save(self, media_id: str, to: str | os.PathLike[str]) -> KeptFile:
        """Fetch a file to a path, by its link. It is there whole or not at all; what was there is replaced."""
        media = self.get(media_id)
        with whole(to) as file:
            self._transport.fetch(media["url"], file)
        return media
