"""Wrapping: a device's data key, encrypted by a key that never rests beside it. Cloud KMS or a key file does it in production."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class KeyUnavailable(Exception):
    """The keeper of the wrapping keys did not answer, or its answer was damaged on the way. It may pass."""


class KeyRefused(Exception):
    """Not with these wrapping keys, not for this context, or not by us. It will not pass by itself."""


@dataclass(frozen=True)
class Unwrapped:
    """A data key as it was before it was wrapped."""

    key: bytes = field(repr=False)
    current: bool  # wrapped by the primary wrapping key; if not, the wrapping keys were rotated since: wrap it anew


class KeyWrapper(Protocol):
    """`context` says what the key is for; it is not kept in the wrapped key, and unwrapping needs the same again."""

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a data key under the primary wrapping key. Raises KeyUnavailable and KeyRefused."""
        ...

    async def unwrap(self, wrapped: bytes, context: bytes) -> Unwrapped:
        """Decrypt what `wrap` once gave, also under a wrapping key that is no longer the primary. Raises as `wrap` does."""
        ...
