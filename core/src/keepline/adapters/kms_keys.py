"""Wrapping by Cloud KMS: the wrapping key never leaves Google's service and rotates there, and its use can be audited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import google_crc32c
from google.api_core import exceptions as google_errors
from google.api_core.retry_async import AsyncRetry, if_exception_type
from google.auth import exceptions as auth_errors
from google.cloud import kms_v1

from keepline.ports.keys import KeyRefused, KeyUnavailable, Unwrapped

_T = TypeVar("_T")

_ATTEMPT_TIMEOUT_S = 5.0
_CALL_TIMEOUT_S = 10.0
# "Discard the response and perform a limited number of retries" (KMS' reference, at every checksum).
_DAMAGED_TRIES_MAX = 3

_RETRY = AsyncRetry(
    predicate=if_exception_type(google_errors.ServiceUnavailable),
    initial=0.1,
    maximum=1.0,
    timeout=_CALL_TIMEOUT_S,
)

# It is wrapped by another key, the key is disabled or destroyed, or we may not use it.
_REFUSALS = (
    google_errors.BadRequest,  # InvalidArgument, FailedPrecondition
    google_errors.NotFound,
    google_errors.Forbidden,
    google_errors.Unauthorized,
)


class KmsKeys:
    """`key_name`: `projects/…/locations/…/keyRings/…/cryptoKeys/…`. Use it in one event loop only.

    A client is made at the first use, unless one is given.
    """

    def __init__(self, key_name: str, client: kms_v1.KeyManagementServiceAsyncClient | None = None) -> None:
        self._key_name = key_name
        self._client = client

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        async def attempt() -> bytes | None:
            response: Any = await self._used_client().encrypt(
                request={
                    "name": self._key_name,
                    "plaintext": key,
                    "plaintext_crc32c": _crc32c(key),
                    "additional_authenticated_data": context,
                    "additional_authenticated_data_crc32c": _crc32c(context),
                },
                retry=_RETRY,
                timeout=_ATTEMPT_TIMEOUT_S,
            )
            whole = (
                response.verified_plaintext_crc32c
                and response.verified_additional_authenticated_data_crc32c
                and response.ciphertext_crc32c == _crc32c(response.ciphertext)
                and response.name.startswith(f"{self._key_name}/")
            )
            return bytes(response.ciphertext) if whole else None

        return await self._undamaged(attempt)

    async def unwrap(self, wrapped: bytes, context: bytes) -> Unwrapped:
        async def attempt() -> Unwrapped | None:
            response: Any = await self._used_client().decrypt(
                request={
                    "name": self._key_name,
                    "ciphertext": wrapped,
                    "ciphertext_crc32c": _crc32c(wrapped),
                    "additional_authenticated_data": context,
                    "additional_authenticated_data_crc32c": _crc32c(context),
                },
                retry=_RETRY,
                timeout=_ATTEMPT_TIMEOUT_S,
            )
            if response.plaintext_crc32c != _crc32c(response.plaintext):
                return None
            return Unwrapped(bytes(response.plaintext), current=bool(response.used_primary))

        return await self._undamaged(attempt)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            close_transport: Any = self._client.transport.close
            await close_transport()

    async def _undamaged(self, attempt: Callable[[], Coroutine[Any, Any, _T | None]]) -> _T:
        with _named_errors(self._key_name):
            for _ in range(_DAMAGED_TRIES_MAX):
                answer = await attempt()
                if answer is not None:
                    return answer
        raise KeyUnavailable("what Cloud KMS got or gave was damaged on the way")

    def _used_client(self) -> kms_v1.KeyManagementServiceAsyncClient:
        if self._client is None:
            self._client = kms_v1.KeyManagementServiceAsyncClient()
        return self._client


def _crc32c(data: bytes) -> int:
    checksum: int = google_crc32c.value(data)
    return checksum


@contextmanager
def _named_errors(key_name: str) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as error:
        raise KeyRefused(f"Cloud KMS refused to use {key_name}: {error.message}") from error
    except (google_errors.GoogleAPICallError, google_errors.RetryError) as error:
        raise KeyUnavailable(f"{type(error).__name__}: {error}") from error
    except auth_errors.TransportError as error:
        raise KeyUnavailable(f"{type(error).__name__}: {error}") from error
    except auth_errors.GoogleAuthError as error:
        raise KeyRefused(f"there are no credentials for Cloud KMS: {error}") from error
