"""A short run of tests/chaos/webhooks.py: a receiver that fails, hangs, redirects, is slow, closes, and is killed at random."""

from __future__ import annotations

from tests.chaos.webhooks import run


async def test_every_event_arrives_in_the_order_of_its_chat_at_a_receiver_that_is_killed_at_random() -> None:
    report = await run(events=600, seed=7)
    assert report.is_good, report
    assert report.receiver_kills >= 1
    assert report.deliverer_kills >= 1
