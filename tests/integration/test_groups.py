"""Groups and contacts with every real part: the use cases, Google's emulator, a connector, neonize and the simulator."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keepline.adapters.system_clock import SystemClock
from keepline.domain.errors import KeeplineError, Unavailable
from keepline.domain.ids import command_id_for_key
from keepline.records import commands
from keepline.usecases.commanding import Commands
from keepline.usecases.contacts import Contacts
from keepline.usecases.groups import GroupAnswer, Groups
from keepline.usecases.limiting import Limiter
from simulator import Settings
from simulator.testing import RunningSimulator
from simulator.world import Policy
from tests.group_promises import BEA, CAROL, DAN, OWN, PROMISES, SESSION, TENANT, Promise
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
        asking = Commands(gateway.store, clock, os.urandom, Limiter(gateway.store, clock))
        self.groups = Groups(asking)
        self.contacts = Contacts(gateway.store, clock, asking)

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


async def begun(real: Real, key: str) -> asyncio.Task[GroupAnswer]:
    """A request for a group that WhatsApp has made, and whose answer is lost on its way."""
    real.phones.add_fault("lossy", {"number": OWN, "direction": "out", "stanza": "iq"})
    request = asyncio.create_task(real.groups.create(TENANT, SESSION, "Walks", [BEA], key))

    async def made() -> bool:
        return bool(await asyncio.to_thread(real.phones.groups))

    await real.gateway.until(made, "the group to be made")
    real.phones.clear_faults()
    return request


async def test_a_change_whose_connection_ends_is_not_said_again_on_the_next_one(real: Real) -> None:
    request = await begun(real, "one")
    real.phones.drop_connections(OWN)
    with pytest.raises(Unavailable) as error:
        await request
    assert error.value.code == "outcome_unknown"
    path = commands.command_path(command_id_for_key(f"{TENANT}_{SESSION}", "one"))

    async def given_up() -> bool:
        document = await real.gateway.store.get(path)
        return document is not None and document.fields["state"] == "answered"

    # The library's own patience: it waits some seconds for a connection on which it could say it once more.
    await real.gateway.until(given_up, "the library to give up")
    # The number is back, and its own word is that there is one group.
    await real.gateway.until_state(f"{TENANT}_{SESSION}", "connected")
    assert (await real.groups.listed(TENANT, SESSION)).result["total"] == 1
    with pytest.raises(Unavailable):
        await real.groups.create(TENANT, SESSION, "Walks", [BEA], "one")
    assert len(real.phones.groups()) == 1


async def test_a_change_that_was_on_its_way_at_a_kill_is_not_made_again(real: Real) -> None:
    request = await begun(real, "one")
    real.gateway.kill()
    real.gateway.start()
    with pytest.raises(Unavailable) as error:
        await request
    assert error.value.code == "outcome_unknown"

    async def is_back() -> bool:
        try:
            return (await real.groups.listed(TENANT, SESSION)).result["total"] == 1
        except KeeplineError:
            return False

    await real.gateway.until(is_back, "the restarted connector to list one group")
    with pytest.raises(Unavailable):
        await real.groups.create(TENANT, SESSION, "Walks", [BEA], "one")
    assert len(real.phones.groups()) == 1
