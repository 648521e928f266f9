"""How many sessions there may be: of one user, and of an installation. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from keepline.domain.errors import LimitReached

# The defaults. A user of a few numbers needs no more; an installation of two connectors keeps half of their room free, so that
# one can take what the other held (200 devices each, two devices a session).
SESSIONS_OF_USER_MAX = 5
SESSIONS_MAX = 100


@dataclass(frozen=True)
class PoolLimits:
    """`of_user` holds for each user alone, `of_all` for all of them together."""

    of_user: int = SESSIONS_OF_USER_MAX
    of_all: int = SESSIONS_MAX


DEFAULT_LIMITS = PoolLimits()


def refusal(tenants: Collection[str], tenant: str, limits: PoolLimits) -> LimitReached | None:
    """Why one more session of `tenant` is too many, or None. `tenants` has the owner of each place that is taken.

    A user's own limit is told first: it is the one that the user can do something about.
    """
    own = sum(owner == tenant for owner in tenants)
    if own >= limits.of_user:
        return LimitReached(
            "session_limit_reached",
            f"You have {own} sessions, and {limits.of_user} is the limit for a user.",
            "Delete one that is not needed (its place is free when it is cleared), or ask the operator for more.",
            limit=limits.of_user,
            used=own,
        )
    if len(tenants) >= limits.of_all:
        return LimitReached(
            "installation_full",
            f"This installation has {len(tenants)} sessions, and {limits.of_all} is its limit.",
            "Ask the operator for more room, or try again when sessions have been deleted.",
            limit=limits.of_all,
            used=len(tenants),
        )
    return None
