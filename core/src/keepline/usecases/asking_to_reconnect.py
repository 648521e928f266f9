"""A person or a program wants a session to connect now, instead of when its next try is due."""

from __future__ import annotations

from keepline.domain.errors import StateConflict
from keepline.domain.session import SessionState
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import accounts
from keepline.records.accounts import Device
from keepline.usecases.limiting import RECONNECTS, Charged, Limiter
from keepline.usecases.sessions import TRIES_MAX, busy, own_account


class ReconnectRequests:
    """Of all tenants. It is noted in the devices' documents, which their connectors listen to."""

    def __init__(self, store: DocumentStore, limiter: Limiter) -> None:
        self._store = store
        self._limiter = limiter

    async def ask(self, tenant: str, session_id: str) -> Charged:
        """Have every linked device of a session that is not connected try at once. Returns what is left of the user's limit.

        Raises NotFound (`session_not_found`), StateConflict (`not_linked_yet`, `cannot_reconnect`), TooMany (`rate_limited`) and
        Unavailable (`busy`).
        """
        for _ in range(TRIES_MAX):
            account = await own_account(self._store, tenant, session_id)
            documents = await self._store.query(accounts.devices_of_account(account.id))
            linked = [device for device in map(Device.read, documents) if device.wanted and device.linked]
            if not linked:
                raise StateConflict(
                    "not_linked_yet", "No phone has linked this session yet.", "Ask for its QR code, or a pairing code."
                )
            able = [device for device in linked if device.state is not SessionState.LOGGED_OUT]
            if not able:
                reason = linked[0].status.reason
                raise StateConflict("cannot_reconnect", reason.sentence, reason.next_step)
            try:
                _, charged = await self._limiter.commit(
                    tenant, RECONNECTS, [accounts.ask_to_reconnect(device) for device in able]
                )
            except StoreConflict:
                continue  # Its connector wrote a state in between.
            return charged
        raise busy()
