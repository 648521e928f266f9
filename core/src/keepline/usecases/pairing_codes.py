"""Linking by a code that is typed into the phone: the API asks for it in the device's pairing document, its connector answers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keepline.domain.addresses import parse_phone
from keepline.domain.errors import KeeplineError, StateConflict
from keepline.domain.pairing import RATE_LIMIT_REST_S, RATE_LIMITED, already_linked, code_error
from keepline.domain.views import told_status
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account, Pairing
from keepline.usecases.limiting import CODES, Charged, ChargedNotReady, Limiter
from keepline.usecases.linking import ASKED_EVERY_S, accept_offer, check_linkable, device_and_pairing
from keepline.usecases.sessions import beats_of, outlook_of, own_account

# A code takes a second, or a few where the connection for it has to be made first. Who asks waits so long for it, and then asks
# again: the connector goes on meanwhile. Well below what a call of the API may take (15 s).
CODE_WAIT_S = 8.0
LOOK_EVERY_S = 0.25
# A code with less left than this is not worth typing: another one is made.
CODE_LEFT_S_MIN = 20.0


@dataclass(frozen=True)
class PairingCode:
    """Eight characters and a hyphen to type into the phone of `phone` (digits) within `expires_in_s`.

    `charged` is what is left of the user's limit; None where this code was there already.
    """

    code: str = field(repr=False)
    phone: str
    expires_in_s: float
    charged: Charged | None = None


@dataclass(frozen=True)
class _Waiting:
    """There is no code yet, and why. `charged` if one was asked for now."""

    sentence: str
    charged: Charged | None = None


class PairingCodes:
    """The codes of all tenants' devices."""

    def __init__(self, store: DocumentStore, clock: Clock, limiter: Limiter) -> None:
        self._store = store
        self._clock = clock
        self._limiter = limiter

    async def get(self, tenant: str, session_id: str, phone: str, slot: str = FIRST_SLOT) -> PairingCode:
        """A code with which the phone of that number can link one of the devices; the same one while it is good.

        Raises InvalidInput (`bad_number`), NotReady (`pairing_code_not_ready`), TooMany (`pairing_rate_limited` by WhatsApp,
        `rate_limited` by us), NotFound (`session_not_found`, `standby_not_found`) and StateConflict (`already_linked`,
        `pairing_code_not_available`, `number_refused`, `another_number`).
        """
        digits = parse_phone(phone)
        waiting = _Waiting("the session is being looked up.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CODE_WAIT_S):
                while not isinstance(found := await self._look(tenant, session_id, digits, slot), PairingCode):
                    waiting = replace(found, charged=found.charged or waiting.charged)
                    await asyncio.sleep(LOOK_EVERY_S)
                return replace(found, charged=waiting.charged)
        raise ChargedNotReady(
            "pairing_code_not_ready",
            f"There is no pairing code yet: {waiting.sentence}",
            "Ask again in 2 seconds.",
            2,
            waiting.charged,
        )

    async def _look(self, tenant: str, session_id: str, phone: str, slot: str) -> PairingCode | _Waiting:
        """The code, or what is waited for; asks for a code where nobody has."""
        account = await own_account(self._store, tenant, session_id)
        _check_number(account, slot, phone)
        if await accept_offer(self._store, account, slot):
            return _Waiting("the standby is being made.")
        device, pairing = await device_and_pairing(self._store, account, slot)
        check_linkable(device, "pairing_code_not_available")
        if device.linked:
            raise already_linked()
        now = self._clock.now()
        if pairing is not None:
            if code := _code_on_offer(pairing, phone, now):
                return code
            if error := _recent_error(pairing, phone, now):
                raise error
        seen = outlook_of(device, await beats_of(self._store, {device.connector}), now)
        if pairing is None or seen.silent:
            return _Waiting(told_status(device.status, seen).reason.sentence)
        charged = None
        if not _asked_lately(pairing, now):
            with contextlib.suppress(StoreConflict):  # Somebody else asked, or an answer has just come.
                _, charged = await self._limiter.commit(tenant, CODES, [accounts.request_code(pairing, phone)])
        return _Waiting("WhatsApp is being asked for it.", charged)


def _check_number(account: Account, slot: str, phone: str) -> None:
    if slot == SECOND_SLOT and account.phone is not None and account.phone != phone:
        raise StateConflict(
            "another_number",
            "The standby has to be linked with the session's own number.",
            "Give the number that the session's status shows.",
        )


def _code_on_offer(pairing: Pairing, phone: str, now: datetime) -> PairingCode | None:
    code = _newest_answer(pairing)
    if code is None or code.answer.code is None or code.at is None or pairing.code_phone != phone:
        return None
    left_s = code.answer.good_for_s - max(0.0, (now - code.at).total_seconds())
    return PairingCode(code.answer.code, phone, left_s) if left_s >= CODE_LEFT_S_MIN else None


def _recent_error(pairing: Pairing, phone: str, now: datetime) -> KeeplineError | None:
    """The answer to this request, or to one that it must not repeat so soon."""
    code = _newest_answer(pairing)
    if code is None or code.answer.error_code is None or code.at is None:
        return None
    age_s = max(0.0, (now - code.at).total_seconds())
    if code.answer.error_code == RATE_LIMITED:
        holds = age_s < RATE_LIMIT_REST_S  # Whatever the number.
    else:
        holds = age_s < ASKED_EVERY_S and pairing.code_phone == phone
    return code_error(code.answer.error_code, age_s) if holds else None


def _newest_answer(pairing: Pairing) -> accounts.AnsweredCode | None:
    """Unless somebody has asked anew since."""
    return pairing.code if pairing.code is not None and pairing.code.request == pairing.code_requested else None


def _asked_lately(pairing: Pairing, now: datetime) -> bool:
    asked_at = pairing.code_requested_at
    return asked_at is not None and now - asked_at < timedelta(seconds=ASKED_EVERY_S)
