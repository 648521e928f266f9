"""Pacing: what an account may send when, and what WhatsApp's signals do to it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from statistics import fmean

import pytest

from keepline.domain.pacing import (
    AFTER_STRANGERS_BAN_S,
    BAN_UNKNOWN_S,
    CAREFUL,
    DAY_S,
    NORMAL,
    OFF,
    PROFILES,
    RATE_REST_S,
    TIME_LOCK_REST_S,
    Pacing,
    PacingMemory,
    PacingProfile,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR_S = 365 * DAY_S


def warmed_up(profile: PacingProfile = NORMAL) -> Pacing:
    return Pacing(profile, 0.0, age_s=YEAR_S)


def send_all(pacing: Pacing, chats: list[str], *, first_contact: bool = False, seed: int = 1) -> list[float]:
    """Send one after the other, as soon as each may go. Returns when."""
    random, now_s, times = Random(seed), 0.0, []
    for chat in chats:
        while (wait_s := pacing.wait_s(now_s, chat, first_contact=first_contact)) > 0:
            now_s += wait_s
        pacing.sent(now_s, chat, random.random(), first_contact=first_contact)
        times.append(now_s)
    return times


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_the_pauses_between_messages_vary_around_the_profiles_mean() -> None:
    pauses = gaps(send_all(warmed_up(), [f"chat{n}" for n in range(1_000)]))
    assert 0.9 < fmean(pauses) < 1.1
    assert min(pauses) >= 0.4 - 1e-6
    assert max(pauses) <= 3.5
    assert len({round(pause, 3) for pause in pauses}) > 500


def test_a_burst_in_a_chat_goes_through_and_borrows_from_the_time_after() -> None:
    pauses = gaps(send_all(warmed_up(), ["chat"] * 60))
    assert max(pauses[:15]) < 3.5
    assert fmean(pauses[40:]) == pytest.approx(NORMAL.chat_gap_s, abs=0.5)


def test_one_busy_chat_does_not_hold_up_the_others() -> None:
    pacing = warmed_up()
    now_s = send_all(pacing, ["busy"] * 40)[-1] + 5
    assert pacing.wait(now_s, "busy", first_contact=False).because == "chat"
    assert pacing.wait_s(now_s, "other", first_contact=False) == 0


def test_strangers_are_written_to_twice_a_minute_and_replies_in_between() -> None:
    pacing = warmed_up()
    times = send_all(pacing, ["s1", "s2", "s3"], first_contact=True)
    assert times[1] < 5
    assert times[2] - times[0] == pytest.approx(60)

    pacing = warmed_up()
    send_all(pacing, ["s1", "s2"], first_contact=True)
    assert pacing.wait(30.0, "s3", first_contact=True).because == "first_contacts"
    assert pacing.wait_s(30.0, "friend", first_contact=False) == 0


@pytest.mark.parametrize(
    ("age_days", "allowed"), [(0, 10), (2.9, 10), (3, 20), (6, 40), (12, 160), (15, 200), (3_650, 200)]
)
def test_a_new_number_warms_up(age_days: float, allowed: int) -> None:
    pacing = Pacing(NORMAL, 0.0, age_s=age_days * DAY_S)
    times = send_all(pacing, [f"stranger{n}" for n in range(allowed + 1)], first_contact=True)
    assert (
        times[allowed] - times[0] >= DAY_S - 1e-6
        or age_days * DAY_S + times[allowed] >= (age_days // 3 + 1) * 3 * DAY_S
    )
    assert times[allowed - 1] - times[0] < DAY_S / 2


def test_what_the_day_has_had_counts_for_whoever_sends_next() -> None:
    first = Pacing(NORMAL, 0.0)
    send_all(first, [f"stranger{n}" for n in range(10)], first_contact=True)
    memory = first.memory(NOW, 600.0)
    again = Pacing.resumed(NORMAL, memory, NOW, 5.0, linked_at=NOW - timedelta(seconds=600))
    wait = again.wait(5.0, "stranger", first_contact=True)
    assert wait.because == "first_contacts"
    assert wait.seconds == pytest.approx(DAY_S - 600.0)
    assert again.memory(NOW + timedelta(days=2), 5.0 + 2 * DAY_S) == PacingMemory()


def test_signals_hold_for_whoever_sends_next() -> None:
    first = warmed_up()
    first.signal("wa_463", 0.0)
    first.signal("wa_429", 0.0)
    again = Pacing.resumed(NORMAL, first.memory(NOW, 60.0), NOW, 1_000.0, linked_at=NOW - timedelta(days=365))
    assert again.wait(1_000.0, "stranger", first_contact=True).because == "time_lock"
    assert again.wait_s(1_000.0, "stranger", first_contact=True) == pytest.approx(TIME_LOCK_REST_S - 60)
    assert again.wait_s(1_000.0, "friend", first_contact=False) == 0
    again.sent(1_000.0, "friend", 0.5, first_contact=False)
    slowed = again.wait_s(1_000.0, "other", first_contact=False)
    first.sent(60.0, "friend", 0.5, first_contact=False)
    assert slowed == pytest.approx(first.wait_s(60.0, "other", first_contact=False))


def test_it_matters_who_is_a_stranger_only_where_something_depends_on_it() -> None:
    assert Pacing(NORMAL, 0.0).tells_strangers(0.0)
    off = Pacing(OFF, 0.0)
    assert not off.tells_strangers(0.0)
    off.signal("wa_463", 0.0)
    assert off.tells_strangers(1.0)
    assert not off.tells_strangers(TIME_LOCK_REST_S)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_time_lock_stops_first_contacts_and_not_replies(profile: PacingProfile) -> None:
    pacing = warmed_up(profile)
    assert pacing.signal("wa_463", 0.0)
    wait = pacing.wait(0.0, "stranger", first_contact=True)
    assert (wait.because, wait.seconds) == ("time_lock", TIME_LOCK_REST_S)
    assert pacing.wait_s(0.0, "friend", first_contact=False) == 0
    assert pacing.wait_s(TIME_LOCK_REST_S, "stranger", first_contact=True) == 0


def test_a_rate_limit_rests_and_then_halves_the_pace_which_creeps_back() -> None:
    pacing = warmed_up()
    for n in range(10):
        pacing.signal("wa_429", n / 10)  # of one flood
    assert pacing.wait(1.0, "chat", first_contact=False).because == "rate_limit"
    assert pacing.wait_s(1.0, "chat", first_contact=False) <= RATE_REST_S

    def pause_at(now_s: float) -> float:
        pacing.sent(now_s, "any", 0.5, first_contact=False)
        return pacing.wait_s(now_s, "other", first_contact=False)

    usual = 0.4 + 0.6 * math.log(2)
    assert pause_at(RATE_REST_S + 1) == pytest.approx(2 * usual, rel=0.1)
    assert pause_at(3_600.0) == pytest.approx(usual)


def test_the_pace_is_never_slowed_without_an_end() -> None:
    pacing = warmed_up()
    for n in range(100):
        pacing.signal("wa_429", n * 31.0)
    pacing.sent(3_200.0, "chat", 0.5, first_contact=False)
    assert pacing.wait_s(3_200.0, "other", first_contact=False) <= 16 * 3.4


@pytest.mark.parametrize(("code", "lasts_s"), [("ban_102", 3_600.0), ("ban_106", 0.0)])
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_ban_stops_everything_until_it_ends(profile: PacingProfile, code: str, lasts_s: float) -> None:
    pacing = warmed_up(profile)
    pacing.signal(code, 0.0, lasts_s)
    ends_s = lasts_s or BAN_UNKNOWN_S
    wait = pacing.wait(0.0, "friend", first_contact=False)
    assert (wait.because, wait.seconds) == ("banned", ends_s)
    assert pacing.wait_s(ends_s, "friend", first_contact=False) == 0


def test_after_a_ban_for_too_many_strangers_there_are_none_for_a_day() -> None:
    pacing = warmed_up()
    pacing.signal("ban_101", 0.0, 3_600.0)
    assert pacing.wait_s(3_600.0, "friend", first_contact=False) == 0
    wait = pacing.wait(3_600.0, "stranger", first_contact=True)
    assert (wait.because, wait.seconds) == ("time_lock", AFTER_STRANGERS_BAN_S)


@pytest.mark.parametrize("code", ["wa_479", "no_lid", "not_connected", ""])
def test_other_errors_are_no_signals(code: str) -> None:
    pacing = warmed_up()
    assert not pacing.signal(code, 0.0)
    assert pacing.wait_s(0.0, "chat", first_contact=True) == 0


def test_off_spaces_nothing() -> None:
    assert send_all(Pacing(OFF, 0.0), ["chat"] * 1_000, first_contact=True)[-1] == 0.0


def test_asking_often_gains_nothing() -> None:
    pacing = warmed_up()
    pacing.sent(0.0, "chat", 0.9, first_contact=False)
    waits = {pacing.wait_s(0.1, "other", first_contact=False) for _ in range(100)}
    assert len(waits) == 1
    assert waits.pop() > 1


def test_careful_is_slower_than_normal_in_everything() -> None:
    assert CAREFUL.gap_s > NORMAL.gap_s
    assert CAREFUL.chat_burst < NORMAL.chat_burst
    assert CAREFUL.first_contacts_per_minute < NORMAL.first_contacts_per_minute
    assert CAREFUL.first_contacts_per_day < NORMAL.first_contacts_per_day
    assert CAREFUL.first_contacts_per_day_new < NORMAL.first_contacts_per_day_new
