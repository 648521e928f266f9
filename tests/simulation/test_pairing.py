"""Pairing in virtual time: rounds of codes, their end, and a new round when somebody asks."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from keepline.domain.link_events import CellLost, LinkEvent, Paired, PairingCode, PairingEnded
from keepline.domain.pairing import CodeAnswer
from keepline.records import accounts
from keepline.records.accounts import Pairing
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.pairing import ROUNDS_MAX
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import World

LIMIT_S = 60.0


class UnlinkedWorld(World):
    """A world whose phone never scans: each connection offers a code, and the test ends the round."""

    rounds = 0

    def end_round(self) -> None:
        self.processes["connector-1"].links[-1].tell(PairingEnded())

    def on_connect(self, link: FakeLink) -> None:
        self.rounds += 1
        link.tell(PairingCode(f"code {self.rounds}"))

    async def pairing(self) -> Pairing:
        document = await self.documents.get(accounts.pairing_path(ACCOUNT, "a"))
        assert document is not None
        return Pairing.read(document)

    async def until_state(self, state: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                document = await self.documents.get(accounts.account_path(ACCOUNT))
                if document is not None and document.fields["state"] == state:
                    return
                await asyncio.sleep(0.1)

    async def until_code(self, code: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                document = await self.documents.get(accounts.pairing_path(ACCOUNT, "a"))
                if document is not None and Pairing.read(document).qr == code:
                    return
                await asyncio.sleep(0.1)


async def _use_up_the_rounds(world: UnlinkedWorld) -> None:
    for number in range(1, ROUNDS_MAX + 1):
        await world.until_state("pairing")
        await world.until_code(f"code {number}")
        world.end_round()
        await asyncio.sleep(5)


def test_codes_are_offered_in_rounds_and_the_rounds_end() -> None:
    async def story() -> None:
        world = UnlinkedWorld(Random(1))
        await world.start()
        world.whatsapp.on_connect = world.on_connect
        world.boot()
        await _use_up_the_rounds(world)
        await world.until_state("stopped")
        assert (await world.pairing()).qr is None
        assert world.rounds == ROUNDS_MAX
        await asyncio.sleep(3_600)
        assert world.rounds == ROUNDS_MAX
        await world.stop()

    run_virtual(story())


def test_asking_for_a_code_begins_a_new_round() -> None:
    async def story() -> None:
        world = UnlinkedWorld(Random(2))
        await world.start()
        world.whatsapp.on_connect = world.on_connect
        world.boot()
        await _use_up_the_rounds(world)
        await world.until_state("stopped")
        await world.documents.commit([accounts.request_qr(await world.pairing())])
        await world.until_state("pairing")
        await world.until_code(f"code {ROUNDS_MAX + 1}")
        await world.stop()

    run_virtual(story())


CODE = CodeAnswer("1A2B-3C4D", 140.0)


class CodeWorld(UnlinkedWorld):
    """Codes can be asked for: WhatsApp offers QR codes on a new connection, and then gives one."""

    asked = 0

    def on_code(self, link: FakeLink, phone: str) -> CodeAnswer:
        assert phone == "14155550100"
        self.asked += 1
        self.on_connect(link)
        return CODE

    async def ask_for_code(self) -> None:
        await self.documents.commit([accounts.request_code(await self.pairing(), "14155550100")])

    async def until_pairing_code(self, code: CodeAnswer | None) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                found = (await self.pairing()).code
                if (found.answer if found is not None else None) == code:
                    return
                await asyncio.sleep(0.1)

    async def begin(self) -> None:
        await self.start()
        self.whatsapp.on_connect = self.on_connect
        self.whatsapp.on_code = self.on_code
        self.boot()


def test_a_pairing_code_can_be_asked_for_after_the_rounds_have_ended() -> None:
    async def story() -> None:
        world = CodeWorld(Random(3))
        await world.begin()
        await _use_up_the_rounds(world)
        await world.until_state("stopped")
        await world.ask_for_code()
        await world.until_pairing_code(CODE)
        await world.until_state("pairing")
        await world.until_code(f"code {ROUNDS_MAX + 1}")
        assert world.asked == 1
        await world.stop()

    run_virtual(story())


@pytest.mark.parametrize(
    "event", [PairingEnded(), CellLost(), Paired("14155550100", None, 1)], ids=lambda one: type(one).__name__
)
def test_a_pairing_code_is_withdrawn_with_the_connection_that_it_was_asked_on(event: LinkEvent) -> None:
    async def story() -> None:
        world = CodeWorld(Random(4))
        await world.begin()
        await world.until_code("code 1")
        await world.ask_for_code()
        await world.until_pairing_code(CODE)
        world.processes["connector-1"].links[-1].tell(event)
        await world.until_pairing_code(None)
        await asyncio.sleep(60)
        assert (await world.pairing()).code is None
        assert world.asked == 1
        await world.stop()

    run_virtual(story())


def test_a_pairing_code_from_before_a_restart_is_withdrawn() -> None:
    async def story() -> None:
        world = CodeWorld(Random(6))
        await world.begin()
        await world.until_code("code 1")
        await world.ask_for_code()
        await world.until_pairing_code(CODE)
        world.kill()
        world.boot()
        await world.until_pairing_code(None)
        await world.stop()

    run_virtual(story())


def test_a_request_for_a_pairing_code_from_before_a_restart_is_not_answered() -> None:
    """Whoever asked has given up, and WhatsApp tells the phone of every code."""

    async def story() -> None:
        world = CodeWorld(Random(5))
        await world.begin()
        await world.until_code("code 1")
        world.kill()
        await world.ask_for_code()
        world.boot()
        await world.until_code("code 2")
        await asyncio.sleep(60)
        assert world.asked == 0
        await world.ask_for_code()
        await world.until_pairing_code(CODE)
        await world.stop()

    run_virtual(story())


def test_a_device_that_waits_for_minutes_to_be_linked_goes_on_running() -> None:
    """Nothing has been saved of it: there is no version of its session and nothing to tidy."""

    async def story() -> None:
        world = CodeWorld(Random(7))
        await world.start()
        world.devices["a"].folder.disk.linked = False
        world.whatsapp.on_connect = world.on_connect
        world.whatsapp.on_code = world.on_code
        world.boot()
        await world.until_code("code 1")
        await asyncio.sleep(300)
        assert world.rounds == 1
        await world.ask_for_code()
        await world.until_pairing_code(CODE)
        assert world.outside.errors == []
        await world.stop()

    run_virtual(story())
