"""A running connector follows what the API changes of a session, in virtual time: nothing of it is started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest

from keepline.domain.link_events import LinkFailed, LoggedOut
from keepline.domain.link_settings import LinkSettings, Presence, Proxy
from keepline.ports.documents import Update
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, SECOND_SLOT, Account
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.session_settings import Changes, ProxyChoice, SessionSettings
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import FIRST, World

URL = "socks5://me:secret@proxy.example:1080"
OTHER = "http://proxy.example:3128"
CHAT = "14155550123@s.whatsapp.net"
LIMIT_S = 100.0

T = TypeVar("T")


class SettingsWorld(World):
    """A world with the API's part in it."""

    connections = 0

    async def start(self) -> None:
        await super().start()
        sealer = ProxySealer(self.keys, self.random.randbytes, private_allowed=False)
        self.settings = SessionSettings(self.documents, sealer)
        welcome = self.whatsapp.on_connect

        def counted(link: FakeLink) -> None:
            self.connections += 1
            welcome(link)

        self.whatsapp.on_connect = counted

    async def change(self, *, presence: Presence | None = None, proxy: str | None = None) -> None:
        choice = ProxyChoice(proxy) if proxy is not None else None
        await self.settings.change("demo", "s1", Changes(presence=presence, proxy=choice))

    def link(self, name: str = FIRST) -> FakeLink:
        return self.processes[name].links[-1]

    async def account(self) -> Account:
        document = await self.documents.get(accounts.account_path(ACCOUNT))
        assert document is not None
        return Account.read(document)

    async def code(self) -> str:
        return (await self.account()).status.code

    async def until(self, look: Callable[[], bool | Awaitable[bool]]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not (found if isinstance(found := look(), bool) else await found):  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.1)

    async def until_code(self, code: str) -> None:
        async def reached() -> bool:
            return await self.code() == code

        await self.until(reached)


def tell(story: Callable[[SettingsWorld], Awaitable[T]], *, standby: bool = False) -> T:
    async def told() -> T:
        world = SettingsWorld(Random(1), standby=standby)
        await world.start()
        result = await story(world)
        await world.stop()
        assert world.outside.errors == []
        return result

    return run_virtual(told())


def test_presence_is_changed_on_the_connection_that_stands() -> None:
    async def story(world: SettingsWorld) -> int:
        world.boot()
        await world.until_code("connected")
        assert world.link().settings == LinkSettings(Presence.UNAVAILABLE)
        await world.change(presence=Presence.AVAILABLE)
        await world.until(lambda: world.link().settings == LinkSettings(Presence.AVAILABLE))
        return world.connections

    assert tell(story) == 1


def test_another_proxy_makes_one_new_connection_through_it() -> None:
    async def story(world: SettingsWorld) -> list[LinkSettings | None]:
        world.boot()
        await world.until_code("connected")
        through = [world.link().through]
        for url in (URL, OTHER):
            before = world.connections
            await world.change(proxy=url)
            await world.until(lambda before=before: world.connections > before)  # type: ignore[misc]
            await asyncio.sleep(30)
            assert world.connections == before + 1
            through.append(world.link().through)
        await world.change(proxy=OTHER)  # Sealed anew, and the same.
        await asyncio.sleep(30)
        assert world.connections == 3
        return through

    hidden = Presence.UNAVAILABLE
    assert tell(story) == [
        *(LinkSettings(hidden), LinkSettings(hidden, Proxy.parse(URL))),
        LinkSettings(hidden, Proxy.parse(OTHER)),
    ]


def test_both_devices_follow() -> None:
    async def story(world: SettingsWorld) -> None:
        world.boot_all()
        await world.until_code("connected")
        await asyncio.sleep(5)
        await world.change(presence=Presence.AVAILABLE, proxy=URL)
        wanted = LinkSettings(Presence.AVAILABLE, Proxy.parse(URL))
        for slot in (FIRST_SLOT, SECOND_SLOT):
            await world.until(lambda slot=slot: world.link(world.holders[slot]).through == wanted)  # type: ignore[misc]

    tell(story, standby=True)


def test_settings_hold_from_the_first_connection_of_the_next_process() -> None:
    async def story(world: SettingsWorld) -> LinkSettings | None:
        await world.change(presence=Presence.AVAILABLE, proxy=URL)
        world.boot()
        await world.until_code("connected")
        assert world.connections == 1
        return world.link().through

    assert tell(story) == LinkSettings(Presence.AVAILABLE, Proxy.parse(URL))


