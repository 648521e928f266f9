"""Letters go to the addresses that are told of alerts. A webhook gets none: a program asks the API."""

from __future__ import annotations

import asyncio

from keepline.ports.documents import DocumentStore
from keepline.ports.telling import Letter, NotTold
from keepline.records import alerts
from keepline.records.alerts import Channel
from keepline.usecases.alert_telling import AlertTeller


class ChannelLetters:
    """Keeps the port Teller. Raises StoreUnavailable as well."""

    def __init__(self, store: DocumentStore, teller: AlertTeller) -> None:
        self._store = store
        self._teller = teller

    async def tell(self, tenant: str | None, letter: Letter) -> bool:
        """One that took it is enough: what fails otherwise is on record with its channel, and may be an alert."""
        documents = await self._store.query(alerts.channels_of(tenant))
        addresses = [channel for channel in map(Channel.read, documents) if channel.webhook is None]
        if not addresses:
            return False
        told = await asyncio.gather(*(self._teller.tell_letter(channel, letter) for channel in addresses))
        errors = [one.error for one in told if one.error is not None]
        if len(errors) == len(told):
            raise NotTold(", ".join(sorted(set(errors))))
        return True
