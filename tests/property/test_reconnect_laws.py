"""No duplicate reconnection attempts, whatever is heard in whatever order; and never for ever without one that is wanted."""

from __future__ import annotations

from random import Random
from statistics import fmean

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keepline.domain.reconnect import (
    ATTEMPT_LIMIT_S,
    BACK_OFF_MAX_S,
    CAUSES,
    LIBRARY_LIMIT_S,
    Breaker,
    Kind,
    Loss,
    Reconnecting,
)

jitters = st.floats(0, 1, exclude_max=True)


class Reconnects(RuleBasedStateMachine):
    """A device, the world that does things to it, and a book of what is really under way."""

    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.policy = Reconnecting(0.0)
        self.under_way = 0  # attempts that have begun and have no outcome, the library's own included
        self.under_way_until_s = 0.0
        self.up = False
        self.wanted = True
        self.not_before_s = 0.0
        self.opened = 0

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0, 10.0, 31.0, 60.0, 4_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(jitter=jitters)
    def the_shell_asks(self, jitter: float) -> None:
        if self.under_way and self.now_s >= self.under_way_until_s:
            self.under_way = 0  # given up by its limit
        if self.policy.begin(self.now_s, jitter):
            assert self.under_way == 0, "a second attempt beside the first"
            assert not self.up, "an attempt that ends a working connection"
            assert self.wanted, "an attempt that nobody wants"
            assert self.now_s >= self.not_before_s, "an attempt before WhatsApp allows it"
            self.under_way = 1
            self.under_way_until_s = self.now_s + ATTEMPT_LIMIT_S

    @precondition(lambda self: self.under_way)
    @rule()
    def it_connects(self) -> None:
        self.policy.connected(self.now_s)
        self.under_way, self.up = 0, True

    @rule(cause=st.sampled_from([*CAUSES, "never heard of"]), wait_s=st.sampled_from([0.0, 0.0, 90.0]), jitter=jitters)
    def something_is_lost(self, cause: str, wait_s: float, jitter: float) -> None:
        """Also when nothing was there to lose: events come late and twice."""
        was_up, attempting = self.up, self.policy.attempting
        loss = self.policy.lost(cause, self.now_s, jitter, wait_s)
        known = CAUSES.get(cause)
        self.not_before_s = max(self.not_before_s, self.now_s + max(wait_s, known.wait_s_min if known else 0.0))
        self.opened += loss is Loss.OPENED
        self.up = False
        if known is None or known.kind is Kind.PERMANENT:
            self.under_way, self.wanted = 0, wait_s > 0
            assert loss is Loss.STOPPED
        elif known.kind is Kind.LIBRARY and attempting:
            pass  # the attempt goes on
        elif self.policy.attempting:
            assert was_up, "a try of the library that it does not make"
            self.under_way, self.under_way_until_s = 1, self.now_s + LIBRARY_LIMIT_S
        else:
            self.under_way = 0

    @precondition(lambda self: self.under_way and self.policy.attempting)
    @rule()
    def a_cell_takes_the_order(self) -> None:
        self.policy.taken(self.now_s)
        self.under_way_until_s = self.now_s + ATTEMPT_LIMIT_S

    @precondition(lambda self: self.up)
    @rule()
    def a_phone_links_it(self) -> None:
        """The library ends the connection that offered the code, and logs in by itself."""
        self.policy.linked(self.now_s)
        self.up, self.under_way, self.under_way_until_s = False, 1, self.now_s + ATTEMPT_LIMIT_S

    @rule(jitter=jitters)
    def the_speaker_cuts_it(self, jitter: float) -> None:
        """What stood is gone, and the library is barred from trying."""
        self.policy.cut(self.now_s, jitter)
        self.up, self.under_way = False, 0

    @rule()
    def somebody_asks(self) -> None:
        self.policy.asked(self.now_s)
        if not self.up:
            self.wanted = True

    @rule(jitter=jitters)
    def another_device_gets_through(self, jitter: float) -> None:
        self.policy.others_reached(self.now_s, jitter)

    @invariant()
    def what_is_wanted_is_planned(self) -> None:
        """Never for ever: while it is down and wanted, there is a next moment, and it is near unless WhatsApp said otherwise."""
        due_s = self.policy.due_s
        if self.up or not self.wanted:
            return
        assert due_s is not None
        assert due_s <= max(self.now_s + max(BACK_OFF_MAX_S, ATTEMPT_LIMIT_S), self.not_before_s)

    @invariant()
    def a_device_that_is_up_or_unwanted_has_no_plan(self) -> None:
        if self.up or not self.wanted:
            assert self.policy.due_s is None

    @invariant()
    def the_breaker_is_open_only_while_waiting(self) -> None:
        if self.policy.breaker(self.now_s) is Breaker.OPEN:
            assert not self.policy.attempting
            assert not self.up


def test_no_duplicate_reconnection_attempts() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Reconnects, settings=settings(max_examples=300, stateful_step_count=50, deadline=None)
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.floats(30, 900))
def test_an_outage_ends_in_time_and_without_a_storm(seed: int, outage_s: float) -> None:
    """100 devices lose WhatsApp at once; an attempt fails until it is back, and succeeds after that."""
    random = Random(seed)
    devices = []
    for _ in range(100):
        device = Reconnecting(-1_000.0)
        device.begin(-1_000.0, 0.0)
        device.connected(-999.0)
        device.lost("no_answer", 0.0, random.random())
        devices.append(device)
    attempts: list[float] = []
    back: list[float] = []
    while len(back) < len(devices):
        device = min((device for device in devices if device.due_s is not None), key=lambda device: device.due_s or 0.0)
        now_s = device.due_s
        assert now_s is not None
        assert device.begin(now_s, random.random())
        attempts.append(now_s)
        if now_s < outage_s:
            device.lost("unreachable", now_s, random.random())
            continue
        device.connected(now_s)
        back.append(now_s)
        for other in devices:
            other.others_reached(now_s, random.random())
    assert max(back) - outage_s <= 30 if outage_s <= 540 else max(back) - outage_s <= 60
    later = [at for at in attempts if at >= 20]
    if later:
        rates = [sum(second <= at < second + 1 for at in later) for second in range(20, int(max(later)) + 1)]
        assert max(rates) <= 45
        assert fmean(rates) <= 12
