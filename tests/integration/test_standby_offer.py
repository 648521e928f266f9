"""A standby that is offered by itself and linked by whoever asks for its code, with the real neonize."""

from __future__ import annotations

import asyncio

from keepline.adapters.system_clock import SystemClock
from keepline.domain.errors import NotReady
from keepline.domain.standby import OFFER_AFTER_S, Standby
from keepline.records import accounts
from keepline.usecases.limiting import Limiter
from keepline.usecases.linking import Linking
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.sessions import Sessions, SessionView
from tests.integration.conftest import LIMIT_S, PHONE, TENANT, Gateway


async def look(gateway: Gateway) -> SessionView:
    sealer = ProxySealer(None, bytes, private_allowed=False)
    return await Sessions(gateway.store, SystemClock(), bytes, sealer, Limiter(gateway.store, SystemClock())).look(
        TENANT, "s1"
    )


async def test_a_standby_is_offered_and_is_nothing_until_its_code_is_asked_for(gateway: Gateway) -> None:
    gateway.start()
    account = await gateway.link()
    gateway.start("connector-2")
    linking = Linking(gateway.store, SystemClock(), Limiter(gateway.store, SystemClock()))

    async def offered() -> bool:
        return (await look(gateway)).standby.state is Standby.OFFERED

    await gateway.until(offered, "the offer of a standby", OFFER_AFTER_S + LIMIT_S)
    assert [device.slot for device in (await look(gateway)).devices] == ["a"]
    assert await gateway.store.get(accounts.pairing_path(account, "b")) is None

    async def qr() -> str | None:
        try:
            return (await linking.pairing_offer(TENANT, "s1", "b")).qr
        except NotReady:
            return None

    await asyncio.to_thread(gateway.whatsapp.scan, PHONE, await gateway.until(qr, "the standby's QR code"))

    async def ready() -> bool:
        return (await look(gateway)).standby.state is Standby.READY

    await gateway.until(ready, "the standby to be ready")
    assert (await look(gateway)).status.code == "connected"


async def test_a_standby_that_another_number_links_is_unlinked(gateway: Gateway) -> None:
    other = "14155550177"
    gateway.start()
    account = await gateway.link()
    gateway.start("connector-2")
    await Linking(gateway.store, SystemClock(), Limiter(gateway.store, SystemClock())).add_standby(TENANT, "s1")
    qr = await gateway.until(lambda: gateway.qr(account, "b"), "the standby's QR code")
    gateway.whatsapp.add_phone(other, "Eve")
    await asyncio.to_thread(gateway.whatsapp.scan, other, qr)

    async def cleared() -> bool:
        return await gateway.store.get(accounts.device_path(account, "b")) is None

    await gateway.until(cleared, "the standby to be cleared")
    standby = (await look(gateway)).standby
    assert standby.state is Standby.NONE
    assert "another number" in standby.sentence

    async def unlinked() -> bool:
        return not await asyncio.to_thread(gateway.whatsapp.devices, other)

    await gateway.until(unlinked, "the other phone to list no device any more")
    await gateway.until_message(await gateway.send(account, "as before"), "delivered")
