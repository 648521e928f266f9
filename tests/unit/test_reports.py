"""Which days are reported on, how long a session was up, and how delays are ranked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepline.domain.connection_ledger import UP, Change, Span, ledger
from keepline.domain.reports import DAYS_MADE_UP_MAX, SETTLE_TIME, day_of, days_due, delays_of, next_report_at
from keepline.domain.session import SessionState

S = SessionState
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=1)
# With a half-hour shift, without midnight on some days, with midnight twice, on both sides of the date line.
ZONES = (
    *("UTC", "Europe/Bucharest", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("America/Havana", "Pacific/Apia", "Atlantic/Azores", "Pacific/Kiritimati"),
)


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def changes(*told: tuple[float, SessionState]) -> list[Change]:
    return [Change(at(hours), state) for hours, state in told]


@pytest.mark.parametrize(
    ("on", "zone", "hours"),
    [
        (date(2026, 3, 29), "Europe/Bucharest", 23),  # clocks go forward
        (date(2026, 10, 25), "Europe/Bucharest", 25),  # and back
        (date(2026, 9, 6), "America/Santiago", 23),  # midnight itself is skipped
        (date(2026, 4, 5), "Australia/Lord_Howe", 25),  # half an hour back: the 25th is a half
        (date(2026, 11, 22), "UTC", 24),
    ],
)
def test_a_day_is_as_long_as_its_people_say(on: date, zone: str, hours: int) -> None:
    day = day_of(on, ZoneInfo(zone))
    assert len(day.hours()) == hours
    assert day.hours()[0][0] == day.begin
    assert day.hours()[-1][1] == day.end


@given(st.dates(date(2000, 1, 1), date(2060, 1, 1)), st.sampled_from(ZONES))
def test_days_follow_each_other_without_a_gap_and_hours_fill_them(on: date, name: str) -> None:
    zone = ZoneInfo(name)
    day, following = day_of(on, zone), day_of(on + timedelta(days=1), zone)
    assert day.begin <= day.end == following.begin
    steps = [day.begin, *(end for _, end in day.hours())]
    assert steps[-1] == day.end
    assert [begin for begin, _ in day.hours()] == steps[:-1]


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
    st.sampled_from(ZONES),
    st.integers(0, 10),
)
def test_every_day_that_is_over_is_due_until_it_is_made(moment: datetime, name: str, behind: int) -> None:
    now, zone = moment.replace(tzinfo=UTC), ZoneInfo(name)
    [newest] = days_due(None, now, zone)
    assert newest.end + SETTLE_TIME <= now < day_of(newest.date + timedelta(days=1), zone).end + SETTLE_TIME
    made_until = newest.date - timedelta(days=behind)
    due = days_due(made_until, now, zone)
    assert [day.date for day in due] == [
        newest.date - timedelta(days=n) for n in reversed(range(min(behind, DAYS_MADE_UP_MAX)))
    ]
    assert now < next_report_at(now, zone) == day_of(newest.date + timedelta(days=1), zone).end + SETTLE_TIME


def test_downtime_is_from_the_loss_of_a_connection_to_its_return() -> None:
    before = changes((-5, S.CONNECTED))
    told = changes((2, S.RECONNECTING), (2.5, S.STARTING), (3, S.CONNECTED), (10, S.BANNED), (12, S.DEGRADED))
    found = ledger(before, told, BEGIN, END)
    assert found.down == (Span(at(2), at(3)), Span(at(10), at(12)))
    assert (found.watched_s, found.downtime_s, found.longest_s) == (86_400, 3 * 3_600, 2 * 3_600)
    assert (found.disconnects, found.reconnects, found.bans) == (2, 2, 1)
    assert found.degraded_s == 12 * 3_600


def test_a_session_that_was_never_linked_is_neither_up_nor_down() -> None:
    found = ledger([], changes((1, S.STARTING), (2, S.PAIRING), (3, S.STOPPED)), BEGIN, END)
    assert (found.watched_s, found.down) == (0, ())


def test_linking_again_is_downtime_and_linking_first_is_not() -> None:
    first = ledger([], changes((1, S.PAIRING), (2, S.STARTING), (4, S.CONNECTED)), BEGIN, END)
    assert (first.watched_s, first.downtime_s, first.reconnects) == (20 * 3_600, 0, 0)
    again = ledger(changes((-1, S.LOGGED_OUT)), changes((1, S.PAIRING), (4, S.CONNECTED)), BEGIN, END)
    assert (again.watched_s, again.downtime_s) == (24 * 3_600, 4 * 3_600)


def test_an_outage_over_midnight_is_of_both_days() -> None:
    told = changes((-3, S.CONNECTED), (23, S.RECONNECTING), (26, S.CONNECTED))
    today = ledger(told[:1], told, BEGIN, END)
    tomorrow = ledger(told[:2], told, END, END + timedelta(days=1))
    assert (today.downtime_s, tomorrow.downtime_s) == (3_600, 2 * 3_600)
    assert (today.disconnects, today.reconnects, tomorrow.disconnects, tomorrow.reconnects) == (1, 0, 0, 1)


histories = st.lists(st.tuples(st.integers(-600, 2_040), st.sampled_from(list(S))), max_size=30)


@given(histories, st.randoms(use_true_random=False), st.floats(1, 23))
def test_a_ledger_is_the_sum_of_its_parts_in_whatever_order_changes_come(
    told: list[tuple[int, SessionState]], random: object, cut: float
) -> None:
    history = sorted(
        changes(*((minute / 60, state) for minute, state in dict(told).items())), key=lambda change: change.at
    )
    before = [change for change in history if change.at < BEGIN]
    inside = [change for change in history if BEGIN <= change.at < END]
    whole = ledger(before, inside, BEGIN, END)
    shuffled = list(inside)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ledger(before, shuffled, BEGIN, END) == whole
    assert 0 <= whole.downtime_s <= whole.watched_s <= 86_400
    for one, other in zip(whole.down, whole.down[1:], strict=False):
        assert one.end < other.begin
    middle = at(cut)
    first = ledger(before, inside, BEGIN, middle)
    earlier = [change for change in history if change.at < middle]
    second = ledger(earlier, inside, middle, END)
    assert first.downtime_s + second.downtime_s == pytest.approx(whole.downtime_s)
    assert first.watched_s + second.watched_s == pytest.approx(whole.watched_s)
    assert first.disconnects + second.disconnects == whole.disconnects
    assert whole.disconnects - whole.reconnects in (-1, 0, 1)
    assert {S.CONNECTED} <= UP


def test_delays_are_those_of_real_messages() -> None:
    found = delays_of([0.1] * 90 + [2.0] * 9 + [-0.2, 60.0])
    assert found is not None
    assert (found.measured, found.p50_s, found.p95_s, found.max_s) == (101, 0.1, 2.0, 60.0)
    assert delays_of([]) is None
