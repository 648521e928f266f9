"""Live events with every real part: a listener hears of its message within seconds, is cut off, comes back, and misses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from .keepline import LIMIT_S, Api, Phones, Session, eventually

# From a receipt's commit over its trigger to the listener.
LIVE_WITHIN_S = 5.0


class Ear:
    """Reads a stream line by line."""

    def __init__(self, answer: requests.Response) -> None:
        assert answer.status_code == 200, answer.text
        self._lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        self.last = ""

    def event(self) -> dict[str, Any]:
        """The next event."""
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                event: dict[str, Any] = json.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (event["id"], event["type"])
                self.last = fields["id"]
                return event
            else:
                self.last = fields.get("id", self.last)
                fields = {}
        raise AssertionError("the stream ended")


@contextmanager
def listening(api: Api, session: Session, last: str = "") -> Iterator[Ear]:
    query = {"session_id": session.id, "events": "message,message.ack"}
    # Another connection than the API's, which is cut when this ends.
    answer = requests.get(
        f"{api.address}/api/events",
        params=query,
        headers={"X-Api-Key": api.key, **({"Last-Event-ID": last} if last else {})},
        stream=True,
        timeout=LIMIT_S,
    )
    try:
        yield Ear(answer)
    finally:
        answer.close()


def states_of(events: list[dict[str, Any]], message_id: str) -> list[str]:
    return [one["data"]["state"] for one in events if one["data"]["message_id"] == message_id]


def test_a_listener_that_is_cut_off_comes_back_and_misses_nothing(api: Api, phones: Phones, session: Session) -> None:
    friend = phones.new_number()
    with listening(api, session) as ear:
        first = api.send(session.id, friend, "first")["message_id"]
        heard = [ear.event()]
        assert heard[0]["type"] == "message.ack"
        assert states_of(heard, first) == ["sent"]
    last = ear.last
    second = api.send(session.id, friend, "second")["message_id"]
    api.wait_for_delivery(first, second)
    phones.write(friend, session.phone, "an answer")
    with listening(api, session, last) as ear:
        heard = []
        while not heard or heard[-1]["type"] != "message":
            heard.append(ear.event())
        assert heard[-1]["data"]["text"] == "an answer"
        while len(states_of(heard, first)) < 1 or len(states_of(heard, second)) < 2:
            heard.append(ear.event())
    assert states_of(heard, first) == ["delivered"]
    assert states_of(heard, second) == ["sent", "delivered"]
    ids = [one["id"] for one in heard]
    assert len(ids) == len(set(ids))


def test_a_receipt_is_heard_within_seconds(api: Api, phones: Phones, session: Session) -> None:
    with listening(api, session) as ear:
        message_id = api.send(session.id, phones.new_number(), "hello")["message_id"]
        [delivered] = api.wait_for_delivery(message_id)
        heard: list[dict[str, Any]] = []

        def told() -> bool:
            heard.append(ear.event())
            return states_of(heard, message_id) == ["sent", "delivered"]

        eventually(told, f"{delivered['message_id']} is heard to be delivered", LIVE_WITHIN_S)
