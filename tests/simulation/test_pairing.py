"""Pairing in virtual time: rounds of codes, their end, and a new round when somebody asks."""

from __future__ import annotations

import asyncio
from random import Random

from keepline.domain.link_events import PairingCode, PairingEnded
from keepline.records import accounts
from keepline.records.accounts import Pairing
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import FakeLink
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
