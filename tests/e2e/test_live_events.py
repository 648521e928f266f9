"""Live events with every real part: a listener hears of its message within seconds, is cut off, comes back, misses nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from keepline_client import Keepline
from keepline_client.types import WebhookEvent

from .keepline import Api, Phones, Session

# From WhatsApp's receipt over its trigger to the listener; on a busy machine.
LIVE_WITHIN_S = 5.0


class Ear:
    """A listener that is cut off."""

    def __init__(self, stream: Iterator[WebhookEvent], place: str) -> None:
        self._stream = stream
        self.place = place
        self.heard: list[WebhookEvent] = []

    def event(self) -> WebhookEvent:
        """The next event."""
        event = next(self._stream)
        self.place = event["id"]
        self.heard.append(event)
        return event

    def states(self, message_id: str) -> list[object]:
        """What it has heard of a message of the API."""
        return [one["data"]["state"] for one in self.heard if one["data"]["message_id"] == message_id]


@contextmanager
def listening(api: Api, session: Session, place: str | None = None) -> Iterator[Ear]:
    with Keepline(api.address, api.key) as keepline:
        place = place or keepline.events.here()
        stream = keepline.events.listen(session.id, events=["message", "message.ack"], last_event_id=place)
        yield Ear(stream, place)


def test_a_listener_that_is_cut_off_comes_back_and_misses_nothing(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    with listening(api, session) as ear:
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
        message_id = api.send(session.id, phones.new_number(), "hello")["message_id"]
        began_s = time.monotonic()
        while ear.states(message_id) != ["sent", "delivered"]:
            ear.event()
        assert time.monotonic() - began_s < LIVE_WITHIN_S
