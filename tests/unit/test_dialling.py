"""Dialling hosts that users name: what is judged is what is dialled, and where there is nobody it says so."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keepline.adapters import dialling
from keepline.adapters.dialling import Address, AddressNotAllowed, any_address, connect
from keepline.domain.link_settings import is_public


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[socket.socket]:
    with socket.create_server((host, port)) as server:
        server.setblocking(False)
        yield server


def was_dialled(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


class Names:
    """A resolver that gives one answer after another, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def first_loopback_only(address: Address) -> bool:
    """As if 127.0.0.1 were a host of the internet, and all else of loopback were not."""
    return str(address) == "127.0.0.1" or is_public(address)


async def test_exactly_the_address_that_was_judged_is_dialled() -> None:
    with listening("127.0.0.1") as outside, listening("127.0.0.2", outside.getsockname()[1]) as inside:
        port = outside.getsockname()[1]
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        (await connect("rebinds.example", port, first_loopback_only, names)).close()
        assert (was_dialled(outside), was_dialled(inside)) == (True, False)
        with pytest.raises(AddressNotAllowed):
            await connect("rebinds.example", port, first_loopback_only, names)
        assert not was_dialled(inside)


async def test_of_public_and_private_addresses_only_the_public_are_dialled() -> None:
    with listening("127.0.0.1") as outside, listening("127.0.0.2", outside.getsockname()[1]) as inside:
        names = Names(["127.0.0.2", "127.0.0.1"])
        (await connect("both.example", outside.getsockname()[1], first_loopback_only, names)).close()
        assert (was_dialled(outside), was_dialled(inside)) == (True, False)


async def test_the_next_address_is_dialled_where_one_refuses() -> None:
    with listening("127.0.0.1") as server:
        port = server.getsockname()[1]
        connected = await connect("two.example", port, any_address, Names(["127.0.0.2", "127.0.0.1"]))
        assert connected.getpeername() == ("127.0.0.1", port)
        assert not connected.getblocking()
        connected.close()


async def test_an_address_that_swallows_packets_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def swallowed(dialling: socket.socket, address: tuple[str, int]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(dialling, "ADDRESS_TIMEOUT_S", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", swallowed)
    with pytest.raises(TimeoutError):
        await connect("mute.example", 80, is_public, Names(["8.8.8.8"]))


async def test_a_name_without_an_address_is_nobody() -> None:
    with pytest.raises(OSError, match="no address"):
        await connect("empty.example", 80, any_address, Names([]))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fe80::1%lo"]
)
async def test_a_private_address_is_not_dialled(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dialled(dialling: socket.socket, address: tuple[str, int]) -> None:
        raise AssertionError(address)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", dialled)
    with pytest.raises(AddressNotAllowed):
        await connect("inside.example", 80, is_public, Names([address]))
