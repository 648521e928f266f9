"""Laws of the uptime ledger and of its states: whatever the outages, the gaps and the order in which they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from keepline.domain.uptime_checks import ANSWERS, PRESETS, Check, Condition, State, after
from keepline.domain.uptime_counts import BOUNDS_MS, percentile_ms
from keepline.domain.uptime_ledger import (
    Ledger,
    Span,
    budget,
    day_span,
    figures,
    last_days,
    longest_outage_s,
    mean_repair_s,
    month_span,
    total_s,
    union,
    without,
)

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 24 * 7
NOW = BEGIN + timedelta(hours=HOURS)

moments = st.integers(0, HOURS * 3600).map(lambda seconds: BEGIN + timedelta(seconds=seconds))
spans = st.tuples(moments, moments).map(lambda two: Span(min(two), max(two)))
lists = st.lists(spans, max_size=8)
ledgers = st.builds(Ledger, watched_since=moments, now=st.just(NOW), outages=lists, gaps=lists)


def seconds_in(spans: list[Span], step_s: int = 3600) -> int:
    """How many of some moments lie in any of them: slowly, and plainly right."""
    marks = [BEGIN + timedelta(seconds=n) for n in range(0, HOURS * 3600, step_s)]
    return sum(any(span.begin <= mark < span.end for span in spans) for mark in marks)


@given(lists, lists)
def test_spans_joined_and_taken_away_hold_the_moments_that_they_should(some: list[Span], others: list[Span]) -> None:
    joined = union(some)
    assert all(one.end < following.begin for one, following in pairwise(joined))
    assert seconds_in(joined) == seconds_in(some)
    rest = without(some, others)
    both = seconds_in(some) + seconds_in(others) - seconds_in([*some, *others])
    assert seconds_in(rest) == seconds_in(some) - both
    assert total_s(rest) <= total_s(joined)


@given(ledgers, spans)
def test_no_figure_is_impossible(ledger: Ledger, period: Span) -> None:
    found = figures(ledger, period)
    assert found.uptime is None or 0 <= found.uptime <= 1
    assert (found.uptime is None) == (found.watched_s == 0)
    assert 0 <= found.down_s <= found.watched_s + 1e-6
    assert found.watched_s + found.not_watched_s <= period.seconds + 1e-6
    assert found.not_watched_s >= 0


@given(ledgers, st.randoms())
def test_the_order_of_what_is_on_record_does_not_matter(ledger: Ledger, random: object) -> None:
    shuffled = Ledger(ledger.watched_since, NOW, ledger.outages[::-1], ledger.gaps[::-1])
    assert figures(ledger, last_days(NOW, 7)) == figures(shuffled, last_days(NOW, 7))


@given(ledgers)
def test_what_is_told_twice_counts_once(ledger: Ledger) -> None:
    twice = Ledger(ledger.watched_since, NOW, [*ledger.outages, *ledger.outages], [*ledger.gaps, *ledger.gaps])
    period = last_days(NOW, 7)
    assert figures(twice, period) == figures(ledger, period)
    assert longest_outage_s(twice) == longest_outage_s(ledger)
    assert mean_repair_s(twice) == mean_repair_s(ledger)


@given(ledgers, moments)
def test_a_period_comes_to_what_its_parts_come_to(ledger: Ledger, between: datetime) -> None:
    whole = figures(ledger, Span(BEGIN, NOW))
    parts = [figures(ledger, Span(BEGIN, between)), figures(ledger, Span(between, NOW))]
    for name in ("down_s", "watched_s", "not_watched_s"):
        assert abs(getattr(whole, name) - sum(getattr(part, name) for part in parts)) < 1e-3


@given(ledgers)
def test_days_come_to_the_week_that_they_make(ledger: Ledger) -> None:
    days = [figures(ledger, day_span((BEGIN + timedelta(days=n)).date())) for n in range(7)]
    whole = figures(ledger, Span(BEGIN, NOW))
    assert abs(sum(day.down_s for day in days) - whole.down_s) < 1e-3
    assert abs(sum(day.watched_s for day in days) - whole.watched_s) < 1e-3


@given(ledgers, spans)
def test_a_gap_never_makes_the_uptime_better_than_what_was_seen(ledger: Ledger, gap: Span) -> None:
    """Time that nobody watched is taken away from both sides, or is inside of an outage."""
    more = Ledger(ledger.watched_since, NOW, ledger.outages, [*ledger.gaps, gap])
    period = last_days(NOW, 7)
    before, now = figures(ledger, period), figures(more, period)
    assert now.down_s == before.down_s
    assert now.watched_s <= before.watched_s + 1e-6
    if now.uptime is not None and before.uptime is not None:
        assert now.uptime <= before.uptime + 1e-9


def test_an_hour_that_nobody_watched_is_not_uptime() -> None:
    hour = Span(BEGIN, BEGIN + timedelta(hours=1))
    ledger = Ledger(BEGIN, BEGIN + timedelta(hours=2), [], [hour])
    assert figures(ledger, hour).uptime is None
    assert figures(ledger, hour).not_watched_s == 3600


def test_an_outage_over_a_gap_is_down_throughout() -> None:
    outage = Span(BEGIN, BEGIN + timedelta(hours=2))
    gap = Span(BEGIN + timedelta(minutes=30), BEGIN + timedelta(minutes=90))
    found = figures(Ledger(BEGIN, NOW, [outage], [gap]), day_span(BEGIN.date()))
    assert (found.down_s, found.not_watched_s) == (7200, 0)


def test_before_a_target_was_watched_nothing_is_claimed() -> None:
    ledger = Ledger(NOW - timedelta(hours=1), NOW, [], [])
    found = figures(ledger, last_days(NOW, 90))
    assert (found.uptime, found.watched_s, found.not_watched_s) == (1.0, 3600, 0)


@given(ledgers, st.floats(0.5, 0.99999))
def test_the_budget_is_what_the_objective_leaves(ledger: Ledger, slo: float) -> None:
    found = budget(ledger, slo)
    assert abs(found.allowed_s - (1 - slo) * 30 * 86_400) < 1e-3
    assert found.left_s == found.allowed_s - found.used_s


def test_a_month_ends_where_the_next_begins() -> None:
    for month in range(1, 12):
        span = month_span(datetime(2026, month, 28, tzinfo=UTC).date())
        assert span.end == month_span(datetime(2026, month + 1, 1, tzinfo=UTC).date()).begin


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=200))
def test_a_percentile_lies_among_the_answers(answers: list[int]) -> None:
    histogram = [0] * (len(BOUNDS_MS) + 1)
    for ms in answers:
        histogram[next((n for n, bound in enumerate(BOUNDS_MS) if ms <= bound), len(BOUNDS_MS))] += 1
    found = percentile_ms(histogram, max(answers), 0.95)
    assert found is not None
    assert 0 <= found <= max(answers)


@given(st.lists(st.sampled_from([20, 2_000, "timeout"]), max_size=200), st.sampled_from(sorted(PRESETS)))
def test_states_and_outages_fit_whatever_the_checks(results: list[int | str], preset: str) -> None:
    pace = PRESETS[preset]
    condition, began = Condition(State.UNKNOWN, BEGIN), None
    for number, result in enumerate(results):
        at = BEGIN + timedelta(seconds=number * pace.interval_s)
        before = condition
        condition = after(before, Check(at, ANSWERS, result) if isinstance(result, int) else Check(at, result), pace)
        assert (condition.state is State.DOWN) == (condition.outage_began is not None)
        if before.state is not State.DOWN and condition.state is State.DOWN:
            assert condition.failures == pace.failures_until_down
            began = condition.outage_began
            assert began == at - timedelta(seconds=(pace.failures_until_down - 1) * pace.interval_s)
        if before.state is State.DOWN and condition.state is not State.DOWN:
            assert condition.successes == pace.successes_until_up
            assert began is not None
            assert condition.since >= began or condition.state is State.DEGRADED
        assert len(condition.recent) <= 60
