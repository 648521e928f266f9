"""Leases: what a holder and an observer may believe, moment by moment."""

from __future__ import annotations

import pytest

from keepline.domain.lease import EXTREME, NORMAL, PROFILES, HeldLease, LeaseProfile, LeaseWatch, SignsOfLife


def test_the_profiles_are_those_of_the_design() -> None:
    assert {name: (profile.heartbeat_s, profile.ttl_s) for name, profile in PROFILES.items()} == {
        "extreme": (1.0, 3.0),
        "normal": (5.0, 15.0),
    }


def held(sent_at_s: float = 100.0) -> HeldLease:
    lease = HeldLease(EXTREME)
    assert lease.acquired(sent_at_s, sent_at_s + 0.2)
    return lease


def test_a_lease_counts_from_before_its_renewal_was_sent() -> None:
    lease = held(100.0)
    assert lease.deadline_s == pytest.approx(102.7)
    assert lease.renewed(101.0, now_s=102.5)
    assert lease.deadline_s == pytest.approx(103.7)
    assert lease.holds(103.6)
    assert not lease.holds(103.7)


def test_a_lease_that_was_never_acquired_is_not_held_and_cannot_be_renewed() -> None:
    lease = HeldLease(EXTREME)
    assert not lease.holds(0.0)
    assert not lease.renewed(0.0, 0.1)
    assert not lease.holds(0.2)


def test_a_lease_that_ran_out_stays_so_until_it_is_acquired_anew() -> None:
    lease = held(100.0)
    assert not lease.renewed(102.6, now_s=103.0)
    assert not lease.holds(103.0)
    assert not lease.holds(101.0)  # not even for a line of code that read its clock earlier
    assert lease.acquired(103.1, 103.2)
    assert lease.holds(103.3)
    assert lease.incarnation == 2


def test_an_acquisition_that_took_too_long_is_none() -> None:
    lease = HeldLease(EXTREME)
    assert not lease.acquired(100.0, now_s=102.7)
    assert not lease.holds(102.7)
    assert lease.incarnation == 0


def test_a_late_answer_to_an_older_renewal_takes_nothing_away() -> None:
    lease = held(100.0)
    assert lease.renewed(101.5, 101.6)
    assert lease.renewed(101.0, 101.7)
    assert lease.deadline_s == pytest.approx(104.2)


def test_a_lease_that_somebody_declared_expired_is_lost_at_once() -> None:
    lease = held(100.0)
    lease.lost()
    assert not lease.holds(100.3)


def watch_until(watch: LeaseWatch, beat: int, start_s: float, end_s: float, step_s: float = 1.0) -> None:
    looks = round((end_s - start_s) / step_s)
    for look in range(looks + 1):
        watch.seen(beat, start_s + look * step_s)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_counter_that_stands_still_for_the_ttl_is_expired_and_not_before(profile: LeaseProfile) -> None:
    watch = LeaseWatch(profile.ttl_s)
    watch_until(watch, 7, 0.0, profile.ttl_s - 1)
    assert not watch.expired(profile.ttl_s - 0.01)
    assert watch.expired(profile.ttl_s)
    assert watch.beat == 7


def test_a_counter_that_moves_is_alive_also_when_it_moves_backwards() -> None:
    watch = LeaseWatch(EXTREME.ttl_s)
    watch_until(watch, 7, 0.0, 2.0)
    watch.seen(1, 2.9)  # a restarted connector counts from 1
    assert not watch.expired(4.0)
    assert not watch.expired(5.0)
    assert watch.expired(6.0)


def test_an_observer_that_has_just_started_watches_for_a_whole_ttl_first() -> None:
    watch = LeaseWatch(NORMAL.ttl_s)
    assert not watch.expired(1_000.0)
    watch.seen(7, 1_005.0)
    assert not watch.expired(1_010.0)
    assert not watch.expired(1_015.0)
    assert watch.expired(1_020.0)


def test_an_observer_that_was_paused_watches_anew() -> None:
    watch = LeaseWatch(EXTREME.ttl_s)
    watch_until(watch, 7, 0.0, 2.0)
    assert not watch.expired(60.0)
    assert not watch.expired(61.0)
    assert not watch.expired(62.0)
    assert watch.expired(63.0)


def test_a_connector_that_was_never_seen_is_not_declared_expired() -> None:
    watch = LeaseWatch(EXTREME.ttl_s)
    assert not any(watch.expired(float(second)) for second in range(10))


def test_an_observer_that_news_reach_late_is_wrong_and_can_know_it_by_the_counter() -> None:
    """Why nobody acts on `expired` but on condition that the document still has `beat`."""
    holder, stands = held(0.0), 7
    watch = LeaseWatch(EXTREME.ttl_s)
    for second in range(4):
        watch.seen(7, second + 0.0)  # what was read long ago
        stands += holder.renewed(second + 0.1, second + 0.2)
    assert watch.expired(3.1)
    assert holder.holds(3.1)
    assert watch.beat != stands


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_lease_is_renewed_only_for_what_shows_that_it_works(profile: LeaseProfile) -> None:
    signs = SignsOfLife(profile)
    assert not signs.allow_renewal(100.0)
    signs.seen(100.0)
    assert signs.allow_renewal(100.0 + 2 * profile.ttl_s)
    assert not signs.allow_renewal(100.1 + 2 * profile.ttl_s)
    signs.seen(100.2 + 2 * profile.ttl_s)
    assert signs.allow_renewal(100.2 + 3 * profile.ttl_s)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_sign_of_life_may_be_missed_many_times_before_it_counts(profile: LeaseProfile) -> None:
    assert profile.sign_of_life_max_s >= 10 * profile.sign_of_life_s
