"""Groups and contacts with every real part: the use cases, Google's emulator, a connector, neonize and the simulator."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline.usecases.commanding import Commands
from keepline.usecases.contacts import Contacts
from keepline.usecases.groups import Groups
from keepline.usecases.limiting import Limiter
from simulator import Settings
from simulator.testing import RunningSimulator
from simulator.world import Policy
from tests.group_promises import BEA, CAROL, DAN, OWN, PROMISES, SESSION, Promise
from tests.integration.conftest import Gateway

JPEG = b"\xff\xd8\xff\xe0" + b"\x00\x10JFIF\x00" + bytes(200)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    """Unlike the other tests': a number that nobody has is not on WhatsApp."""
    with RunningSimulator(Settings(folder=tmp_path / "simulator", policy=Policy())) as running:
        yield running


class Real:
    """The real parts as the promises see them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.phones = gateway.whatsapp
        clock = SystemClock()
        commands = Commands(gateway.store, clock, os.urandom, Limiter(gateway.store, clock))
        self.groups = Groups(commands)
        self.contacts = Contacts(gateway.store, clock, commands)

    async def lid(self, phone: str) -> str:
        phones = await asyncio.to_thread(self.phones.phones)
        return str(next(one["lid"] for one in phones if one["number"] == phone)).partition("@")[0]

    async def members(self, group: str) -> dict[str, bool]:
        found = await asyncio.to_thread(self.phones.group, group)
        return {one["number"]: one["admin"] for one in found["members"]}

    async def made_by(self, phone: str, subject: str, members: list[str]) -> str:
        return str((await asyncio.to_thread(self.phones.create_group, phone, subject, members))["id"])

    async def subject(self, group: str) -> str:
        return str((await asyncio.to_thread(self.phones.group, group))["subject"])

    async def link_of(self, group: str) -> str:
        return str((await asyncio.to_thread(self.phones.group, group))["link"])

    async def show(self, phone: str, about: str) -> None:
        await asyncio.to_thread(self.phones.set_profile, phone, about=about, picture=JPEG)


@pytest.fixture
async def real(gateway: Gateway) -> AsyncIterator[Real]:
    gateway.start()
    for number, name in ((BEA, "Bea"), (CAROL, "Carol"), (DAN, "Dan")):
        gateway.whatsapp.add_phone(number, name)
    gateway.whatsapp.set_profile(DAN, invite_only=True)
    await gateway.link(SESSION, OWN)
    yield Real(gateway)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_of_real_groups_holds_that(real: Real, promise: Promise) -> None:
    await promise(real)
