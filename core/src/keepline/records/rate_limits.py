"""`rate_limits/{tenant}_{class}_{shard}`: what has been used of a limit. `tenants/{tenant}`: what differs for one user.

A document whose `whole_at` is past says no more than none at all, so Firestore may remove it (TTL).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keepline.domain.rate_limits import Limit
from keepline.ports.documents import Create, Document, Update, Version

RATE_LIMITS = "rate_limits"
TENANTS = "tenants"


def limit_path(tenant: str, limit: Limit, shard: int) -> str:
    return f"{RATE_LIMITS}/{tenant}_{limit.name}_{shard}"


def tenant_path(tenant: str) -> str:
    return f"{TENANTS}/{tenant}"


def use(tenant: str, limit: Limit, shard: int, whole_at: datetime, version: Version | None) -> Create | Update:
    """What is used now, if nobody has used anything since `version` (None: if nobody ever has)."""
    path = limit_path(tenant, limit, shard)
    if version is None:
        return Create(path, {"tenant": tenant, "class": limit.name, "whole_at": whole_at})
    return Update(path, {"whole_at": whole_at}, version)


def own_limits(document: Document) -> Mapping[str, Any]:
    """What a tenant's document says of its limits, by class: `count`, `period_s` and `burst`, each of them optional.

    A person writes it, so anything may stand there.
    """
    limits = document.fields.get("limits")
    return limits if isinstance(limits, Mapping) else {}