@pytest.mark.parametrize("after_ms", range(0, 2_000, 50))
def test_a_change_in_the_middle_of_a_reconnect_is_not_forgotten(after_ms: int) -> None:
    async def story(world: SettingsWorld) -> LinkSettings | None:
        world.boot()
        await world.until_code("connected")
        link, connect = world.link(), world.link().connect

        async def slow_to_answer() -> None:
            await connect()
            await asyncio.sleep(0.5)  # The login can be heard before the order is known to be carried out.

        link.connect = slow_to_answer  # type: ignore[method-assign]
        link.lose_socket(LinkFailed("unreachable"))
        await asyncio.sleep(after_ms / 1000)
        await world.change(proxy=URL)
        await asyncio.sleep(100)
        assert await world.code() == "connected"
        message_id = await world.accept("hello", CHAT)
        await world.until_settled()
        assert (await world.row(message_id)).fields["wa_message_id"]
        return world.link().through

    assert tell(story) == LinkSettings(Presence.UNAVAILABLE, Proxy.parse(URL))


def test_what_is_on_its_way_is_answered_before_the_connection_moves() -> None:
    async def story(world: SettingsWorld) -> list[str]:
        world.boot()
        await world.until_code("connected")
        for number in range(40):
            if number == 20:
                await world.change(proxy=URL)
            await world.accept(str(number), CHAT if number % 2 else f"1415555{number:04}@s.whatsapp.net")
            await asyncio.sleep(0.05)
        await world.until_settled()
        rows = world.rows()
        assert [row.fields["attempts"] for row in rows] == [1] * 40
        assert "in_doubt" not in {time for row in rows for time in row.fields["times"]}
        assert world.link().through == LinkSettings(Presence.UNAVAILABLE, Proxy.parse(URL))
        return [shown.text for shown in world.whatsapp.shown]

    assert sorted(map(int, tell(story))) == list(range(40))


def test_a_device_does_not_connect_without_its_proxy() -> None:
    async def story(world: SettingsWorld) -> int:
        await world.change(proxy=URL)
        path, stored = accounts.device_path(ACCOUNT, FIRST_SLOT), (await world.account()).settings
        assert stored.proxy is not None
        # Somebody who can write to the store leads it elsewhere.
        await world.documents.commit([Update(path, {"settings.proxy.host": "evil.example"})])
        world.boot()
        await world.until_code("proxy_unreadable")
        await asyncio.sleep(300)
        connected = world.connections
        await world.change(proxy=URL)
        await world.until_code("connected")
        return connected

    assert tell(story) == 0


def test_a_proxy_that_was_sealed_for_another_account_does_not_open() -> None:
    async def story(world: SettingsWorld) -> None:
        sealer = ProxySealer(world.keys, world.random.randbytes, private_allowed=False)
        others = await sealer.seal("demo_other", URL)
        path = accounts.device_path(ACCOUNT, FIRST_SLOT)
        await world.documents.commit([Update(path, {"settings.proxy": vars(others)})])
        world.boot()
        await world.until_code("proxy_unreadable")
        assert world.connections == 0

    tell(story)


def test_keys_that_are_out_of_reach_are_waited_for_and_the_old_way_stays_until_then() -> None:
    async def story(world: SettingsWorld) -> None:
        world.boot()
        await world.until_code("connected")
        await world.change(proxy=URL)
        await world.until(lambda: world.connections == 2)
        device = accounts.device_path(ACCOUNT, FIRST_SLOT)
        sealed = await ProxySealer(world.keys, world.random.randbytes, private_allowed=False).seal(ACCOUNT, OTHER)
        world.keys.available = False
        await world.documents.commit([Update(device, {"settings.proxy": vars(sealed)})])
        await asyncio.sleep(60)
        assert (await world.code(), world.connections) == ("connected", 2)
        world.keys.available = True
        await world.until(lambda: world.connections == 3)
        assert world.link().through == LinkSettings(Presence.UNAVAILABLE, Proxy.parse(OTHER))

    tell(story)


def test_a_device_that_was_logged_out_does_not_connect_for_another_proxy() -> None:
    async def story(world: SettingsWorld) -> int:
        world.boot()
        await world.until_code("connected")
        world.link().tell(LoggedOut(401))
        await world.until_code("logged_out")
        await world.change(proxy=URL)
        await asyncio.sleep(60)
        return world.connections

    assert tell(story) == 1
