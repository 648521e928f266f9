"""Reconnecting: when the next try comes, and when none does."""

from __future__ import annotations

import pytest

from keepline.domain.reconnect import (
    ATTEMPT_LIMIT_S,
    CAUSES,
    FLAPPING_S,
    LIBRARY_LIMIT_S,
    PROBE_INTERVAL_S,
    PROBES_EAGER,
    REFUSED_WAIT_S,
    STABLE_AFTER_S,
    TRIES_BEFORE_OPEN,
    Breaker,
    Kind,
    Loss,
    Reconnecting,
)
from keepline.domain.session import REASONS

LATEST = 0.999_999


def standing(now_s: float = 0.0) -> Reconnecting:
    """A device that has been connected for long."""
    device = Reconnecting(now_s - 1_000)
    assert device.begin(now_s - 1_000, 0.0)
    device.connected(now_s - 999)
    return device


def fail(device: Reconnecting, times: int, cause: str = "unreachable") -> float:
    """Fail that many due tries in a row, each at once. Returns the time of the last."""
    now_s = 0.0
    for _ in range(times):
        assert device.due_s is not None
        now_s = max(now_s, device.due_s)
        assert device.begin(now_s, LATEST)
        device.lost(cause, now_s, LATEST)
    return now_s


def test_a_device_is_connected_at_once_and_only_once() -> None:
    device = Reconnecting(now_s=5.0)
    assert device.due_s == 5.0
    assert device.begin(5.0, 0.5)
    assert not device.begin(5.0, 0.5)
    device.connected(6.0)
    assert device.due_s is None
    assert not device.begin(100.0, 0.5)


@pytest.mark.parametrize("cause", ["no_answer", "cell_lost"])
def test_the_first_try_after_a_connection_that_stood_is_made_at_once(cause: str) -> None:
    device = standing()
    assert device.lost(cause, 0.0, LATEST) is Loss.RETRYING
    assert device.begin(0.0, LATEST)
    assert device.breaker(0.0) is Breaker.CLOSED


def test_after_a_socket_reset_the_library_has_the_first_try_and_we_the_second() -> None:
    device = standing()
    device.lost("socket_closed", 0.0, LATEST)
    assert device.attempting
    assert not device.begin(0.0, LATEST)
    assert device.due_s == LIBRARY_LIMIT_S
    assert not device.begin(LIBRARY_LIMIT_S, LATEST)  # its failed try counts: a pause comes first
    assert device.due_s is not None
    assert LIBRARY_LIMIT_S + 0.5 <= device.due_s <= LIBRARY_LIMIT_S + 1.0
    assert device.begin(device.due_s, LATEST)


def test_a_library_is_left_alone_while_its_connections_last_a_while() -> None:
    device, now_s = standing(), 0.0
    for _ in range(20):
        device.lost("socket_closed", now_s, LATEST)
        assert device.attempting
        device.connected(now_s + 0.01)
        now_s += FLAPPING_S + 1
    assert device.failures == 0


def test_a_library_whose_connections_fall_at_once_is_barred_and_a_pause_comes() -> None:
    device, now_s = standing(), 0.0
    device.lost("socket_closed", now_s, LATEST)
    waits = []
    for _ in range(TRIES_BEFORE_OPEN):
        device.connected(now_s + 0.01)
        device.lost("socket_closed", now_s + 0.02, LATEST)
        assert not device.attempting
        assert device.due_s is not None
        waits.append(device.due_s - now_s)
        now_s = device.due_s
        assert device.begin(now_s, LATEST)
    assert waits == sorted(waits)
    assert waits[0] > 0.9
    assert device.breaker(now_s) is Breaker.HALF_OPEN


def test_a_library_that_is_back_in_time_costs_nothing() -> None:
    device = standing()
    device.lost("socket_closed", 0.0, LATEST)
    device.connected(0.01)
    assert device.due_s is None
    assert device.failures == 0


def test_pauses_grow_by_half_each_time() -> None:
    device = Reconnecting(0.0)
    pauses = []
    for _ in range(TRIES_BEFORE_OPEN - 1):
        now_s = fail(device, 1)
        assert device.due_s is not None
        pauses.append(device.due_s - now_s)
    assert pauses == pytest.approx([1.0, 1.5, 2.25, 3.375], rel=1e-4)


