"""Writing a session's state to Firestore when it changes: the newest state only, tried until it is there.

It goes with whatever has changed in the device's local store: nobody is told "connected" of a link that a lost disk would undo.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from keepline.domain.events import EventKind, is_restore_failure
from keepline.domain.reconnect import Breaker
from keepline.domain.session import SessionStatus
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.records import accounts, monitoring
from keepline.records.accounts import LinkLife
from keepline.usecases.session_keeping import SessionKeeper, Step

_STORE_RETRY_S = 1.0
PHONE_NOTED_EVERY = timedelta(hours=6)

# What was heard last, and when in monotonic seconds.
Newest = Callable[[], tuple[str, float] | None]

log = logging.getLogger(__name__)


class StatusKeeper:
    """Keeps a device's document at its present status; the first device's status is the account's as well.

    What was heard last (`newest`) is written along; it makes no write of its own, for the heartbeat tells it anyway.
    """

    def __init__(
        self, store: DocumentStore, clock: Clock, session: SessionKeeper, account: str, slot: str, newest: Newest
    ) -> None:
        self._store = store
        self._clock = clock
        self._session = session
        self._newest = newest
        self._account = account
        self._slot = slot
        self._status: SessionStatus | None = None
        self._phone: str | None = None
        self._lid: str | None = None
        self._phone_seen_at: datetime | None = None
        self._tries = (0, Breaker.CLOSED)
        # As it is written.
        self._of_account: tuple[SessionStatus, str | None, str | None, datetime | None] | None = None
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

    def show_phone(self, at: datetime) -> None:
        """The account's own phone was alive at this time. Days are what counts: it is written down a few times a day."""
        if self._phone_seen_at is None or at - self._phone_seen_at >= PHONE_NOTED_EVERY:
            self._phone_seen_at = at
            self._wake.set()

    def show_tries(self, failures: int, breaker: Breaker) -> None:
        """How often in a row it could not connect, and what follows from that."""
        if (failures, breaker) != self._tries:
            self._tries = (failures, breaker)
            self._wake.set()

    async def write_last(self, status: SessionStatus) -> None:
        """Write this once, as well as it goes: nothing else may work any more."""
        try:
            await self._store.commit([*self._account_writes(status), self._device_write(status, None)])
        except (StoreUnavailable, StoreConflict) as error:
            log.warning("the state of %s could not be written: %s", self._account, error)

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
        of_account = (status, self._phone, self._lid, self._phone_seen_at)
        writes = [*(self._account_writes(status) if of_account != self._of_account else []), *self._refusal(status)]

        def device(step: Step | None) -> Write:
            return self._device_write(status, step.sequence if step else None)

        if self._session.is_open:
            # Whoever has taken the session meanwhile (this process may have been stopped) tells the state.
            await self._session.check()
            await self._session.commit(writes, acknowledging=device)
        else:
            await self._store.commit([*writes, device(None)])
        self._of_account = of_account

    def _account_writes(self, status: SessionStatus) -> list[Write]:
        if self._slot != accounts.FIRST_SLOT:
            return []
        return [
            accounts.account_status(
                self._account, status, phone=self._phone, lid=self._lid, phone_seen_at=self._phone_seen_at
            )
        ]

    def _refusal(self, status: SessionStatus) -> list[Write]:
        """The event of a stored session that was refused: once a day, however often that is tried."""
        if not is_restore_failure(status.code):
            return []
        now = self._clock.now()
        details = {"slot": self._slot, "code": status.code}
        named = f"{self._slot} {status.code} {now.date()}"
        kind = EventKind.RESTORE_FAILED
        return [monitoring.of_session(kind, named, at=now, account=self._account, details=details)]

    def _device_write(self, status: SessionStatus, session_sequence: int | None) -> Write:
        life = LinkLife(*self._tries)
        if (newest := self._newest()) is not None:
            age_s = max(0.0, self._clock.monotonic_s() - newest[1])
            life = LinkLife(*self._tries, self._clock.now() - timedelta(seconds=age_s), newest[0])
        return accounts.device_status(self._account, self._slot, status, session_sequence, life)
