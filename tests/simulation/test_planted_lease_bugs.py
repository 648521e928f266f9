"""Each of these breaks one defence of who may speak; the ring that is well without it must not be."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest

from keepline.domain import lease
from keepline.domain.lease import EXTREME
from keepline.domain.message import OnDoubt
from keepline.records.connectors import ConnectorBeat
from keepline.testing import whatsapp
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases.neighbours import Neighbours
from tests.simulation import failover, ring
from tests.simulation.failover import Fault, Faults
from tests.simulation.ring import Member, Ring

pytestmark = pytest.mark.timeout(300)

WORLDS_MAX = 12
FAULTS = 15


@pytest.fixture(autouse=True)
def _worlds_at_the_edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a lease leaves to chance goes wrong here: the clocks, and that something is just about to leave."""
    monkeypatch.setattr(ring, "DRIFTS", {"east": (-1,), "west": (1,)})
    monkeypatch.setattr(failover, "BURSTS", (0, 10))
    logging.disable(logging.CRITICAL)
    yield
    gc.collect()  # Killed processes leave tasks behind that wait for ever, and asyncio says so.
    logging.disable(logging.NOTSET)


def caught(monkeypatch: pytest.MonkeyPatch, *kinds: str, faults: Sequence[Fault]) -> bool:
    """Whether a world complains in one of these words, of those in which nothing but these faults strikes."""
    monkeypatch.setattr(failover, "FAULTS", tuple(faults))
    return any(
        any(kind in told for told in failover.live(seed, FAULTS).complaints for kind in kinds)
        for seed in range(WORLDS_MAX)
    )


def wake_in_the_middle_of_a_send() -> list[str]:
    """Who speaks out of turn: a process is stopped when a message is about to leave, and wakes when another has the right."""

    async def story() -> list[str]:
        world = Ring(Random(1), EXTREME)
        await world.start()
        await until(lambda: not world.unrest())
        number = world.numbers["demo_both1"]
        assert number.holder is not None
        process, slot = number.holder
        other = next(device for name, device in number.devices.items() if name != slot)
        copies = f"ratchet:own:{other.number}:out"
        disk = process.folder(number.account, slot).disk
        before = disk.get(copies)
        await world.accept(number.account, "in the middle", failover.CHATS[0], on_doubt=OnDoubt.RESEND)
        # The copy for the other device is the last that is made before all of it leaves.
        await until(lambda: disk.get(copies) != before)
        process.stop()
        await until(lambda: number.holder != (process, slot))
        process.go_on()
        await until(lambda: not world.unrest())
        await world.stop()
        return world.voices

    return run_virtual(story())


async def until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - virtual time, and nobody to tell us
            await asyncio.sleep(0.002)


def test_nothing_planted_nothing_found() -> None:
    assert [failover.live(seed, FAULTS).complaints for seed in range(2)] == [[]] * 2
    assert wake_in_the_middle_of_a_send() == []


def test_there_is_no_safety_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SAFETY_MARGIN", 0.0)
    # Where Firestore is quick, others act soon; and what ten messages of a chat take is a little more than a lease.
    monkeypatch.setattr(ring, "SLOWNESS", (0.2,))
    monkeypatch.setattr(whatsapp, "LATENCY_MAX_S", 0.15)
    monkeypatch.setattr(failover, "BURSTS", (10,))
    assert caught(monkeypatch, "two voices", faults=(Faults._no_firestore,))


def test_an_observer_acts_before_it_has_said_that_the_lease_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: Neighbours, connector: str) -> bool:
        if connector in ("", self._connector) or not self._known:
            return False
        beat = self._beats.get(connector)
        return beat is None or beat.is_over or self._watch(connector, beat).expired(self._clock.monotonic_s())

    async def unsaid(self: Neighbours, beat: ConnectorBeat) -> None:
        self._changed()

    monkeypatch.setattr(Neighbours, "is_silent", hasty)
    monkeypatch.setattr(Neighbours, "_say_expired", unsaid)
    assert caught(monkeypatch, "two voices", faults=(Faults._silent_listeners,))


def test_a_process_that_wakes_does_not_ask_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeLink, "_is_up", lambda self, socket: self._up and self._socket == socket)
    monkeypatch.setattr(Member, "_look_at_deadline", lambda self: None)
    assert wake_in_the_middle_of_a_send()


def test_the_right_is_given_up_while_the_socket_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    async def uncut(self: FakeLink) -> None:
        return

    monkeypatch.setattr(FakeLink, "cut", uncut)
    assert caught(monkeypatch, "two voices", faults=(Faults._no_whatsapp,))
