"""The process dies at every await of sending, settling, hearing, restoring and taking over, with its disk and without."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from keepline.domain.send_queue import Outgoing
from keepline.usecases.sending import Sender
from tests.simulation.crashes import SCENARIOS, Scenario, places_of, verdict_of_crash

# Fewer awaits would mean that a scenario has become too small to say anything.
AWAITS_MIN = {"send": 50, "settle": 25, "inbound": 15, "restore": 100, "takeover": 100}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("disk_lost", [False, True], ids=["same-disk", "disk-lost"])
@pytest.mark.parametrize("standby", [False, True], ids=["alone", "standby"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_crash_at_any_await_loses_nothing_repeats_nothing_and_keeps_the_order(
    scenario: Scenario, standby: bool, disk_lost: bool
) -> None:
    places = places_of(scenario, standby=standby)
    assert len(places) >= AWAITS_MIN[scenario.name]
    for number, place in enumerate(places, start=1):
        verdict = verdict_of_crash(scenario, number, standby=standby, disk_lost=disk_lost)
        assert verdict.complaints == [], f"await {number} of {len(places)}, at {place}"
        if not disk_lost:
            assert verdict.unheard_with_disk == 0, f"await {number} of {len(places)}, at {place}"


def test_the_crashes_find_a_planted_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sender.settle_earlier_claims

    async def trusting(self: Sender, unsettled: list[Outgoing]) -> None:
        self._authority = replace(self._authority, incarnation=self._session.step.incarnation)
        await honest(self, unsettled)

    monkeypatch.setattr(Sender, "settle_earlier_claims", trusting)
    send = SCENARIOS[0]
    complaints = [
        complaint
        for number in range(1, len(places_of(send, standby=True)) + 1)
        for complaint in verdict_of_crash(send, number, standby=True, disk_lost=True).complaints
    ]
    assert any("shown 2 times" in complaint for complaint in complaints)
