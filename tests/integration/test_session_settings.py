"""What a session chooses reaches WhatsApp: how it is seen, and the way its sockets take. Nothing is restarted for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from keepline.adapters.key_file import LocalKeyFile
from keepline.domain.link_settings import Presence
from keepline.records import accounts
from keepline.usecases.proxy_sealing import ProxySealer
from keepline.usecases.session_settings import Changes, ProxyChoice, SessionSettings
from tests.integration.conftest import FRIEND, PHONE, TENANT, Gateway
from tests.unit.egress_support import HttpProxy, SocksProxy, dial

LOGIN = ("me", "p@ss/w:rd")
IN_A_URL = "me:p%40ss%2Fw%3Ard"


class _Relay:
    """A proxy that leads on to the simulator."""

    beyond: str
    asked: list[str]

    def talk(self, connection: socket.socket) -> None:
        whatsapp, _ = dial(self.beyond, self.asked[-1].removeprefix("CONNECT ").removesuffix(" HTTP/1.1"))
        whatsapp.settimeout(None)
        back = threading.Thread(target=_pipe, args=(whatsapp, connection), daemon=True)
        back.start()
        _pipe(connection, whatsapp)
        back.join()


class SocksRelay(_Relay, SocksProxy):
    """SOCKS5 with a login."""


class HttpRelay(_Relay, HttpProxy):
    """HTTP CONNECT with a login."""


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Settings:
    """The API's part, and the proxies of a test."""

    def __init__(self, gateway: Gateway, keys: Path) -> None:
        sealer = ProxySealer(LocalKeyFile(keys), os.urandom, private_allowed=True)
        self._settings = SessionSettings(gateway.store, sealer)
        self._beyond = gateway.simulator.about["proxy"]
        self._started: list[SocksProxy | HttpProxy] = []

    async def change(self, **changes: Any) -> None:
        await self._settings.change(TENANT, "s1", Changes(**changes))

    async def go_through(self, url: str | None) -> None:
        await self.change(proxy=ProxyChoice(url))

    def socks(self) -> SocksRelay:
        return self._start(SocksRelay(LOGIN))

    def http(self) -> HttpRelay:
        return self._start(HttpRelay(*LOGIN))

    def _start(self, relay: Any) -> Any:
        relay.beyond = self._beyond
        self._started.append(relay)
        return relay

    def stop(self) -> None:
        for relay in self._started:
            relay.stop()


@pytest.fixture
async def settings(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Settings]:
    gateway.environment["KEEPLINE_PRIVATE_PROXIES"] = "allow"
    settings = Settings(gateway, tmp_path / "session_keys.json")
    yield settings
    settings.stop()


def online(gateway: Gateway) -> list[int]:
    return list(gateway.whatsapp.presence(PHONE)["devices"])


def told(gateway: Gateway, state: str) -> list[int]:
    """Which devices said that they are in this state, in order."""
    return [event["device"] for event in gateway.whatsapp.log(kind="presence")[0] if event["state"] == state]


async def until_told(gateway: Gateway, state: str, count: int) -> None:
    async def enough() -> bool:
        return len(await asyncio.to_thread(told, gateway, state)) >= count

    await gateway.until(enough, f"{count} devices to be {state}")


async def until_online(gateway: Gateway, count: int) -> None:
    async def reached() -> bool:
        return len(await asyncio.to_thread(online, gateway)) == count

    await gateway.until(reached, f"{count} devices to be online")


async def code(gateway: Gateway, account: str) -> str:
    document = await gateway.store.get(accounts.account_path(account))
    assert document is not None
    return str(document.fields["reason"]["code"])


async def until_code(gateway: Gateway, account: str, wanted: str) -> None:
    async def reached() -> bool:
        return await code(gateway, account) == wanted

    await gateway.until(reached, f"{account} to be {wanted}")


async def test_a_presence_arrives_and_holds_after_a_reconnect_on_both_devices(
    gateway: Gateway, settings: Settings
) -> None:
    gateway.start("connector-1")
    gateway.start("connector-2")
    account = await gateway.link()
    # By default the number is not seen online, and its name is told to WhatsApp all the same.
    await until_told(gateway, "unavailable", 1)
    await gateway.link_standby(account)
    await until_told(gateway, "unavailable", 2)
    assert online(gateway) == []
    await settings.change(presence=Presence.AVAILABLE)
    await until_online(gateway, 2)
    names = {event["name"] for event in gateway.whatsapp.log(kind="presence")[0]}
    assert names == {"Ada"}
    said = len(told(gateway, "available"))
    gateway.whatsapp.drop_connections(PHONE)
    await until_told(gateway, "available", said + 2)
    await until_online(gateway, 2)
    await settings.change(presence=Presence.UNAVAILABLE)
    await until_online(gateway, 0)
    said = len(told(gateway, "unavailable"))
    gateway.whatsapp.drop_connections(PHONE)
    await until_told(gateway, "unavailable", said + 2)
    assert online(gateway) == []