def test_the_fifth_failure_opens_the_breaker_and_says_so_once() -> None:
    device = Reconnecting(0.0)
    fail(device, TRIES_BEFORE_OPEN - 1)
    assert device.due_s is not None
    assert device.begin(device.due_s, 0.0)
    now_s = 100.0
    assert device.breaker(now_s) is Breaker.CLOSED
    assert device.lost("unreachable", now_s, LATEST) is Loss.OPENED
    assert device.breaker(now_s) is Breaker.OPEN
    assert device.due_s == pytest.approx(now_s + PROBE_INTERVAL_S, rel=1e-4)
    assert device.begin(device.due_s, 0.0)
    assert device.breaker(device.due_s or 0.0) is Breaker.HALF_OPEN
    assert device.lost("unreachable", 130.0, LATEST) is Loss.RETRYING


def test_probes_slow_down_when_the_outage_lasts() -> None:
    device = Reconnecting(0.0)
    now_s = fail(device, TRIES_BEFORE_OPEN + PROBES_EAGER)
    assert device.due_s == pytest.approx(now_s + 60.0, rel=1e-4)


def test_a_probe_that_succeeds_closes_the_breaker_once_its_connection_has_stood() -> None:
    device = Reconnecting(0.0)
    fail(device, TRIES_BEFORE_OPEN)
    assert device.begin(device.due_s or 0.0, 0.0)
    device.connected(50.0)
    assert device.breaker(51.0) is Breaker.HALF_OPEN
    assert device.breaker(50.0 + STABLE_AFTER_S) is Breaker.CLOSED
    device.lost("no_answer", 50.0 + STABLE_AFTER_S, LATEST)
    assert device.failures == 0


def test_a_connection_that_falls_at_once_again_and_again_is_not_tried_without_a_pause() -> None:
    device = standing()
    device.lost("no_answer", 0.0, LATEST)
    now_s, waits = 0.0, []
    for _ in range(TRIES_BEFORE_OPEN + 1):
        assert device.due_s is not None
        waits.append(device.due_s - now_s)
        now_s = device.due_s
        assert device.begin(now_s, LATEST)
        device.connected(now_s)
        device.lost("no_answer", now_s + 0.1, LATEST)
        now_s += 0.1
    assert waits[0] == 0
    assert all(wait >= 0.5 for wait in waits[1:])
    assert waits[-1] > 1


@pytest.mark.parametrize(
    "cause", ["logged_out", "outdated", "replaced", "banned", "pairing_timed_out", "never heard of"]
)
def test_what_is_permanent_is_not_tried_again_until_somebody_asks(cause: str) -> None:
    device = standing()
    assert device.lost(cause, 0.0, 0.0) is Loss.STOPPED
    assert device.due_s is None
    assert not device.begin(1e6, 0.0)
    device.asked(1e6)
    assert device.begin(1e6, 0.0)


def test_an_echo_of_a_permanent_loss_does_not_start_anything() -> None:
    device = standing()
    device.lost("logged_out", 0.0, 0.0)
    assert device.lost("socket_closed", 0.1, 0.0) is Loss.STOPPED
    assert device.due_s is None


def test_a_ban_with_an_end_is_waited_for_also_by_those_who_ask() -> None:
    device = standing()
    assert device.lost("banned", 0.0, 0.0, wait_s=3_600.0) is Loss.STOPPED
    assert device.due_s == 3_600.0
    device.asked(10.0)
    device.others_reached(20.0, 0.0)
    assert not device.begin(3_599.0, 0.0)
    assert device.begin(3_600.0, 0.0)


def test_a_refused_login_may_be_a_rate_limit_and_is_waited_for() -> None:
    device = Reconnecting(0.0)
    assert device.begin(0.0, 0.0)
    device.lost("login_refused", 0.0, 0.0)
    device.others_reached(1.0, 0.0)
    assert device.due_s == REFUSED_WAIT_S


def test_several_words_about_one_failure_count_once() -> None:
    device = Reconnecting(0.0)
    assert device.begin(0.0, 0.0)
    device.lost("unreachable", 0.0, 0.0)
    due_s = device.due_s
    device.lost("socket_closed", 0.1, 0.0)
    device.lost("unreachable", 0.2, 0.0)
    assert (device.failures, device.due_s) == (1, due_s)


def test_an_attempt_that_nothing_is_heard_of_is_given_up() -> None:
    device = Reconnecting(0.0)
    assert device.begin(0.0, 0.0)
    assert not device.begin(ATTEMPT_LIMIT_S - 0.1, 0.0)
    assert not device.begin(ATTEMPT_LIMIT_S, 0.0)
    assert device.failures == 1
    assert device.cause == "attempt_timed_out"
    assert device.begin(ATTEMPT_LIMIT_S + 1.0, 0.0)


