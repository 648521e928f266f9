"""Who asks: the owner of an API key or of a sign-in token. Nobody is let in on the strength of a look that failed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from keepline.domain.errors import Forbidden, Unauthenticated
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import api_keys
from keepline.records.api_keys import ApiKey

# How long a credential that was good is taken as good without looking again: revoking bites within this time everywhere.
REMEMBERED_S_MAX = 5.0
REMEMBERED_CALLERS_MAX = 1_000
# How exactly it is known when a key was last used: at most one write for each key in this time.
USE_NOTED_EVERY_S = 3_600.0
# The largest sign-in tokens with custom claims stay below 4 KiB.
_CREDENTIAL_CHARACTERS_MAX = 8_192


@dataclass(frozen=True)
class SignedIn:
    """Who is behind a sign-in token, and whether they operate the installation."""

    tenant: str
    operator: bool


VerifyToken = Callable[[str], SignedIn]
"""Returns who is behind a sign-in token, or raises Unauthenticated or Unavailable. May block."""

VerifyApp = Callable[[str], None]
"""Raises Unauthenticated or Unavailable unless an App Check token is of the installation's own app. May block."""


@dataclass(frozen=True)
class Caller:
    """Somebody we know, and what they may do. `sessions` is None for all of the user's."""

    tenant: str
    scopes: frozenset[str]
    sessions: frozenset[str] | None = None

    def require(self, scope: str) -> None:
        """Raise Forbidden (`missing_scope`) unless the caller has this scope."""
        if scope not in self.scopes:
            raise Forbidden(
                "missing_scope",
                f"This API key does not have the scope '{scope}'.",
                f"Use a key with the scope '{scope}', or have one made.",
            )

    def may_touch(self, session_id: str | None) -> bool:
        """Whether a session is one of those that the caller's key is for; None is a session that has no name yet."""
        return self.sessions is None or session_id in self.sessions

    def require_session(self, session_id: str | None) -> None:
        """Raise Forbidden (`session_not_allowed`) unless the caller may touch this session, whether there is one or not."""
        if not self.may_touch(session_id):
            raise Forbidden(
                "session_not_allowed",
                "This API key is for other sessions only.",
                "Use a key for this session, or for all sessions.",
            )

    def require_all_sessions(self) -> None:
        """Raise Forbidden (`session_not_allowed`) for a key that is for some sessions only: this concerns all of them."""
        if self.sessions is not None:
            raise Forbidden(
                "session_not_allowed",
                "This API key is for some sessions only, and this concerns all of them.",
                "Use a key for all sessions, or sign in.",
            )


class Access:
    """Turns credentials into callers. Lives in one event loop. Without `verify_app` people may sign in from any app."""

    def __init__(
        self, store: DocumentStore, clock: Clock, verify_token: VerifyToken, verify_app: VerifyApp | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._verify_token = verify_token
        self._verify_app = verify_app
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
        await self._note_use(found)
        return self._remember(name, asked_s, Caller(found.tenant, found.scopes, found.sessions))

    async def by_token(self, token: str, app_token: str = "") -> Caller:
        """A person signed in through Firebase: a user's scopes, on what is theirs; an operator's too.

        Raises Unauthenticated (`bad_token`, and `bad_app_check` where the app has to show that it is ours).
        """
        if not _may_be_token(token):
            raise bad_token()
        if self._verify_app is None:
            app_token = ""  # Nobody asks for one.
        elif not _may_be_token(app_token):
            raise bad_app_check()
        name = _name(f"{token} {app_token}")
        if caller := self._recall(name):
            return caller
        asked_s = self._clock.monotonic_s()
        if self._verify_app is not None:
            await asyncio.to_thread(self._verify_app, app_token)
        person = await asyncio.to_thread(self._verify_token, token)
        scopes = api_keys.SCOPES if person.operator else api_keys.USER_SCOPES
        return self._remember(name, asked_s, Caller(person.tenant, frozenset(scopes)))

    async def _note_use(self, key: ApiKey) -> None:
        noted_at = key.last_used_at
        if noted_at is not None and self._clock.now() - noted_at < timedelta(seconds=USE_NOTED_EVERY_S):
            return
        # Another instance notes it, or will; a note is no reason to keep somebody out.
        with contextlib.suppress(StoreConflict, StoreUnavailable):
            await self._store.commit([api_keys.used(key)])

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


def bad_app_check() -> Unauthenticated:
    """The answer to an App Check token that is not good, or is not there."""
    return Unauthenticated(
        "bad_app_check",
        "This installation lets people in from its own app only.",
        "Send the header X-Firebase-AppCheck with the app's token; programs use an API key instead.",
    )


def _may_be_token(text: str) -> bool:
    """Whether this has a token's form, three parts of base64: what has not is refused before anything is fetched for it."""
    return text.count(".") == 2 and len(text) <= _CREDENTIAL_CHARACTERS_MAX and text.isascii()


def _bad_api_key() -> Unauthenticated:
    return Unauthenticated("bad_api_key", "There is no such API key.", "Check the key, or have a new one made.")


def _name(credential: str) -> bytes:
    """What a credential is remembered by: the process need not keep the credential itself."""
    return hashlib.sha256(credential.encode()).digest()
