"""A thousand faults in the ring, none with two voices: each strikes while messages are on their way, and the next comes when
all is as it should be.

`python -m tests.simulation.failover --worlds 40` prints one line of JSON; `--seed 17` lives the world of that seed alone.
By its number a world goes at the pace `extreme` or `normal`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from keepline.domain.lease import EXTREME, NORMAL
from keepline.domain.message import OnDoubt
from keepline.testing.virtual_time import run_virtual
from keepline.testing.whatsapp import READ_MAX_S
from tests.simulation.ring import ACCOUNTS, CONNECTORS, Member, Ring
from tests.simulation.worlds import WorldFigures, add_seeds, live_all, seeds

FAULTS_PER_WORLD = 25
WORLDS = 42
CHATS = [f"1415555012{n}@s.whatsapp.net" for n in range(2)]
# How many messages a chat gets at once. Ten are claimed together and leave within seconds, one after another.
BURSTS = (0, 0, 0, 0, 0, 0, 0, 1, 1, 3, 10)
RECOVERY_LIMIT_S = 900.0
QUIET_S = (0.5, 5.0)

Fault = Callable[["Faults"], Awaitable[None]]


@dataclass
class Figures(WorldFigures):
    """What happened in one world, or in many."""

    worlds: int = 0
    virtual_s: float = 0.0
    accepted: int = 0
    handed_over: int = 0
    voices: int = 0

    def sums(self) -> dict[str, float]:
        return {
            "faults": self.faults.total(),
            "two_voices": self.voices,
            "handed_over": self.handed_over,
            "hours": round(self.virtual_s / 3600, 1),
            "accepted": self.accepted,
        }


class Faults:
    """The life of one world."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ring = Ring(self.random, NORMAL if seed % 3 == 2 else EXTREME)
        self.began_s = 0.0
        self._returning: list[asyncio.Task[None]] = []

    async def run(self, faults: int) -> Figures:
        ring = self.ring
        await ring.start()
        await self.rest("at the start")
        for _ in range(faults):
            await self._strike()
        await asyncio.gather(*self._returning)
        await asyncio.sleep(READ_MAX_S)
        await self.rest("at the end", receipts=True)
        await ring.stop()
        return self.figures()

    def figures(self) -> Figures:
        ring = self.ring
        verdict = ring.verdict()
        accepted = sum(len(number.accepted) for number in ring.numbers.values())
        return Figures(
            *(+ring.faults, verdict.counts(), verdict.complaints),
            *(1, ring.clock.monotonic_s(), accepted, ring.handed_over, len(ring.voices)),
        )

    async def _strike(self) -> None:
        """Messages, and in the middle of their way a fault."""
        random, ring = self.random, self.ring
        fault = random.choice(FAULTS)
        for number in ring.numbers.values():
            # Answers take their time, so that a chat's claimed messages leave one after another for some seconds.
            number.whatsapp.late_answer = random.choice([0.0, 0.0, 0.3])
        talk = asyncio.create_task(self._talk())
        await asyncio.sleep(random.uniform(0, 3))
        ring.faults[fault.__name__.strip("_")] += 1
        await fault(self)
        for number in ring.numbers.values():
            number.whatsapp.late_answer = 0.0
        await talk
        await self.rest(f"after {fault.__name__.strip('_')}")
        await asyncio.sleep(random.uniform(*QUIET_S))

    async def _talk(self) -> None:
        random, ring = self.random, self.ring
        for _ in range(random.randrange(1, 4)):
            for account, number in ring.numbers.items():
                chat = random.choice(CHATS)
                for _ in range(random.choice(BURSTS)):
                    await ring.accept(account, f"out {len(number.accepted)}", chat, on_doubt=OnDoubt.HOLD)
                if random.random() < 0.2:
                    ring.say(account, f"in {len(number.said)}", chat)
            await asyncio.sleep(random.uniform(0, 2))

    async def rest(self, when: str, *, receipts: bool = False) -> None:
        """Until all is as it should be."""
        try:
            async with asyncio.timeout(RECOVERY_LIMIT_S):
                while self.ring.unrest(receipts=receipts):  # noqa: ASYNC110 - virtual time, and nobody to tell us
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise AssertionError(f"no rest {when}: {self.ring.unrest(receipts=receipts)}") from None

    # Whom and how

    def victim(self) -> Member:
        """A living connector; mostly one that somebody speaks through."""
        living = self.ring.living
        speaking = [n.holder[0] for n in self.ring.numbers.values() if n.holder is not None and n.holder[0] in living]
        return self.random.choice(speaking if speaking and self.random.random() < 0.8 else living)

    def spare(self) -> bool:
        """Whether a connector may stay away: another one is left."""
        return len(self.ring.living) > 2

    def returns(self, name: str, after_s: float) -> None:
        async def boot() -> None:
            await asyncio.sleep(after_s)
            if self.ring.processes[name].life.dead:
                self.ring.boot(name)

        self._returning.append(asyncio.create_task(boot()))

    # The faults

    async def _kill(self) -> None:
        """Its machine stays away for minutes."""
        victim = self.victim()
        victim.kill()
        self.returns(victim.name, self.random.uniform(30, 200) if self.spare() else self.random.uniform(0, 5))

    async def _kill_and_restart(self) -> None:
        """Another process of the same name is there before anybody has noticed."""
        victim = self.victim()
        victim.kill()
        await asyncio.sleep(self.random.uniform(0, 2))
        self.ring.boot(victim.name)

    async def _sigterm(self) -> None:
        victim = self.victim()
        await victim.terminate()
        self.returns(victim.name, self.random.uniform(1, 60) if self.spare() else 1.0)

    async def _freeze(self) -> None:
        victim = self.victim()
        victim.stop()
        ttl_s = self.ring.profile.ttl_s
        await asyncio.sleep(self.random.choice([self.random.uniform(0, ttl_s), self.random.uniform(ttl_s, 4 * ttl_s)]))
        victim.go_on()

    async def _freeze_and_restart(self) -> None:
        """It is taken for dead and started again, and then the earlier process wakes."""
        victim = self.victim()
        victim.stop()
        await asyncio.sleep(self.random.uniform(0, 2 * self.ring.profile.ttl_s))
        self.ring.boot(victim.name)
        await asyncio.sleep(self.random.uniform(0, 2 * self.ring.profile.ttl_s))
        victim.go_on()
        await self._ended(victim)

    async def _no_firestore(self) -> None:
        victim = self.victim()
        victim.store.away = True
        await asyncio.sleep(self._some_time_s())
        victim.store.away = False

    async def _no_answers(self) -> None:
        """Of what it writes to Firestore half arrives or is answered."""
        victim = self.victim()
        victim.store.trouble = 0.5
        await asyncio.sleep(self._some_time_s())
        victim.store.trouble = 0.0

    async def _slow_firestore(self) -> None:
        victim = self.victim()
        victim.store.slowness = self.random.choice([30.0, 100.0, 200.0])
        await asyncio.sleep(self._some_time_s())
        victim.store.slowness = self.ring.slowness

    async def _silent_listeners(self) -> None:
        victim = self.victim()
        victim.store.deaf = True
        await asyncio.sleep(self._some_time_s())
        victim.store.deaf = False

    async def _no_whatsapp(self) -> None:
        victim = self.victim()
        victim.lose_path()
        await asyncio.sleep(self._some_time_s())
        victim.find_path()

    async def _no_network(self) -> None:
        victim = self.victim()
        victim.lose_path()
        victim.store.away = True
        await asyncio.sleep(self._some_time_s())
        victim.store.away = False
        victim.find_path()

    async def _region(self) -> None:
        """A region is cut from everything."""
        region = self.random.choice(sorted({CONNECTORS[process.name] for process in self.ring.living}))
        victims = [process for process in self.ring.living if CONNECTORS[process.name] == region]
        for victim in victims:
            victim.lose_path()
            victim.store.away = True
        await asyncio.sleep(self._some_time_s())
        for victim in victims:
            victim.store.away = False
            victim.find_path()

    async def _cell(self) -> None:
        for link in self.victim().links:
            link.lose_cell()

    async def _reset(self) -> None:
        number = self.ring.numbers[self.random.choice(list(ACCOUNTS))]
        for slot in number.devices:
            if self.random.random() < 0.7:
                self.ring.reset(number.account, slot, self.random.uniform(0, 10))

    async def _whatsapp(self) -> None:
        self.ring.lose_whatsapp()
        await asyncio.sleep(self.random.uniform(1, 30))
        self.ring.whatsapp_is_away = False

    async def _ended(self, process: Member) -> None:
        """The one whose name was taken ends by itself."""
        assert process.task is not None
        await asyncio.wait([process.task], timeout=60)
        if not process.task.done():
            raise AssertionError(f"{process.name} goes on although its name was taken")
        process.kill()

    def _some_time_s(self) -> float:
        return self.random.choice([0.5, 1.0, 2.0, 4.0]) * self.random.uniform(0.5, 1.5) * self.ring.profile.ttl_s


