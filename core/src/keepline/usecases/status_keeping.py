"""Writing a session's state to Firestore when it changes: the newest state only, tried until it is there.

It goes with whatever has changed in the device's local store: nobody is told "connected" of a link that a lost disk would undo.
"""

from __future__ import annotations

import asyncio
import logging

from keepline.domain.session import SessionStatus
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.records import accounts
from keepline.usecases.session_keeping import SessionKeeper, Step

_STORE_RETRY_S = 1.0

log = logging.getLogger(__name__)


class StatusKeeper:
    """Keeps a device's document at its present status; the first device's status is the account's as well."""

    def __init__(self, store: DocumentStore, session: SessionKeeper, account: str, slot: str) -> None:
        self._store = store
        self._session = session
        self._account = account
        self._slot = slot
        self._status: SessionStatus | None = None
        self._phone: str | None = None
        self._lid: str | None = None
        self._wake = asyncio.Event()

    def show(self, status: SessionStatus) -> None:
        if status != self._status:
            log.info("%s is %s (%s)", self._account, status.state.value, status.code)
            self._status = status
            self._wake.set()

    def show_number(self, phone: str | None, lid: str | None) -> None:
        if (phone, lid) != (self._phone, self._lid):
            self._phone, self._lid = phone or self._phone, lid or self._lid
            self._wake.set()

    async def run(self) -> None:
        """Write until cancelled, or until the session's documents are gone. Raises SessionLost."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._status is None:
                continue
            try:
                await self._write(self._status)
            except StoreUnavailable as error:
                log.warning("the state of %s could not be written, trying again: %s", self._account, error)
                self._wake.set()
                await asyncio.sleep(_STORE_RETRY_S)
            except StoreConflict:
                return

    async def _write(self, status: SessionStatus) -> None:
        writes: list[Write] = []
        if self._slot == accounts.FIRST_SLOT:
            writes.append(accounts.account_status(self._account, status, phone=self._phone, lid=self._lid))

        def device(step: Step | None) -> Write:
            return accounts.device_status(self._account, self._slot, status, step.sequence if step else None)

        if self._session.is_open:
            # Whoever has taken the session meanwhile (this process may have been stopped) tells the state.
            await self._session.check()
            await self._session.commit(writes, acknowledging=device)
        else:
            await self._store.commit([*writes, device(None)])
