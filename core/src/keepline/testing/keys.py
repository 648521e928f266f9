"""Wrapping keys in memory, which can be rotated, lost and out of reach."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keepline.ports.keys import KeyRefused, KeyUnavailable, Unwrapped

_NAME_BYTES = 4
_NONCE_BYTES = 12


class MemoryKeys:
    """Deterministic: its nonces are counted, which only a fake may do."""

    def __init__(self) -> None:
        self._keys: dict[bytes, AESGCM] = {}
        self._nonces = 0
        self.available = True
        self.rotate()

    def rotate(self) -> None:
        """A new primary; what earlier ones have wrapped can still be unwrapped."""
        self._primary = len(self._keys).to_bytes(_NAME_BYTES, "big")
        self._keys[self._primary] = AESGCM(self._primary * 8)

    def forget(self) -> None:
        """The wrapping keys so far are gone for good."""
        for name in self._keys:
            self._keys[name] = AESGCM(AESGCM.generate_key(256))

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        self._must_be_available()
        self._nonces += 1
        nonce = self._nonces.to_bytes(_NONCE_BYTES, "big")
        return self._primary + nonce + self._keys[self._primary].encrypt(nonce, key, context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> Unwrapped:
        self._must_be_available()
        name, rest = wrapped[:_NAME_BYTES], wrapped[_NAME_BYTES:]
        cipher = self._keys.get(name)
        try:
            if cipher is None:
                raise InvalidTag
            key = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise KeyRefused("no key in memory unwraps this") from None
        return Unwrapped(key, current=name == self._primary)

    def _must_be_available(self) -> None:
        if not self.available:
            raise KeyUnavailable("in the simulation")
