"""Give the connectors a new image, one after another, each only when the one before it is proven; or put back what was there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from infra.canary.policy import LIMIT_S, Beat, Seen, Trial, order
from keepline.ports.documents import StoreUnavailable

LOOK_S = 5.0


class Pools(Protocol):
    """Where the connectors run."""

    async def image(self, connector: str) -> str: ...

    async def set_image(self, connector: str, image: str) -> None:
        """Returns when the platform has taken it on. Raises PoolTrouble."""


class PoolTrouble(Exception):
    """The platform did not take the image. The message is its own."""


async def release(
    pools: Pools,
    look: Callable[[], Awaitable[Seen]],
    monotonic_s: Callable[[], float],
    connectors: list[str],
    image: str,
    say: Callable[[str], None],
) -> bool:
    """Whether all connectors have `image` now. If not, all have what they had, as far as the platform let us."""
    changed: list[tuple[str, str]] = []
    for connector in order(connectors, await look()):
        old = await pools.image(connector)
        if old == image:
            say(f"{connector} has this image already")
            continue
        say(f"{connector} gets {image}")
        changed.append((connector, old))
        why = await _try(pools, look, monotonic_s, connector, image, say)
        if why:
            say(f"{connector} failed: {why}")
            await _put_back(pools, look, monotonic_s, changed, say)
            return False
        say(f"{connector} is proven")
    return True


async def _try(
    pools: Pools,
    look: Callable[[], Awaitable[Seen]],
    monotonic_s: Callable[[], float],
    connector: str,
    image: str,
    say: Callable[[str], None],
) -> str:
    """Why the image is no good there; empty if it is."""
    trial = Trial(connector, await look(), monotonic_s())
    said = ""
    try:
        await pools.set_image(connector, image)
        while not (verdict := trial.judge(await look(), monotonic_s())).proven:
            if verdict.failed:
                return verdict.why
            if (stage := verdict.why.split(" for ")[0]) != said:  # once for each stage, not for each look
                said = stage
                say(f"{connector}: {verdict.why}")
            await asyncio.sleep(LOOK_S)
    except (PoolTrouble, StoreUnavailable) as error:
        return str(error) or "Firestore does not answer"
    return ""


async def _put_back(
    pools: Pools,
    look: Callable[[], Awaitable[Seen]],
    monotonic_s: Callable[[], float],
    changed: list[tuple[str, str]],
    say: Callable[[str], None],
) -> None:
    """The one that failed first, and each back at work before the next one stops: the others carry its sessions meanwhile."""
    for connector, old in reversed(changed):
        say(f"{connector} gets back {old}")
        try:
            before = (await look()).beats.get(connector)
            await pools.set_image(connector, old)
            deadline_s = monotonic_s() + LIMIT_S
            while not _is_new((await look()).beats.get(connector), before):
                if monotonic_s() > deadline_s:
                    say(f"{connector} does not beat with its old image either: look at its log")
                    break
                await asyncio.sleep(LOOK_S)
        except (PoolTrouble, StoreUnavailable) as error:
            say(f"{connector} may not have it back: {error}")


def _is_new(beat: Beat | None, before: Beat | None) -> bool:
    return beat is not None and not beat.over and (before is None or beat.process != before.process)
