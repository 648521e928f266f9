"""Live events with every real part: a listener hears of its message within seconds, is cut off, comes back, misses nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from examples.live_events import follow

from .keepline import Api, Phones, Session

# From WhatsApp's receipt over its trigger to the listener; on a busy machine.
LIVE_WITHIN_S = 5.0


class Ear:
    """A listener as examples/live_events.py is one, that is cut off."""

    def __init__(self, stream: Iterator[tuple[str, dict[str, Any] | None]]) -> None:
        self._stream = stream
        self.place = ""
        self.heard: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Wait for the place that a new stream begins with."""
        self.place, event = next(self._stream)
        assert event is None

    def event(self) -> dict[str, Any]:
        """The next event."""
        for place, event in self._stream:
            self.place = place
            if event is not None:
                assert event["id"] == place
                self.heard.append(event)
                return event
        raise AssertionError("the stream ended")

    def states(self, message_id: str) -> list[str]:
        """What it has heard of a message of the API."""
        return [one["data"]["state"] for one in self.heard if one["data"]["message_id"] == message_id]


@contextmanager
def listening(api: Api, session: Session, place: str = "") -> Iterator[Ear]:
    stream = follow(api.address, api.key, {"session_id": session.id, "events": "message,message.ack"}, place)
    try:
        yield Ear(stream)
    finally:
        stream.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_listener_that_is_cut_off_comes_back_and_misses_nothing(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    with listening(api, session) as ear:
        ear.begin()
        first = api.send(session.id, friend, "first")["message_id"]
        assert (ear.event()["type"], ear.states(first)) == ("message.ack", ["sent"])
    second = api.send(session.id, friend, "second")["message_id"]
    api.wait_for_delivery(first, second)
    phones.write(friend, session.phone, "an answer")
    with listening(api, session, ear.place) as ear:
        while len(ear.heard) < 4:
            ear.event()
    assert ear.states(first) == ["delivered"]
    assert ear.states(second) == ["sent", "delivered"]
    assert [one["data"]["text"] for one in ear.heard if one["type"] == "message"] == ["an answer"]
    assert len({one["id"] for one in ear.heard}) == 4


def test_a_receipt_is_heard_within_seconds(api: Api, phones: Phones, session: Session) -> None:
    with listening(api, session) as ear:
        ear.begin()
        message_id = api.send(session.id, phones.new_number(), "hello")["message_id"]
        began_s = time.monotonic()
        while ear.states(message_id) != ["sent", "delivered"]:
            ear.event()
        assert time.monotonic() - began_s < LIVE_WITHIN_S
