"""Events on their way: decoded as the cloud would send them, delivered at least once, given up only after their lifetime."""

import base64
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepline_local.eventarc.delivery import Lane
from keepline_local.eventarc.events import (
    Event,
    UnreadableEventError,
    from_firestore_emulator,
    from_pubsub_push,
)
from keepline_local.eventarc.policy import RedeliveryPolicy
from keepline_local.eventarc.spool import Spool
from keepline_local.loopback_http import NoAnswerError

from .waiting import eventually

HASTY = RedeliveryPolicy(delay_first_s=0.01, delay_max_s=0.05, lifetime_s=60)


def event(number=1):
    return Event("f", (("ce-id", f"event-{number}"), ("ce-type", "t"), ("content-type", "text/plain")), b"body")


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "events.sqlite")
    yield spool
    spool.close()


class Function:
    """Fails as often as it is told, then succeeds."""

    def __init__(self, failures=0):
        self.failures, self.calls = failures, []
        self.blocked = threading.Event()
        self.blocked.set()

    def __call__(self, event):
        self.calls.append(event.id)
        self.blocked.wait(10)
        return 500 if len(self.calls) <= self.failures else 200


@given(failures=st.integers(1, 10_000), age_s=st.floats(0, 1e6))
def test_the_delay_never_exceeds_its_limit_nor_the_events_lifetime(failures, age_s):
    policy = RedeliveryPolicy()
    delay_s = policy.delay_s(failures, age_s)
    if delay_s is None:
        assert age_s + policy.delay_max_s > policy.lifetime_s
    else:
        assert policy.delay_first_s <= delay_s <= policy.delay_max_s
        assert age_s + delay_s <= policy.lifetime_s


def test_the_delays_grow():
    assert [RedeliveryPolicy().delay_s(failures, 0) for failures in (1, 2, 3, 10, 11)] == [1, 2, 4, 512, 600]


def test_an_event_is_delivered_until_its_function_takes_it(spool):
    function = Function(failures=3)
    lane = Lane("f", function, spool, HASTY)
    assert lane.accept(event())
    eventually(lambda: lane.pending() == 0)
    assert function.calls == ["event-1"] * 4
    assert spool.pending() == []
    lane.stop()


def test_a_function_out_of_reach_is_a_function_that_failed(spool):
    calls = []

    def raises(event):
        calls.append(event)
        if len(calls) == 1:
            raise NoAnswerError("out of reach")
        return 204

    lane = Lane("f", raises, spool, HASTY)
    lane.accept(event())
    eventually(lambda: lane.pending() == 0)
    assert len(calls) == 2
    lane.stop()


def test_an_event_past_its_lifetime_is_given_up_and_said_so(spool, caplog):
    lane = Lane("f", Function(failures=100), spool, RedeliveryPolicy(delay_first_s=0.01, lifetime_s=0.02))
    lane.accept(event())
    eventually(lambda: lane.pending() == 0)
    assert spool.pending() == []
    assert "event event-1 given up" in caplog.text
    lane.stop()


def test_failure_and_recovery_are_each_said_once(spool, caplog):
    caplog.set_level("INFO")
    lane = Lane("f", Function(failures=5), spool, HASTY)
    lane.accept(event())
    eventually(lambda: lane.pending() == 0)
    assert caplog.text.count("will be delivered again") == 1
    assert caplog.text.count("takes its events again") == 1
    lane.stop()


def test_a_full_queue_refuses_instead_of_growing(spool, caplog):
    function = Function()
    function.blocked.clear()
    lane = Lane("f", function, spool, HASTY, workers=1, events_max=2)
    assert lane.accept(event(0))
    eventually(lambda: function.calls)
    assert [lane.accept(event(number)) for number in (1, 2, 3, 4)] == [True, True, False, False]
    assert caplog.text.count("new ones are dropped") == 1
    function.blocked.set()
    eventually(lambda: lane.pending() == 0)
    assert lane.accept(event(5))
    lane.stop()


def test_events_not_delivered_are_there_for_the_next_process(tmp_path):
    spool = Spool(tmp_path / "events.sqlite")
    lane = Lane("f", Function(failures=100), spool, RedeliveryPolicy(delay_first_s=60))
    lane.accept(event(1))
    eventually(lambda: spool.pending()[0].failures == 1)
    lane.stop()
    spool.close()
    [left] = Spool(tmp_path / "events.sqlite").pending()
    assert (left.event, left.failures) == (event(1), 1)


def test_a_slow_event_does_not_hold_up_the_others(spool):
    release = threading.Event()
    seen = []

    def function(event):
        if event.id == "event-0":
            release.wait(10)
        seen.append(event.id)
        return 200

    lane = Lane("f", function, spool, HASTY)
    for number in range(20):
        lane.accept(event(number))
    eventually(lambda: len(seen) == 19)
    release.set()
    eventually(lambda: len(seen) == 20)
    lane.stop()


def test_a_firestore_event_is_decoded_and_its_source_repaired():
    headers = [
        ("Ce-Id", "1"),
        ("Ce-Type", "google.cloud.firestore.document.v1.written"),
        ("Ce-Source", "//firestore.googleapis.com/projects/projects/p/databases/(default)"),
        ("Content-Type", "application/protobuf"),
        ("Accept-Encoding", "gzip"),
    ]
    made = from_firestore_emulator("f", headers, base64.b64encode(b"\x00\xff"))
    assert made.body == b"\x00\xff"
    assert dict(made.headers) == {
        "ce-id": "1",
        "ce-type": "google.cloud.firestore.document.v1.written",
        "ce-source": "//firestore.googleapis.com/projects/p/databases/(default)",
        "content-type": "application/protobuf",
    }


def test_what_is_no_event_is_refused():
    with pytest.raises(UnreadableEventError):
        from_firestore_emulator("f", [], b"")
    with pytest.raises(UnreadableEventError):
        from_firestore_emulator("f", [("ce-id", "1"), ("ce-type", "t")], b"not base64!")
    for body in (b"", b"[]", b"{}", b'{"message": 1}'):
        with pytest.raises(UnreadableEventError):
            from_pubsub_push("f", "p", "t", body)


def test_a_push_becomes_the_event_that_eventarc_sends():
    body = json.dumps(
        {"subscription": "s", "message": {"messageId": "7", "publishTime": "2026-01-01T00:00:00Z"}}
    ).encode()
    made = from_pubsub_push("f", "p", "every-minute", body)
    assert made.id == "7"
    assert dict(made.headers)["ce-source"] == "//pubsub.googleapis.com/projects/p/topics/every-minute"
    assert made.body == body
