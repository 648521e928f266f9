"""Where the CPU goes on the hot paths: send, settle, inbound, API accept. The three largest costs of each.

    python -m bench.profile --messages 600

The real use cases run on the shipped fakes, in virtual time: no socket and no store is waited for, so what is left is our own
work for a message. cProfile counts it; a function of ours bears its own time and that of the libraries that it calls itself
(JSON, hashes, copies), not that of our other functions; the fakes' own time is left out. Profiled code is slower than other code,
so what counts are shares. docs/performance.md tells what was done about them. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import logging
import pstats
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from keepline.testing.virtual_time import run_virtual
from tests.functions.support import World as ApiWorld
from tests.simulation.world import World

MESSAGES = 600
LARGEST = 3
CHATS = [f"1415555{n:04d}@s.whatsapp.net" for n in range(20)]
OURS = ("/keepline/", "/keepline_functions/", "/keepline_connector/")
FAKES = "/keepline/testing/"
Function = tuple[str, int, str]


@dataclass(frozen=True)
class Cost:
    """Of a path. `us`: microseconds of CPU for a message, profiled; `largest`: functions and their shares of it."""

    us: float
    largest: list[tuple[str, float]]


async def _linked() -> World:
    world = World(Random(1))  # noqa: S311 - a simulation, the same each time
    await world.start()
    world.boot()
    await asyncio.sleep(60)
    return world


async def _send(profile: cProfile.Profile, count: int) -> None:
    """Queued rows are claimed, handed over to the device, and settled as sent."""
    world = await _linked()
    world.whatsapp.recipients_are_off = True
    with profile:
        for n in range(count):
            await world.accept(f"out {n}", CHATS[n % len(CHATS)])
        await world.until_settled()
    await world.stop()


async def _settle(profile: cProfile.Profile, count: int) -> None:
    """What becomes of messages that were sent: delivered and read, each journalled and written."""
    world = await _linked()
    world.whatsapp.recipients_are_off = True
    for n in range(count):
        await world.accept(f"out {n}", CHATS[n % len(CHATS)])
    await world.until_settled()
    with profile:
        for shown in list(world.whatsapp.shown):
            world.whatsapp._read(shown.wa_message_id)
        await asyncio.sleep(120)
    await world.stop()


async def _inbound(profile: cProfile.Profile, count: int) -> None:
    """What a device hears is journalled, batched and written."""
    world = await _linked()
    with profile:
        for n in range(count):
            world.say(f"in {n}", CHATS[n % len(CHATS)])
            if n % 10 == 0:
                await asyncio.sleep(0.1)
        await world.until_settled()
    await world.stop()


def _accept(profile: cProfile.Profile, count: int) -> pstats.Stats:
    """The API: from the request to its 202, in the thread of the request and in that of the store."""
    world = ApiWorld()
    world.add_session(state="connected", code="connected", phone="14155550100")
    world.set_limit("anna", "messages", count=10 * count, period_s=60.0, burst=10 * count)
    client = world.process.app.test_client()
    loops = cProfile.Profile()

    async def watch(switch: Callable[[], None]) -> None:
        switch()

    world.run(watch(loops.enable))
    with profile:
        for n in range(count):
            body = {"session_id": "shop", "to": f"1415556{n % 10_000:04d}", "text": f"out {n}"}
            answer = client.post("/api/messages/send", json=body, headers=world.anna)
            assert answer.status_code == 202, answer.get_json()
    world.run(watch(loops.disable))
    world.loop.stop()
    return pstats.Stats(profile).add(loops)


def cost(stats: Any, count: int) -> Cost:
    """Own time of our functions, with what libraries take that they call themselves."""
    own: defaultdict[Function, float] = defaultdict(float)
    for function, (_, _, own_s, _, callers) in stats.stats.items():
        if _is_ours(function):
            own[function] += own_s
            continue
        for caller, (_, _, from_caller_s, _) in callers.items():
            if _is_ours(caller):
                own[caller] += from_caller_s
    whole_s = sum(own.values())
    largest = sorted(own.items(), key=lambda one: -one[1])[:LARGEST]
    return Cost(
        us=round(1e6 * whole_s / count, 1),
        largest=[(_named(function), round(seconds / whole_s, 3)) for function, seconds in largest],
    )


def _is_ours(function: Function) -> bool:
    return any(part in function[0] for part in OURS) and FAKES not in function[0]


def _named(function: Function) -> str:
    file = Path(function[0])
    return f"{file.parent.name}/{file.stem}.{function[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=MESSAGES, help=f"on each path (default {MESSAGES})")
    count = parser.parse_args().messages
    logging.disable(logging.CRITICAL)
    found: dict[str, Cost] = {}
    for name, path in (("send", _send), ("settle", _settle), ("inbound", _inbound)):
        profile = cProfile.Profile()
        run_virtual(path(profile, count))
        found[name] = cost(pstats.Stats(profile), count)
    found["accept"] = cost(_accept(cProfile.Profile(), count), count)
    for name, one in found.items():
        print(f"{name}: {one.us:.0f} µs a message, profiled")
        for where, part in one.largest:
            print(f"  {part:6.1%}  {where}")
    print(json.dumps({name: asdict(one) for name, one in found.items()}))


if __name__ == "__main__":
    main()
