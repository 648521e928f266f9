"""What a user may do and have, and how much of it is left: the limits on uses, and the places for sessions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from keepline.domain.pool_limits import DEFAULT_LIMITS, PoolLimits
from keepline.ports.documents import DocumentStore
from keepline.records import pool
from keepline.records.pool import Places
from keepline.usecases.limiting import LIMITS, Charged, Limiter


@dataclass(frozen=True)
class Allowance:
    """`uses` are the limits on what the user does. Places for sessions: the user's own, and those of the whole installation."""

    uses: tuple[Charged, ...]
    sessions_used: int
    sessions_max: int
    installation_used: int
    installation_max: int


class Allowances:
    """Those of all users. Looking uses nothing."""

    def __init__(self, store: DocumentStore, limiter: Limiter, limits: PoolLimits = DEFAULT_LIMITS) -> None:
        self._store = store
        self._limiter = limiter
        self._pool_limits = limits

    async def look(self, tenant: str) -> Allowance:
        """What the user has now. Raises StoreUnavailable."""
        places, uses = await asyncio.gather(
            self._store.get(pool.PATH),
            asyncio.gather(*(self._limiter.look(tenant, limit) for limit in LIMITS)),
        )
        owners = list(Places.read(places).tenants.values()) if places is not None else []
        return Allowance(
            uses=tuple(uses),
            sessions_used=owners.count(tenant),
            sessions_max=self._pool_limits.of_user,
            installation_used=len(owners),
            installation_max=self._pool_limits.of_all,
        )
