"""Files of messages in a bucket of Cloud Storage. Links are Google's own (V4 signatures).

The client is synchronous and safe to use from several threads, so each call has a thread of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

import google.auth
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.credentials import Signing
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.cloud.storage import Blob, Client
from requests.exceptions import RequestException

from keepline.ports.media import MediaMissing, MediaUnavailable

# Google's client moves large files in pieces of this size, and asks for checksums of each.
_PIECE_BYTES = 8 << 20
# Connecting, and the longest pause between two bytes; the client tries again after that for two minutes at most.
_TIMEOUT_S = (5.0, 20.0)
_IAM_SCOPE = "https://www.googleapis.com/auth/iam"

_T = TypeVar("_T")


class CloudStorage:
    """The files in a bucket, each an object under `media/`. `client` is made when it is first needed: it takes a while."""

    def __init__(self, bucket: str, project: str, make_client: Callable[[str], Client] | None = None) -> None:
        self._bucket_name = bucket
        self._project = project
        self._make_client = make_client or (lambda project: Client(project=project))
        self._client: Client | None = None
        self._signing: Any = None  # credentials for IAM, where it signs

    async def put(self, media_id: str, file: BinaryIO, mime_type: str) -> None:
        def upload() -> None:
            blob = self._blob(media_id)
            blob.chunk_size = _PIECE_BYTES
            size = file.seek(0, os.SEEK_END)  # Told, a small file goes in one request.
            blob.upload_from_file(
                file, rewind=True, size=size, content_type=mime_type, timeout=_TIMEOUT_S, checksum="crc32c"
            )

        await _in_thread(upload)

    async def fetch(self, media_id: str, target: BinaryIO) -> None:
        await _in_thread(lambda: self._blob(media_id).download_to_file(target, timeout=_TIMEOUT_S, checksum="crc32c"))

    async def link(self, media_id: str, good_for_s: int, mime_type: str, file_name: str) -> str:
        def sign() -> str:
            shown = f"attachment; filename*=UTF-8''{quote(file_name or media_id, safe='')}"
            return str(
                self._blob(media_id).generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=good_for_s),
                    response_type=mime_type,
                    response_disposition=shown,
                    **self._signer(),
                )
            )

        return await _in_thread(sign)

    async def delete(self, media_id: str) -> None:
        def remove() -> None:
            try:
                self._blob(media_id).delete(timeout=_TIMEOUT_S)
            except NotFound:
                return

        await _in_thread(remove)

    def _signer(self) -> dict[str, Any]:
        """Who signs a link: the credentials themselves, or IAM for them where they have no private key (Cloud Run)."""
        if isinstance(self._storage()._credentials, Signing):
            return {}
        if self._signing is None:
            # The client's own are for storage alone, and IAM takes no such token.
            self._signing, _ = google.auth.default(scopes=[_IAM_SCOPE])
        if not self._signing.valid:
            self._signing.refresh(Request())
        return {"service_account_email": self._signing.service_account_email, "access_token": self._signing.token}

    def _blob(self, media_id: str) -> Blob:
        return self._storage().bucket(self._bucket_name).blob(f"media/{media_id}")

    def _storage(self) -> Client:
        if self._client is None:
            self._client = self._make_client(self._project)
        return self._client


async def _in_thread(work: Callable[[], _T]) -> _T:
    try:
        return await asyncio.to_thread(work)
    except NotFound as error:
        raise MediaMissing(str(error)) from error
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise MediaUnavailable(f"Cloud Storage did not do it: {type(error).__name__}") from error