async def test_a_presence_holds_after_a_restart_of_the_connector(gateway: Gateway, settings: Settings) -> None:
    gateway.start()
    account = await gateway.link()
    await settings.change(presence=Presence.AVAILABLE)
    await until_online(gateway, 1)
    gateway.kill()
    await until_online(gateway, 0)
    gateway.start()
    await until_online(gateway, 1)
    await gateway.until_state(account, "connected")


async def test_the_socket_goes_through_the_sessions_proxy_and_moves_with_it(
    gateway: Gateway, settings: Settings
) -> None:
    connector = gateway.start()
    account = await gateway.link()
    first, second = settings.socks(), settings.http()
    await settings.go_through(f"socks5://{IN_A_URL}@{first.address}")

    async def through(relay: Any) -> bool:
        return bool(relay.asked)

    await gateway.until(lambda: through(first), "a connection through the first proxy")
    await gateway.until_state(account, "connected")
    assert "web.whatsapp.com:443" in first.asked  # and what it fetches, as the history of chats
    message_id = await gateway.send(account, "through the first")
    await gateway.until_message(message_id, "delivered")
    # Changing it moves the connection.
    await settings.go_through(f"http://{IN_A_URL}@{second.address}")
    await gateway.until(lambda: through(second), "a connection through the second proxy")
    await asyncio.to_thread(first.wait_for_end)
    message_id = await gateway.send(account, "through the second")
    await gateway.until_message(message_id, "delivered")
    assert gateway.inbox(FRIEND) == ["through the first", "through the second"]
    # And without one the connector's own way holds again.
    await settings.go_through(None)
    await asyncio.to_thread(second.wait_for_end)
    message_id = await gateway.send(account, "directly")
    await gateway.until_message(message_id, "delivered")
    assert connector.pid == gateway.connectors["connector-1"].pid
    log = (gateway.folder / "connector-1.log").read_text()
    for secret in (LOGIN[1], IN_A_URL, "p%40ss"):
        assert secret not in log


async def test_a_wrong_password_is_the_sessions_reason_until_it_is_right(gateway: Gateway, settings: Settings) -> None:
    gateway.start()
    account = await gateway.link()
    proxy = settings.socks()
    await settings.go_through(f"socks5://me:wrong@{proxy.address}")
    await until_code(gateway, account, "proxy_login")

    async def tried_again() -> bool:
        return len(proxy.connections) >= 3

    await gateway.until(tried_again, "two more tries")
    document = await gateway.until_state(account, "reconnecting")
    assert document.fields["reason"]["code"] == "proxy_login"
    assert "name or password" in document.fields["reason"]["sentence"]
    assert document.fields["reason"]["next_step"].startswith("Set the session's proxy")
    message_id = await gateway.send(account, "waits")
    await settings.go_through(f"socks5://{IN_A_URL}@{proxy.address}")
    await gateway.until_state(account, "connected")
    await gateway.until_message(message_id, "delivered")


async def test_a_proxy_that_goes_away_under_a_connection_is_named(gateway: Gateway, settings: Settings) -> None:
    gateway.start()
    account = await gateway.link()
    proxy = settings.socks()
    await settings.go_through(f"socks5://{IN_A_URL}@{proxy.address}")
    await gateway.until(lambda: _asked(proxy), "a connection through the proxy")
    await gateway.until_state(account, "connected")
    proxy.listener.shutdown(socket.SHUT_RDWR)
    proxy.listener.close()
    for connection in proxy.connections:
        connection.shutdown(socket.SHUT_RDWR)
    await until_code(gateway, account, "proxy_unreachable")


async def test_a_session_cannot_lead_its_connector_to_a_private_address(gateway: Gateway, settings: Settings) -> None:
    gateway.environment["KEEPLINE_PRIVATE_PROXIES"] = "refuse"
    gateway.start()
    account = await gateway.link()
    proxy = settings.socks()
    port = proxy.address.rpartition(":")[2]
    await settings.go_through(f"socks5://{IN_A_URL}@localhost:{port}")
    await until_code(gateway, account, "proxy_not_allowed")
    assert not proxy.connections


async def _asked(proxy: SocksRelay) -> bool:
    return bool(proxy.asked)