def test_when_another_device_gets_through_the_next_probe_comes_forward() -> None:
    device = Reconnecting(0.0)
    now_s = fail(device, TRIES_BEFORE_OPEN)
    device.others_reached(now_s, 0.5)
    assert device.due_s == now_s + 5.0
    device.others_reached(now_s, 0.9)
    assert device.due_s == now_s + 5.0


def test_a_connection_that_we_cut_ourselves_is_made_anew_at_once() -> None:
    device = standing()
    device.cut(0.0, LATEST)
    assert device.begin(0.0, LATEST)


def test_a_library_that_we_have_barred_leaves_the_try_to_us() -> None:
    device = standing()
    device.lost("socket_closed", 0.0, LATEST)
    device.cut(0.1, LATEST)
    assert device.begin(0.1, LATEST)
    assert device.failures == 0


def test_cutting_what_is_down_for_good_starts_nothing() -> None:
    device = standing()
    device.lost("logged_out", 0.0, 0.0)
    device.cut(0.1, 0.0)
    assert device.due_s is None


def test_another_way_out_is_taken_at_once_whatever_stood_in_its_place() -> None:
    standing = Reconnecting(0.0)
    assert standing.begin(0.0, 0.0)
    standing.connected(1.0)
    standing.renewed(5.0)
    assert standing.begin(5.0, 0.0)
    standing.renewed(6.0)  # in the middle of a try
    assert standing.begin(6.0, 0.0)

    waiting = Reconnecting(0.0)
    fail(waiting, 5)
    assert waiting.due_s is not None
    soon = waiting.due_s - 1
    assert not waiting.begin(soon, 0.0)
    waiting.renewed(soon)
    assert waiting.begin(soon, 0.0)
    assert waiting.failures == 5

    done_for = Reconnecting(0.0)
    assert done_for.begin(0.0, 0.0)
    done_for.lost("logged_out", 1.0, 0.0)
    done_for.renewed(2.0)
    assert done_for.due_s is None


def test_the_limit_of_an_attempt_counts_from_when_a_cell_takes_it() -> None:
    device = Reconnecting(0.0)
    assert device.begin(0.0, 0.0)
    device.taken(20.0)
    assert device.due_s == 20.0 + ATTEMPT_LIMIT_S
    device.lost("unreachable", 21.0, 0.0)
    due_s = device.due_s
    device.taken(21.1)
    assert device.due_s == due_s, "it has failed already"


def test_the_login_after_a_scan_is_the_librarys_and_has_a_limit() -> None:
    device = Reconnecting(0.0)
    assert device.begin(0.0, 0.0)
    device.connected(1.0)  # a code is on offer
    device.linked(50.0)
    assert device.lost("socket_closed", 50.1, 0.0) is Loss.RETRYING
    assert not device.begin(50.0 + ATTEMPT_LIMIT_S - 0.1, 0.0)
    assert device.due_s == 50.0 + ATTEMPT_LIMIT_S


def test_failures_are_history_when_a_connection_has_stood() -> None:
    device = Reconnecting(0.0)
    fail(device, 2)
    assert device.begin(device.due_s or 0.0, 0.0)
    device.connected(10.0)
    assert device.proven_s == 10.0 + STABLE_AFTER_S
    device.proven(10.0 + STABLE_AFTER_S - 0.1)
    assert device.failures == 2
    device.proven(10.0 + STABLE_AFTER_S)
    assert device.failures == 0
    assert device.proven_s is None


def test_a_connection_has_stood_at_the_moment_that_was_said() -> None:
    for at_s in (number / 7 for number in range(1, 3_000)):  # as binary fractions have it
        stand_until_it_is_proven(at_s)


def stand_until_it_is_proven(at_s: float) -> None:
    device = Reconnecting(0.0)
    fail(device, 1)
    assert device.begin(max(at_s, device.due_s or 0.0), 0.0)
    device.connected(at_s + 1_000)
    assert device.proven_s is not None
    device.proven(device.proven_s)
    assert device.failures == 0


def test_every_reason_for_a_lost_connection_is_classified() -> None:
    lost = {"socket_closed", "login_refused", "unreachable", "no_answer", "cell_lost", "pairing_timed_out"}
    lost |= {"replaced", "logged_out", "banned", "outdated"}
    lost |= {"proxy_unreachable", "proxy_login", "proxy_refused", "proxy_not_allowed"}
    assert lost <= set(CAUSES) & set(REASONS)
    assert {code for code in lost if CAUSES[code].kind is Kind.PERMANENT} == {
        *("pairing_timed_out", "replaced", "logged_out", "banned", "outdated")
    }
