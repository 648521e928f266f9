"""What WhatsApp tells of groups and calls, through crashes wherever they hurt most: every notice is recorded, each once."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from keepline.domain.link_events import NoticeHeard
from keepline.domain.webhook_events import EventType
from keepline.records import notices
from keepline.testing.virtual_time import run_virtual
from tests.simulation.processes import ACCOUNT
from tests.simulation.world import World

GROUP = "120363000000000000@g.us"
NOTICES = 12
COMMITS_WATCHED_MAX = 25


async def crash_at_commit(number: int, *, after: bool, standby: bool) -> tuple[list[str], bool]:
    """A number is told a dozen things, some of them twice; the connector of its first device dies around its commit `number`."""
    world = World(Random(number), standby=standby)
    await world.start()
    world.whatsapp.deliver_twice = 0.3
    world.boot_all()
    crashed = False

    def crash(commit: int) -> None:
        nonlocal crashed
        if commit == number and not crashed:
            crashed = True
            world.kill()

    if after:
        world.store.after_commit = crash
    else:
        world.store.before_commit = crash
    for n in range(NOTICES):
        said = {"by": None, "subject": str(n)}
        world.whatsapp.tell(NoticeHeard(0, EventType.GROUP_JOIN.value, GROUP, str(n), world.clock.now(), said))
        await asyncio.sleep(world.random.uniform(0, 0.5))
    if crashed:
        world.boot()
    await world.until_settled()
    await world.stop()
    found = await world.documents.query(notices.notices_of_account(ACCOUNT, 100))
    return sorted(one.fields["said"]["subject"] for one in found), crashed


@pytest.mark.parametrize("standby", [False, True], ids=["alone", "with a standby"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_commit_loses_no_notice_and_repeats_none(after: bool, standby: bool) -> None:
    crashes = 0
    for number in range(1, COMMITS_WATCHED_MAX):
        told, crashed = run_virtual(crash_at_commit(number, after=after, standby=standby))
        assert told == sorted(map(str, range(NOTICES))), f"crash {'after' if after else 'before'} commit {number}"
        crashes += crashed
    # Fewer would mean that the scenario has become too small to say anything.
    assert crashes >= 10
