"""Who asks: the owner of an API key or of a sign-in token. Nobody is let in on the strength of a look that failed."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from keepline.domain.errors import Forbidden, Unauthenticated
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore
from keepline.records import api_keys
from keepline.records.api_keys import ApiKey

# How long a credential that was good is taken as good without looking again: revoking bites within this time everywhere.
REMEMBERED_S_MAX = 5.0
REMEMBERED_CALLERS_MAX = 1_000
# The largest sign-in tokens with custom claims stay below 4 KiB.
_CREDENTIAL_CHARACTERS_MAX = 8_192

VerifyToken = Callable[[str], str]
"""Returns the user id behind a sign-in token, or raises Unauthenticated or Unavailable. May block."""


@dataclass(frozen=True)
class Caller:
    """Somebody we know, and what they may do."""

    tenant: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raise Forbidden (`missing_scope`) unless the caller has this scope."""
        if scope not in self.scopes:
            raise Forbidden(
                "missing_scope",
                f"This API key does not have the scope '{scope}'.",
                f"Use a key with the scope '{scope}', or have one made.",
            )


class Access:
    """Turns credentials into callers. Lives in one event loop."""

    def __init__(self, store: DocumentStore, clock: Clock, verify_token: VerifyToken) -> None:
        self._store = store
        self._clock = clock
        self._verify_token = verify_token
        # Good ones only: bad guesses must not push them out, and a new key must work at once.
        self._remembered: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    async def by_api_key(self, key: str) -> Caller:
        """Raises Unauthenticated (`bad_api_key`)."""
        if not api_keys.has_form(key):
            raise _bad_api_key()
        name = _name(key)
        if caller := self._recall(name):
            return caller
        asked_s = self._clock.monotonic_s()
        document = await self._store.get(api_keys.key_path(key))
        if document is None:
            raise _bad_api_key()
        found = ApiKey.read(document)
        return self._remember(name, asked_s, Caller(found.tenant, found.scopes))

    async def by_token(self, token: str) -> Caller:
        """A person signed in through Firebase: every scope, on what is theirs. Raises Unauthenticated (`bad_token`)."""
        # A token is three parts of base64; what is not is refused before anything is fetched for it.
        if token.count(".") != 2 or len(token) > _CREDENTIAL_CHARACTERS_MAX or not token.isascii():
            raise bad_token()
        name = _name(token)
        if caller := self._recall(name):
            return caller
        asked_s = self._clock.monotonic_s()
        tenant = await asyncio.to_thread(self._verify_token, token)
        return self._remember(name, asked_s, Caller(tenant, frozenset(api_keys.SCOPES)))

    def _recall(self, name: bytes) -> Caller | None:
        found = self._remembered.get(name)
        if found is None or self._clock.monotonic_s() - found[0] > REMEMBERED_S_MAX:
            return None
        return found[1]

    def _remember(self, name: bytes, asked_s: float, caller: Caller) -> Caller:
        self._remembered[name] = (asked_s, caller)
        self._remembered.move_to_end(name)
        while len(self._remembered) > REMEMBERED_CALLERS_MAX:
            self._remembered.popitem(last=False)
        return caller


def bad_token() -> Unauthenticated:
    """The answer to a sign-in token that is not good, or not any more."""
    return Unauthenticated("bad_token", "The sign-in token is not valid.", "Sign in again and use the new ID token.")


def _bad_api_key() -> Unauthenticated:
    return Unauthenticated("bad_api_key", "There is no such API key.", "Check the key, or have a new one made.")


def _name(credential: str) -> bytes:
    """What a credential is remembered by: the process need not keep the credential itself."""
    return hashlib.sha256(credential.encode()).digest()
