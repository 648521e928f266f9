"""Linking by a code that is typed into the phone, with the real neonize: the first device and the standby."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline.domain.errors import NotReady, StateConflict
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.records import accounts
from keepline.records.accounts import Account
from keepline.usecases.limiting import Limiter
from keepline.usecases.pairing_codes import PairingCode, PairingCodes
from simulator import Settings
from simulator.testing import RunningSimulator
from tests.integration.conftest import FRIEND, PHONE, TENANT, Gateway


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    """With the two phones of these tests and no others: a number may be one that WhatsApp does not know."""
    with RunningSimulator(Settings(folder=tmp_path / "simulator")) as running:
        running.client.add_phone(PHONE, "Ada")
        running.client.add_phone(FRIEND, "Bob")
        yield running


async def ask(gateway: Gateway, phone: str = PHONE, slot: str = "a") -> PairingCode:
    """What `POST /api/sessions/s1/pairing-code` does, asked again while it says so."""
    codes = PairingCodes(gateway.store, SystemClock(), Limiter(gateway.store, SystemClock()))

    async def code() -> PairingCode | None:
        try:
            return await codes.get(TENANT, "s1", phone, slot)
        except NotReady:
            return None

    found: PairingCode = await gateway.until(code, "a pairing code")
    return found


async def type_in(gateway: Gateway, code: PairingCode) -> None:
    await asyncio.to_thread(gateway.whatsapp.enter_link_code, PHONE, code.code)


async def add_standby(gateway: Gateway, account: str) -> None:
    document = await gateway.store.get(accounts.account_path(account))
    assert document is not None
    await gateway.store.commit(accounts.new_standby(Account.read(document), WAITING_FOR_CONNECTOR))


async def test_a_number_and_its_standby_are_linked_by_codes_and_send(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.create()
    code = await ask(gateway)
    assert code.expires_in_s > 120
    await type_in(gateway, code)
    document = await gateway.until_state(account, "connected")
    assert Account.read(document).phone == PHONE

    async def withdrawn() -> bool:
        pairing = await gateway.store.get(accounts.pairing_path(account, "a"))
        return pairing is not None and pairing.fields["code"] is None and pairing.fields["qr"] is None

    await gateway.until(withdrawn, "the codes to be withdrawn")
    await gateway.until_message(await gateway.send(account, "from the first"), "delivered")

    gateway.start("connector-2")
    await add_standby(gateway, account)
    await type_in(gateway, await ask(gateway, slot="b"))
    await gateway.until(lambda: gateway.device_is(account, "b", "connected"), "the standby to be connected")
    gateway.kill()
    await gateway.until_message(await gateway.send(account, "from the standby"), "delivered")
    assert gateway.inbox(FRIEND) == ["from the first", "from the standby"]
    log = "".join(child.tail() for child in gateway.connectors.values())
    assert code.code not in log and code.code.replace("-", "") not in log


async def test_a_number_that_whatsapp_does_not_know_gets_no_code_and_the_qr_code_stays_good(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.create()
    with pytest.raises(StateConflict) as refused:
        await ask(gateway, "447700900123")
    assert refused.value.code == "number_refused"
    # The round goes on: the QR code is as good as before.
    qr = await gateway.until(lambda: gateway.qr(account), "a QR code")
    await asyncio.to_thread(gateway.whatsapp.scan, PHONE, qr)
    await gateway.until_state(account, "connected")
    with pytest.raises(StateConflict) as linked:
        await ask(gateway)
    assert linked.value.code == "already_linked"


@pytest.mark.slow
async def test_a_code_that_is_asked_for_late_in_a_round_begins_a_new_one_and_has_its_whole_time(
    gateway: Gateway,
) -> None:
    gateway.start()
    account = await gateway.create()
    first = await gateway.until(lambda: gateway.qr(account), "a QR code")

    async def another() -> str | None:
        qr = await gateway.qr(account)
        return qr if qr != first else None

    second = await gateway.until(another, "the round's second QR code", 70.0)
    code = await ask(gateway)
    assert code.expires_in_s > 140
    assert await gateway.qr(account) != second
    assert (await ask(gateway)).code == code.code
    await type_in(gateway, code)
    await gateway.until_state(account, "connected")
