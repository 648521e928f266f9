"""API keys as their owner sees them: make one (shown once), list them, revoke one."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field

from keepline.domain.errors import Forbidden, LimitReached, NotFound, Unavailable
from keepline.domain.ids import check_session_id, check_tenant
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import api_keys
from keepline.records.api_keys import KEYS_MAX, ApiKey
from keepline.usecases.access import Caller
from keepline.usecases.sessions import Entropy

KEY_ENTROPY_BYTES = 32


@dataclass(frozen=True)
class NewKey:
    """A key that was just made. `key` is told this once and kept nowhere."""

    about: ApiKey
    key: str = field(repr=False)


class ApiKeys:
    """The keys of all tenants. `entropy(n)` gives n random bytes."""

    def __init__(self, store: DocumentStore, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy

    async def make(
        self, caller: Caller, name: str, scopes: Collection[str], sessions: Collection[str] | None
    ) -> NewKey:
        """A key that may do no more than the caller. `sessions` None is for all of them, also those that come later.

        Raises Forbidden (`session_not_allowed`, `scope_not_yours`), InvalidInput (`bad_session_id`) and LimitReached
        (`key_limit_reached`). Keys made at the same moment can pass that limit together.
        """
        caller.require_all_sessions()
        check_tenant(caller.tenant)
        for session_id in sessions or ():
            check_session_id(session_id)
        if more := sorted(set(scopes) - caller.scopes):
            raise Forbidden(
                "scope_not_yours",
                f"A key cannot give what its maker does not have: {', '.join(more)}.",
                "Leave these scopes out, or make the key with one that has them.",
            )
        count = await self._store.count(api_keys.keys_of_tenant(caller.tenant))
        if count >= KEYS_MAX:
            raise _too_many(count)
        key = api_keys.new_key(self._entropy(KEY_ENTROPY_BYTES))
        new = api_keys.add_key(key, tenant=caller.tenant, name=name, scopes=scopes, sessions=sessions)
        # 256 random bits meet nothing but themselves: it is our own commit, whose answer was lost.
        with contextlib.suppress(StoreConflict):
            await self._store.commit([new])
        document = await self._store.get(api_keys.key_path(key))
        if document is None:
            raise Unavailable("busy", "The key was revoked while it was made.", "Make another one.")
        return NewKey(ApiKey.read(document), key)

    async def of_caller(self, caller: Caller) -> list[ApiKey]:
        """All keys of the caller's tenant, oldest first. Raises Forbidden (`session_not_allowed`)."""
        caller.require_all_sessions()
        found = [ApiKey.read(one) for one in await self._store.query(api_keys.keys_of_tenant(caller.tenant))]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Within 5 s the key lets nobody in any more. Raises Forbidden (`session_not_allowed`) and NotFound (`key_not_found`)."""
        found = [key for key in await self.of_caller(caller) if key.id == key_id]
        if not found:
            raise NotFound("key_not_found", "There is no such key.", "List the keys that exist.")
        await self._store.commit([api_keys.revoke(key) for key in found])


def _too_many(count: int) -> LimitReached:
    return LimitReached(
        "key_limit_reached",
        f"You have {count} keys, and {KEYS_MAX} is the limit.",
        "Revoke one that is not needed.",
        limit=KEYS_MAX,
        used=count,
    )
