"""What the sessions rely on of a key wrapper: the shipped fake, the key file, and the Cloud KMS adapter on a KMS of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import grpc
import pytest

from keepline.adapters.key_file import LocalKeyFile, create_key_file, rotate_key_file
from keepline.adapters.kms_keys import KmsKeys
from keepline.ports.keys import KeyRefused, KeyUnavailable, KeyWrapper, Unwrapped
from keepline.testing.keys import MemoryKeys
from tests.google_apis.kms import KEY_NAME, KmsServer

KEY = bytes(range(32))
CONTEXT = b"demo_s1 a"

Rotate = Callable[[], None]


@pytest.fixture(params=["memory", "file", "kms"])
async def wrapper(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[KeyWrapper, Rotate]]:
    match request.param:
        case "memory":
            memory = MemoryKeys()
            yield memory, memory.rotate
        case "file":
            create_key_file(tmp_path / "keys.json")
            yield LocalKeyFile(tmp_path / "keys.json"), partial(rotate_key_file, tmp_path / "keys.json")
        case _:
            server = KmsServer()
            async with server.client() as client:
                yield KmsKeys(KEY_NAME, client), server.rotate


async def test_a_key_comes_back_as_it_was_wrapped(wrapper: tuple[KeyWrapper, Rotate]) -> None:
    keys, _ = wrapper
    wrapped = await keys.wrap(KEY, CONTEXT)
    assert KEY not in wrapped
    assert await keys.unwrap(wrapped, CONTEXT) == Unwrapped(KEY, current=True)


async def test_no_two_wrappings_are_alike(wrapper: tuple[KeyWrapper, Rotate]) -> None:
    keys, _ = wrapper
    assert await keys.wrap(KEY, CONTEXT) != await keys.wrap(KEY, CONTEXT)


async def test_a_key_wrapped_for_something_else_is_refused(wrapper: tuple[KeyWrapper, Rotate]) -> None:
    keys, _ = wrapper
    wrapped = await keys.wrap(KEY, CONTEXT)
    with pytest.raises(KeyRefused):
        await keys.unwrap(wrapped, b"demo_s1 b")


async def test_after_a_rotation_the_old_wrapping_opens_and_says_that_it_is_old(
    wrapper: tuple[KeyWrapper, Rotate],
) -> None:
    keys, rotate = wrapper
    old = await keys.wrap(KEY, CONTEXT)
    rotate()
    assert await keys.unwrap(old, CONTEXT) == Unwrapped(KEY, current=False)
    new = await keys.wrap(KEY, CONTEXT)
    assert await keys.unwrap(new, CONTEXT) == Unwrapped(KEY, current=True)


async def test_changed_cut_and_empty_wrappings_are_refused(wrapper: tuple[KeyWrapper, Rotate]) -> None:
    keys, _ = wrapper
    wrapped = await keys.wrap(KEY, CONTEXT)
    changed = [wrapped[:n] + bytes([wrapped[n] ^ 1]) + wrapped[n + 1 :] for n in range(len(wrapped))]
    for blob in (*changed, wrapped[:-1], wrapped[:5], wrapped + b"\0", b""):
        with pytest.raises(KeyRefused):
            await keys.unwrap(blob, CONTEXT)


async def test_a_key_is_not_shown(wrapper: tuple[KeyWrapper, Rotate]) -> None:
    keys, _ = wrapper
    unwrapped = await keys.unwrap(await keys.wrap(KEY, CONTEXT), CONTEXT)
    assert str(KEY) not in repr(unwrapped)


# What only a service far away does.


@pytest.fixture
def server() -> KmsServer:
    return KmsServer()


@pytest.fixture
async def kms(server: KmsServer) -> AsyncIterator[KmsKeys]:
    async with server.client() as client:
        yield KmsKeys(KEY_NAME, client)


@pytest.mark.parametrize("damage", ["request", "context", "answer", "name"])
async def test_what_was_damaged_on_the_way_is_asked_for_again(server: KmsServer, kms: KmsKeys, damage: str) -> None:
    server.damage = [damage]
    wrapped = await kms.wrap(KEY, CONTEXT)
    assert server.calls == 2
    server.damage = ["answer"]
    assert (await kms.unwrap(wrapped, CONTEXT)).key == KEY
    assert server.calls == 4


async def test_damage_that_stays_is_not_taken_for_a_key(server: KmsServer, kms: KmsKeys) -> None:
    wrapped = await kms.wrap(KEY, CONTEXT)
    server.damage = ["answer"] * 3
    with pytest.raises(KeyUnavailable):
        await kms.unwrap(wrapped, CONTEXT)
    server.damage = ["answer"] * 3
    with pytest.raises(KeyUnavailable):
        await kms.wrap(KEY, CONTEXT)


async def test_a_short_absence_is_waited_out(server: KmsServer, kms: KmsKeys) -> None:
    server.trouble = [grpc.StatusCode.UNAVAILABLE]
    wrapped = await kms.wrap(KEY, CONTEXT)
    assert (await kms.unwrap(wrapped, CONTEXT)).key == KEY


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    ],
)
async def test_what_may_pass_is_said_to(server: KmsServer, kms: KmsKeys, status: grpc.StatusCode) -> None:
    server.trouble = [status] * 2
    with pytest.raises(KeyUnavailable):
        await kms.wrap(KEY, CONTEXT)
    with pytest.raises(KeyUnavailable):
        await kms.unwrap(b"wrapped", CONTEXT)


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,  # the key's version is disabled or destroyed
        grpc.StatusCode.NOT_FOUND,
    ],
)
async def test_what_will_not_pass_is_said_to(server: KmsServer, kms: KmsKeys, status: grpc.StatusCode) -> None:
    server.trouble = [status] * 2
    with pytest.raises(KeyRefused):
        await kms.wrap(KEY, CONTEXT)
    with pytest.raises(KeyRefused):
        await kms.unwrap(b"wrapped", CONTEXT)
