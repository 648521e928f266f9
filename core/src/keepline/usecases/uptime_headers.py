"""The headers with which a target by URL is asked: sealed in the store, as webhooks' are, in clear only while it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keepline.records.webhooks import SealedSecrets
from keepline.usecases.webhook_sealing import Contents, WebhookSealer

# In the place of a webhook's tenant: what is watched is the installation's.
_OWNER = "uptime"


@dataclass(frozen=True)
class _SealedHeaders:
    tenant: str
    id: str
    url: str
    secrets: SealedSecrets


class HeaderSealer:
    """Seals what a target's operator gives, bound to the target and its address."""

    def __init__(self, sealer: WebhookSealer) -> None:
        self._sealer = sealer

    async def seal(self, target: str, url: str, headers: Mapping[str, str]) -> SealedSecrets | None:
        """None for no headers. Raises StateConflict (`no_sealing_key`), Unavailable (`key_unavailable`)."""
        if not headers:
            return None
        return await self._sealer.seal(_OWNER, target, url, Contents([], headers))

    async def open(self, target: str, url: str, secrets: SealedSecrets | None) -> Mapping[str, str]:
        """Raises SecretsUnreadable, and Unavailable (`key_unavailable`)."""
        if secrets is None:
            return {}
        return (await self._sealer.open(_SealedHeaders(_OWNER, target, url, secrets))).headers
