"""Faults as data and as a register: what is refused, when they act, how often, and that a seed repeats them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import SimulatorError, limits
from simulator.faults import Direction, Fault, Kind, Target, When
from simulator.faults.model import OPTIONS
from simulator.faults.parse import fault_from_json
from simulator.faults.registry import Faults
from simulator.log import TruthLog

ADA = ("14155550100", 1)


class Later:
    """A clock by hand: `pass_time` runs what is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, Callable[[], None], Handle]] = []

    def __call__(self, delay_s: float, action: Callable[[], None]) -> Handle:
        handle = Handle()
        self._waiting.append((self.now + delay_s, action, handle))
        return handle

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for at, action, handle in sorted(self._waiting, key=lambda one: one[0]):
            if at <= self.now and not handle.done:
                handle.done = True
                action()


class Handle:
    done = False

    def cancel(self) -> None:
        self.done = True


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def log() -> TruthLog:
    return TruthLog()


@pytest.fixture
def faults(log: TruthLog, later: Later) -> Faults:
    return Faults(log, 7, later)


def hits(faults: Faults, times: int = 1, owner: tuple[str, int] = ADA, stanza: str = "message") -> list[int]:
    """Which of some stanzas are hit."""
    return [
        number
        for number in range(times)
        if list(faults.hits(faults.stanzas, owner, Direction.IN, stanza, f"id{number}"))
    ]


# As data


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "slow"},
        {"kind": "slow", "delay_s": -1},
        {"kind": "slow", "delay_s": "1"},
        {"kind": "slow", "delay_s": True},
        {"kind": "slow", "delay_s": float("nan")},
        {"kind": "slow", "delay_s": 1, "colour": "red"},
        {"kind": "lossy", "delay_s": 1},
        {"kind": "lossy", "target": []},
        {"kind": "lossy", "target": {"number": "abc"}},
        {"kind": "lossy", "target": {"number": 14155550100}},
        {"kind": "lossy", "target": {"device": 1}},
        {"kind": "lossy", "target": {"direction": "up"}},
        {"kind": "lossy", "target": {"stanza": "login"}},
        {"kind": "lossy", "target": {"who": "Ada"}},
        {"kind": "lossy", "when": {"count": 0}},
        {"kind": "lossy", "when": {"count": 1.5}},
        {"kind": "lossy", "when": {"probability": 0}},
        {"kind": "lossy", "when": {"probability": 1.1}},
        {"kind": "lossy", "when": {"after_s": -1}},
        {"kind": "lossy", "when": {"for_s": 1e12}},
        {"kind": "ack_error"},
        {"kind": "ack_error", "code": 1000},
        {"kind": "ack_error", "code": 463, "target": {"stanza": "iq"}},
        {"kind": "stream_error"},
        {"kind": "stream_error", "conflict": "war"},
        {"kind": "stream_error", "code": 503, "close": "yes"},
        {"kind": "reset", "target": {"direction": "in"}},
        {"kind": "half_open", "target": {"stanza": "connect", "number": "14155550100"}},
        {"kind": "outage", "target": {"number": "14155550100"}},
        {"kind": "refuse", "code": 200},
        {"kind": "bandwidth", "bytes_per_s": 0},
        {"kind": "ban"},
        {"kind": "duplicate", "copies": 101},
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_a_sentence(body: dict[str, Any]) -> None:
    with pytest.raises(SimulatorError) as refused:
        fault_from_json(body)
    assert refused.value.status == 400 and refused.value.message.endswith(".") and refused.value.hint


