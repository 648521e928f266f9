"""A short storm on the real parts, so that `make chaos-queue` does not rot; the long one is a command of its own."""

from __future__ import annotations

from tests.chaos import storm


def test_what_was_accepted_is_shown_once_and_in_order_through_three_kills() -> None:
    told: list[str] = []
    options = storm.Options(phase="single", kills=3, seconds=6.0, seed=7, accounts=2, chats=2, rate=6.0)
    outcome = storm.run(options, told.append)
    assert outcome.broken == []
    figures = outcome.figures
    assert figures["kills"] == 3
    assert figures["shown"] == figures["accepted"] > 0
    assert figures["inbound"]["said"] > 0
    assert any("3 of 3 kills" in line for line in told)
