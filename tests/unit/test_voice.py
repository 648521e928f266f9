"""Who may take the right to send, case by case."""

from __future__ import annotations

import pytest

from keepline.domain.voice import Holder, may_take_when_opening, may_take_when_ready

NOBODY = Holder("", "", yielded=False)


@pytest.mark.parametrize(
    ("holder", "slot", "may"),
    [
        (NOBODY, "a", True),
        (NOBODY, "b", False),
        (Holder("c1", "a", yielded=False), "a", True),  # it is put out by this one's login
        (Holder("c1", "a", yielded=True), "a", False),  # the other device may be quicker
        (Holder("c1", "a", yielded=False), "b", False),
    ],
)
def test_before_it_connects_a_device_takes_only_what_is_its_own(holder: Holder, slot: str, may: bool) -> None:
    assert may_take_when_opening(holder, slot, first_slot="a") is may


@pytest.mark.parametrize(
    ("holder", "slot", "silent", "may"),
    [
        (NOBODY, "a", False, True),
        (NOBODY, "b", False, False),
        (Holder("c1", "a", yielded=False), "b", False, False),
        (Holder("c1", "a", yielded=False), "b", True, True),
        (Holder("c1", "a", yielded=True), "b", False, True),
        (Holder("c2", "b", yielded=False), "b", False, True),
        (Holder("c1", "b", yielded=False), "b", False, False),  # another connector has been given this device
    ],
)
def test_a_device_that_is_ready_takes_what_nobody_uses(holder: Holder, slot: str, silent: bool, may: bool) -> None:
    assert may_take_when_ready(holder, "c2", slot, first_slot="a", holder_is_silent=silent) is may