NEEDED: dict[Kind, dict[str, Any]] = {
    Kind.SLOW: {"delay_s": 1.0}, Kind.BANDWIDTH: {"bytes_per_s": 100.0}, Kind.ACK_ERROR: {"code": 463},
    Kind.STREAM_ERROR: {"code": 503}, Kind.LOGIN_FAILURE: {"code": 401}, Kind.BAN: {"sends": 3},
    Kind.CLOCK_SKEW: {"skew_s": -60.0},
}  # fmt: skip


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_travels_as_json(kind: Kind) -> None:
    fault = Fault(kind, when=When(1.0, 2.0, 3, 0.5), **NEEDED.get(kind, {}))
    assert fault_from_json(fault.as_json()) == fault
    assert set(OPTIONS[kind]) >= set(NEEDED.get(kind, {}))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.dictionaries(
            st.sampled_from(["kind", "target", "when", "code", "number", "stanza", "count", "delay_s"])
            | st.text(max_size=5),
            inner | st.sampled_from([*Kind]),
            max_size=5,
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_fault_or_a_clear_refusal(body: Any) -> None:
    try:
        fault_from_json(body if isinstance(body, dict) else {"kind": "slow", "delay_s": body})
    except SimulatorError as refused:
        assert refused.status == 400


# As a register


def test_without_faults_there_is_nothing_to_look_at(faults: Faults) -> None:
    fault = faults.add(Fault(Kind.LOSSY))
    assert len(faults.stanzas) == 1
    faults.clear(fault)
    assert (faults.connects, faults.logins, faults.stanzas) == ((), (), ())
    assert faults.list() == []


def test_a_fault_acts_in_its_time_only(faults: Faults, later: Later) -> None:
    faults.add(Fault(Kind.LOSSY, when=When(after_s=5, for_s=10)))
    seen = []
    for _ in range(4):
        seen.append((faults.list()[0]["state"], len(hits(faults))))
        later.pass_time(5)
    assert seen == [("waiting", 0), ("active", 1), ("active", 1), ("over", 0)]


def test_a_fault_hits_as_often_as_its_count_says(faults: Faults) -> None:
    faults.add(Fault(Kind.LOSSY, when=When(count=3)))
    assert hits(faults, 10) == [0, 1, 2]
    assert faults.list()[0]["hits"] == 3 and faults.list()[0]["state"] == "spent"


def test_a_fault_hits_only_whom_it_is_for(faults: Faults) -> None:
    faults.add(Fault(Kind.LOSSY, Target("14155550100", 2, Direction.IN, "receipt")))
    assert hits(faults, stanza="receipt", owner=("14155550100", 2)) == [0]
    assert not hits(faults, stanza="message", owner=("14155550100", 2))
    assert not hits(faults, stanza="receipt", owner=("14155550100", 1))
    assert not hits(faults, stanza="receipt", owner=("14155550101", 2))
    assert not list(faults.hits(faults.stanzas, ("14155550100", 2), Direction.OUT, "receipt"))
    assert not list(faults.hits(faults.stanzas, None, Direction.IN, "receipt"))


def test_the_same_seed_takes_the_same_decisions_whatever_others_do(log: TruthLog, later: Later) -> None:
    bob = ("14155550101", 1)
    runs = []
    for seed, busy in ((1, 0), (1, 3), (2, 0)):
        faults = Faults(log, seed, later)
        faults.add(Fault(Kind.LOSSY, when=When(probability=0.3)))
        decisions = []
        for _ in range(200):
            decisions += hits(faults)
            decisions.append(-1)
            hits(faults, busy, bob)
        runs.append(decisions)
    assert runs[0] == runs[1] != runs[2]
    assert 30 < runs[0].count(0) < 90


def test_a_message_that_is_never_acknowledged_stays_so_when_the_count_is_used_up(faults: Faults) -> None:
    faults.add(Fault(Kind.NEVER_ACK, when=When(count=1)))
    first = Direction.IN, "message", "A"
    assert list(faults.hits(faults.stanzas, ADA, *first))
    assert not list(faults.hits(faults.stanzas, ADA, Direction.IN, "message", "B"))
    assert list(faults.hits(faults.stanzas, ADA, *first))


def test_one_shot_faults_strike_what_is_open_and_are_over(faults: Faults, later: Later) -> None:
    struck: list[str] = []
    faults.strike_open = lambda standing: struck.append(standing.fault.kind)
    faults.add(Fault(Kind.RESET))
    faults.add(Fault(Kind.STREAM_ERROR, code=503, when=When(after_s=3)))
    assert struck == ["reset"] and [one["state"] for one in faults.list()] == ["over", "waiting"]
    later.pass_time(3)
    assert struck == ["reset", "stream_error"] and faults.logins == () == faults.connects
    faults.add(Fault(Kind.RESET, when=When(for_s=2)))
    assert len(faults.connects) == 1
    later.pass_time(2)
    assert faults.connects == ()


def test_what_a_fault_did_is_in_the_log(faults: Faults, log: TruthLog) -> None:
    fault = faults.add(Fault(Kind.LOSSY, Target(stanza="message"), When(count=1)))
    hits(faults, 2)
    faults.clear()
    events = [{key: value for key, value in one.items() if key not in ("n", "at")} for one in log.since(0)[0]]
    assert events == [
        {"kind": "fault_began", "fault": fault, "what": "lossy"},
        {"kind": "fault", "fault": fault, "what": "lossy", "number": ADA[0], "device": 1, "direction": "in",
         "stanza": "message", "id": "id0"},
        {"kind": "fault_ended", "fault": fault, "what": "lossy", "hits": 1},
    ]  # fmt: skip


def test_the_number_of_faults_is_limited(faults: Faults) -> None:
    for _ in range(limits.FAULTS_MAX):
        faults.add(Fault(Kind.LOSSY))
    with pytest.raises(SimulatorError) as refused:
        faults.add(Fault(Kind.LOSSY))
    assert refused.value.code == "too_many_faults"
    assert faults.clear() == limits.FAULTS_MAX
    with pytest.raises(SimulatorError) as unknown:
        faults.clear(1)
    assert (unknown.value.code, unknown.value.status) == ("no_such_fault", 404)