FAULTS: tuple[Fault, ...] = (
    Faults._kill,
    Faults._kill_and_restart,
    Faults._sigterm,
    Faults._freeze,
    Faults._freeze_and_restart,
    Faults._no_firestore,
    Faults._no_answers,
    Faults._slow_firestore,
    Faults._silent_listeners,
    Faults._no_whatsapp,
    Faults._no_network,
    Faults._region,
    Faults._cell,
    Faults._reset,
    Faults._whatsapp,
)


def live(seed: int, faults: int = FAULTS_PER_WORLD) -> Figures:
    """The world of one seed. Its complaints begin with the seed."""
    life = Faults(seed)
    try:
        figures = run_virtual(life.run(faults))
    except AssertionError as error:
        figures = Figures(worlds=1, faults=life.ring.faults, voices=len(life.ring.voices))
        figures.complaints = [str(error), *(f"two voices: {voice}" for voice in life.ring.voices)]
    figures.complaints = [f"seed {seed}: {complaint}" for complaint in figures.complaints]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=WORLDS)
    add_seeds(parser)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.set_threshold(50_000)  # Looking for garbage at the usual pace would be a fifth of the time.
    return live_all(live, seeds(arguments, arguments.worlds), Figures())


if __name__ == "__main__":
    sys.exit(main())
