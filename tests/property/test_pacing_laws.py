"""Pacing: no limit is ever exceeded, and no wait is without an end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from keepline.domain.pacing import (
    AFTER_STRANGERS_BAN_S,
    BAN_UNKNOWN_S,
    CAREFUL,
    DAY_S,
    NORMAL,
    OFF,
    TIME_LOCK_REST_S,
    Pacing,
    PacingProfile,
)

steps = st.tuples(
    st.sampled_from([0.0, 0.1, 1.0, 7.0, 61.0, 40_000.0]),
    st.sampled_from(["a", "b", "c"]),
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([None, None, None, None, "wa_429", "wa_463", "ban_101"]),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([CAREFUL, NORMAL, OFF]), st.lists(steps, max_size=150), st.floats(0, 100 * DAY_S))
def test_whatever_is_asked_the_limits_hold_and_every_wait_ends(
    profile: PacingProfile, book: list[tuple[float, str, bool, float, str | None]], age_s: float
) -> None:
    pacing, now_s = Pacing(profile, 0.0, age_s), 0.0
    strangers: list[float] = []
    banned_until_s = locked_until_s = 0.0
    for later_s, chat, first, jitter, code in book:
        now_s += later_s
        if code is not None:
            pacing.signal(code, now_s)
            if code == "ban_101":
                banned_until_s = now_s + BAN_UNKNOWN_S
                locked_until_s = banned_until_s + AFTER_STRANGERS_BAN_S
            elif code == "wa_463":
                locked_until_s = max(locked_until_s, now_s + TIME_LOCK_REST_S)
        wait_s = pacing.wait_s(now_s, chat, first_contact=first)
        assert 0 <= wait_s <= BAN_UNKNOWN_S + AFTER_STRANGERS_BAN_S + 1e-3
        if wait_s:
            # What was promised is kept: after the wait nothing new stands in the way, unless something new happened.
            assert pacing.wait_s(now_s + wait_s, chat, first_contact=first) <= 1e-3
            continue
        assert now_s >= banned_until_s - 1e-3
        pacing.sent(now_s, chat, jitter, first_contact=first)
        if first:
            assert now_s >= locked_until_s - 1e-3
            strangers.append(now_s)
            assert sum(at > now_s - 60 for at in strangers) <= max(1, profile.first_contacts_per_minute)
            assert sum(at > now_s - DAY_S for at in strangers) <= profile.first_contacts_per_day
