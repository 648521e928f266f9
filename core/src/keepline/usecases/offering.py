"""Offering a standby, and refusing one that is another number's.

It is offered when the first device of an account has been connected for a while and there is no second one. The connector that
runs the first device knows best how long it has been up. The offer is one field, written once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from keepline.domain.link_events import Connected, LinkEvent, Paired
from keepline.domain.session import SessionState, SessionStatus
from keepline.domain.standby import OFFER_AFTER_S, StandbySetting
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts
from keepline.records.accounts import SECOND_SLOT, Account, Device

_STORE_RETRY_S = 1.0
# The login after a linking takes a second or two.
_LOGIN_LIMIT_S = 15.0

log = logging.getLogger(__name__)


class NumberCheck:
    """That a standby is linked with its session's number: another number's messages are not this session's, in or out."""

    def __init__(self, store: DocumentStore, account: Account, slot: str) -> None:
        self._store = store
        self._account = account
        self._slot = slot
        self._refused = asyncio.Event()
        self._logged_in = asyncio.Event()

    def passes(self, event: LinkEvent) -> bool:
        """Whether this event of the device may be followed. From the first sign of another number on none may."""
        if isinstance(event, (Paired, Connected)) and self._is_anothers(event.phone):
            self._refused.set()
        if isinstance(event, Connected):
            self._logged_in.set()
        return not self._refused.is_set()

    async def run(self) -> None:
        """Have the device unlinked and cleared when it is another number's; else wait until cancelled."""
        await self._refused.wait()
        log.error("device %s of %s was linked by a phone with another number", self._slot, self._account.id)
        with contextlib.suppress(TimeoutError):  # Only a device that is logged in can be unlinked.
            async with asyncio.timeout(_LOGIN_LIMIT_S):
                await self._logged_in.wait()
        while True:
            try:
                document = await self._store.get(accounts.device_path(self._account.id, self._slot))
                if document is not None and (device := Device.read(document)).wanted:
                    await self._store.commit(accounts.refuse_standby(device))
            except (StoreConflict, StoreUnavailable) as error:
                log.warning(
                    "device %s of %s could not be refused, trying again: %s", self._slot, self._account.id, error
                )
                await asyncio.sleep(_STORE_RETRY_S)
                continue
            return

    def _is_anothers(self, phone: str | None) -> bool:
        own = self._account.phone
        return self._slot == SECOND_SLOT and None not in (phone, own) and phone != own


class StandbyOffer:
    """The offer of one account, beside its first device."""

    def __init__(self, store: DocumentStore, account: str) -> None:
        self._store = store
        self._account = account
        self._up = asyncio.Event()
        self._down = asyncio.Event()

    def follow(self, status: SessionStatus) -> None:
        """The first device's state as it is now."""
        if status.state is SessionState.CONNECTED:
            self._down.clear()
            self._up.set()
        else:
            self._up.clear()
            self._down.set()

    async def run(self) -> None:
        """Until it is offered, or turns out not to be wanted."""
        while True:
            await self._up.wait()
            if not await self._stays_up():
                continue
            try:
                await self._offer()
            except StoreConflict:
                continue  # The account was changed meanwhile: look again in a while.
            except StoreUnavailable as error:
                log.warning("a standby could not be offered to %s, trying again: %s", self._account, error)
                await asyncio.sleep(_STORE_RETRY_S)
                continue
            return

    async def _stays_up(self) -> bool:
        try:
            async with asyncio.timeout(OFFER_AFTER_S):
                await self._down.wait()
        except TimeoutError:
            return True
        return False

    async def _offer(self) -> None:
        document = await self._store.get(accounts.account_path(self._account))
        if document is None:
            return
        account = Account.read(document)
        if not account.wanted or account.standby is StandbySetting.OFF or account.standby_offered_at is not None:
            return
        if await self._store.get(accounts.device_path(self._account, SECOND_SLOT)) is not None:
            return
        await self._store.commit([accounts.offer_standby(account)])
        log.info("%s works with one device: a standby is offered", self._account)
