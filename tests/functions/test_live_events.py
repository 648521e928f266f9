"""`GET /api/events`: what happens as server-sent events, from where a listener broke off; and what it costs others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from keepline.domain.webhook_events import EventType
from keepline.ports.documents import Delete
from keepline.records import live_events, webhooks
from keepline.records.live_events import LISTENED_FOR, event_path
from keepline.usecases import live_events as listening
from keepline.usecases.live_events import RESUMED_WITHIN, STREAM_GONE_S, STREAMS_OF_TENANT_MAX
from keepline_functions import live_events_api, openapi

from .framework import account_document, serve, written
from .support import NOON, World, error_code
from .test_webhook_events import Platform, add_webhook, document_written, heard


@pytest.fixture
def platform(world: World, monkeypatch: pytest.MonkeyPatch) -> Platform:
    world.add_session()
    return Platform(world, monkeypatch)


class Listening:
    """What a listener has heard of an answer."""

    def __init__(self, answer: Any) -> None:
        self._lines: Iterator[bytes] = answer.iter_encoded()
        self.beginning = next(self._lines).decode()
        self.last = self.beginning.split("id: ")[-1].strip() if "id: " in self.beginning else ""

    def block(self) -> dict[str, str]:
        """The next block by its fields; what begins with a colon is a comment."""
        lines = next(self._lines).decode().split("\n")
        assert lines[-2:] == ["", ""]
        found = dict(line.split(": ", 1) for line in lines[:-2] if not line.startswith(":"))
        self.last = found.get("id", self.last)
        return found

    def events(self, count: int) -> list[dict[str, Any]]:
        """So many events, whatever stands between them."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            block = self.block()
            if "data" in block:
                event = json.loads(block["data"])
                assert (block["id"], block["event"]) == (event["id"], event["type"])
                found.append(event)
        return found


@contextmanager
def listener(world: World, query: str = "", headers: dict[str, str] | None = None) -> Iterator[Listening]:
    answer = world.get(f"/api/events{query}", world.anna if headers is None else headers)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "text/event-stream"
    try:
        yield Listening(answer)
    finally:
        answer.close()


def after(world: World, event_id: str) -> dict[str, str]:
    return world.anna | {"Last-Event-ID": event_id}


def test_a_listener_hears_what_happens_as_webhooks_tell_it_and_under_the_same_ids(
    world: World, platform: Platform
) -> None:
    add_webhook(world, "*")
    with listener(world) as live:
        assert live.beginning.startswith("retry: 2000\nid: at_")
        platform.message(heard(world))
        world.clock.advance(1)
        message_id = world.send().get_json()["message_id"]
        world.settle(message_id, state="sent", wa_message_id="WA", **{"times.sent": world.clock.now()})
        platform.tell("on_outbox_written", document_written(f"outbox/{message_id}"))
        platform.tell("on_account_written", written(account_document("connected", "connected")))
        events = live.events(4)
    assert [event["type"] for event in events] == ["message", "message.any", "message.any", "message.ack"]
    platform.deliver()
    assert sorted(events, key=lambda event: event["id"]) == sorted(
        (event for event in platform.told if event["type"] != "session.status"), key=lambda event: event["id"]
    )


def test_a_change_of_state_is_heard(world: World, platform: Platform) -> None:
    world.clock.at = NOON.replace(hour=11)
    with listener(world) as live:
        platform.tell("on_account_written", written(account_document("connected", "connected")))
        [event] = live.events(1)
    assert (event["type"], event["session_id"], event["data"]["state"]) == ("session.status", "shop", "connected")


def test_an_event_is_written_down_once_however_often_its_trigger_comes(world: World, platform: Platform) -> None:
    with listener(world) as live:
        path = heard(world)
        for _ in range(3):
            assert platform.message(path) == 200
        platform.message(heard(world, "WA2"))
        texts = [event["data"]["text"] for event in live.events(4)]
    assert texts == ["text of WA1"] * 2 + ["text of WA2"] * 2
    assert len(world.all_in(live_events.log_path("anna"))) == 4


@pytest.mark.parametrize("as_header", [True, False])
def test_a_listener_who_comes_back_hears_what_followed_and_nothing_twice(
    world: World, platform: Platform, as_header: bool
) -> None:
    with listener(world) as live:
        for wa_id in ("WA1", "WA2"):
            platform.message(heard(world, wa_id))
            world.clock.advance(1)
        first = live.events(3)
    platform.message(heard(world, "WA3"))
    query, headers = ("", after(world, live.last)) if as_header else (f"?last_event_id={live.last}", None)
    with listener(world, query, headers) as live:
        rest = live.events(3)
    told = [(event["type"], event["data"]["text"]) for event in [*first, *rest]]
    assert told == [(kind, f"text of WA{n}") for n in (1, 2, 3) for kind in ("message", "message.any")]


def test_the_header_of_an_event_source_counts_more_than_its_address(world: World, platform: Platform) -> None:
    with listener(world) as live:
        beginning = live.last
        platform.message(heard(world))
        live.events(1)
    with listener(world, f"?last_event_id={beginning}", after(world, live.last)) as live:
        assert [event["type"] for event in live.events(1)] == ["message.any"]


def test_who_heard_nothing_yet_comes_back_to_the_beginning(world: World, platform: Platform) -> None:
    with listener(world) as live:
        pass
    platform.message(heard(world))
    with listener(world, headers=after(world, live.last)) as live:
        assert len(live.events(2)) == 2


def test_a_new_listener_hears_nothing_of_before(world: World, platform: Platform) -> None:
    with listener(world):
        platform.message(heard(world, "WA1"))
    with listener(world) as live:
        platform.message(heard(world, "WA2"))
        assert {event["data"]["text"] for event in live.events(2)} == {"text of WA2"}


def test_a_filter_leaves_out_the_rest_and_says_how_far_it_has_looked(
    world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events_api, "HEARTBEAT_S", 0.05)
    with listener(world, "?events=message.ack,message.edited") as live:
        beginning = live.last
        world.clock.advance(1)
        platform.message(heard(world))
        while live.last == beginning:
            assert "data" not in live.block()
    world.commit(*(Delete(document.path) for document in world.all_in(live_events.log_path("anna"))))
    with listener(world, "?events=message.ack,message.edited", after(world, live.last)) as live:
        assert live.block() == {"id": live.last}


def test_a_listener_to_one_session_hears_of_no_other(world: World, platform: Platform) -> None:
    world.add_session("other")
    with listener(world, "?session_id=other") as live:
        platform.message(heard(world))
        world.hear("anna_other", "WA9", world.clock.now())
        platform.message("accounts/anna_other/chats/14155550123@s.whatsapp.net/messages/WA9")
        assert {event["session_id"] for event in live.events(2)} == {"other"}


def test_a_key_for_one_session_hears_of_no_other(world: World, platform: Platform) -> None:
    world.add_session("other")
    with listener(world, headers=world.add_key("anna", ("read",), ("other",))) as live:
        platform.message(heard(world))
        world.hear("anna_other", "WA9", world.clock.now())
        platform.message("accounts/anna_other/chats/14155550123@s.whatsapp.net/messages/WA9")
        assert {event["session_id"] for event in live.events(2)} == {"other"}


def test_nobody_hears_of_another_tenant(world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_events_api, "HEARTBEAT_S", 0.05)
    with listener(world) as live, listener(world, headers=world.bert) as other:
        platform.message(heard(world))
        [event, _] = live.events(2)
        assert "data" not in other.block()
        answer = world.get("/api/events", world.bert | {"Last-Event-ID": event["id"]})
        assert (answer.status_code, error_code(answer)) == (410, "events_gone")


def test_a_listener_is_told_that_the_stream_lives(
    world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events_api, "HEARTBEAT_S", 0.05)
    with listener(world) as live:
        assert live.block() == {"id": live.last}


def test_a_stream_ends_by_itself(world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "STREAM_S", 0.2)
    with listener(world) as live, pytest.raises(StopIteration):
        for _ in range(10):
            live.block()


def test_the_function_passes_a_stream_on_while_it_is_made(
    world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = serve("api", world, monkeypatch).get("/api/events", headers=world.anna)
    live = Listening(answer)
    platform.message(heard(world))
    assert len(live.events(2)) == 2
    answer.close()
    assert not streams(world)


def test_the_description_says_what_a_stream_is_and_how_to_come_back(world: World) -> None:
    said = openapi.document(world.process.app)["paths"]["/api/events"]["get"]
    stream = said["responses"]["200"]
    assert list(stream["content"]) == ["text/event-stream"]
    assert "X-Accel-Buffering" in stream["headers"]
    assert {parameter["name"]: parameter["in"] for parameter in said["parameters"]} == {
        "session_id": "query",
        "events": "query",
        "last_event_id": "query",
        "Last-Event-ID": "header",
    }
    assert {"400", "401", "403", "404", "410", "429", "503"} <= set(said["responses"])


# What is not kept.


def test_a_place_whose_event_is_not_kept_any_more_is_said_and_not_passed_over(world: World, platform: Platform) -> None:
    with listener(world) as live:
        platform.message(heard(world))
        [event] = live.events(1)
    world.commit(Delete(event_path("anna", event["id"])))
    answer = world.get("/api/events", after(world, event["id"]))
    assert (answer.status_code, error_code(answer)) == (410, "events_gone")


def test_after_a_time_when_nobody_listened_there_is_no_coming_back(world: World, platform: Platform) -> None:
    with listener(world) as live:
        beginning = live.last
        platform.message(heard(world))
        [event, _] = live.events(2)
    world.clock.advance(LISTENED_FOR.total_seconds() - 60)
    for place in (beginning, event["id"]):
        answer = world.get("/api/events", after(world, place))
        assert (answer.status_code, error_code(answer)) == (410, "events_gone")
    with listener(world):
        pass


def test_what_is_older_than_all_that_is_kept_is_gone(world: World, platform: Platform) -> None:
    with listener(world) as live:
        beginning = live.last
    for _ in range(RESUMED_WITHIN.days):
        world.clock.advance(timedelta(days=1).total_seconds())
        assert world.post("/api/events/keep").status_code == 200
    world.clock.advance(1)
    answer = world.get("/api/events", after(world, beginning))
    assert (answer.status_code, error_code(answer)) == (410, "events_gone")


@pytest.mark.parametrize("place", ["evt_", "evt_../x", "evt_" + "A" * 26, "at_", "at_12x", "at_" + "9" * 30, "1", "é"])
def test_what_is_no_place_is_refused(world: World, platform: Platform, place: str) -> None:
    answer = world.client.get("/api/events", query_string={"last_event_id": place}, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (400, "bad_field")


@pytest.mark.parametrize("place", ["at_99999999999999999", "at_9999999999999999"])
def test_a_place_in_the_future_is_now(world: World, platform: Platform, place: str) -> None:
    world.post("/api/events/keep")
    with listener(world, headers=after(world, place)) as live:
        platform.message(heard(world))
        assert len(live.events(2)) == 2


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?events=message,nonsense", 400, "bad_event"),
        ("?events=", 400, "bad_event"),
        ("?session_id=none", 404, "session_not_found"),
        ("?session=shop", 400, "unknown_field"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, platform: Platform, query: str, status: int, code: str) -> None:
    answer = world.get(f"/api/events{query}")
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert world.document(webhooks.owner_path("anna")) is None


# How many, and what it costs.


def streams(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.fields(webhooks.owner_path("anna"))["live"]["streams"]
    return found


def test_a_tenant_has_so_many_streams_over_all_instances(world: World, platform: Platform) -> None:
    answers = [world.get("/api/events") for _ in range(STREAMS_OF_TENANT_MAX)]
    assert len(streams(world)) == STREAMS_OF_TENANT_MAX
    answer = world.get("/api/events")
    assert (answer.status_code, error_code(answer)) == (429, "too_many_streams")
    assert int(answer.headers["Retry-After"]) > 0
    with listener(world, headers=world.bert):
        pass
    answers.pop().close()
    answers.append(world.get("/api/events"))
    assert answers[-1].status_code == 200
    # Those of an instance that died are forgotten.
    world.clock.advance(STREAM_GONE_S + 1)
    answers.append(world.get("/api/events"))
    assert answers[-1].status_code == 200
    for answer in answers:
        answer.close()
    assert not streams(world)


def test_an_instance_has_so_many_streams(world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "STREAMS_MAX", 1)
    with listener(world):
        answer = world.get("/api/events")
        assert (answer.status_code, error_code(answer)) == (503, "busy")
    with listener(world):
        pass


def test_a_request_without_a_body_to_read_leaves_no_stream_open(world: World, platform: Platform) -> None:
    world.client.head("/api/events", headers=world.anna).close()
    assert not streams(world)


def test_a_stream_that_cannot_be_counted_is_not_opened(world: World, platform: Platform) -> None:
    world.store.conflicts = 1_000
    answer = world.get("/api/events")
    assert (answer.status_code, error_code(answer)) == (503, "store_unavailable")
    world.store.conflicts = 0
    with listener(world):
        pass


def test_who_listens_to_firestore_has_the_events_kept(world: World, platform: Platform) -> None:
    answer = world.post("/api/events/keep")
    assert answer.get_json() == {"collection": "live/anna/events", "kept_until": "2026-03-04T12:00:00.000Z"}
    world.clock.advance(1)
    platform.message(heard(world))
    documents = world.all_in("live/anna/events")
    assert {document.fields["type"] for document in documents} == {"message", "message.any"}
    [message] = world.get("/api/messages?session_id=shop").get_json()["messages"]
    assert all(document.fields["data"] == message for document in documents)
    limited = world.post("/api/events/keep", world.add_key("anna", sessions=("shop",)))
    assert (limited.status_code, error_code(limited)) == (403, "session_not_allowed")


def test_what_is_written_down_goes_by_itself(world: World, platform: Platform) -> None:
    world.post("/api/events/keep")
    platform.message(heard(world))
    for collection in ("live/anna/events", "live/anna/lanes"):
        assert all(document.fields["expire_at"] > NOON + RESUMED_WITHIN for document in world.all_in(collection))


def test_nothing_is_written_down_where_nobody_has_listened_lately(world: World, platform: Platform) -> None:
    path = heard(world)
    world.document(path)
    before, gets = world.store.commits, world.store.gets
    platform.message(path)
    assert (world.store.commits, world.store.gets) == (before, gets + 1)
    world.post("/api/events/keep")
    world.clock.advance(LISTENED_FOR.total_seconds() + 1)
    platform.message(heard(world, "WA2"))
    assert world.all_in("live/anna/events") == []


def test_the_log_goes_on_while_webhooks_come_and_go(world: World, platform: Platform) -> None:
    world.post("/api/events/keep")
    world.clock.advance(1)
    webhook = add_webhook(world, "message")
    platform.message(heard(world, "WA1"))
    assert world.delete(f"/api/webhooks/{webhook}").status_code == 204
    platform.message(heard(world, "WA2"))
    assert len(world.all_in("live/anna/events")) == 4


def test_a_user_id_that_cannot_be_part_of_a_name_is_refused(world: World) -> None:
    world.tokens["header.payload.signature"] = "../bert"
    headers = {"Authorization": "Bearer header.payload.signature"}
    for answer in (world.get("/api/events", headers), world.post("/api/events/keep", headers)):
        assert (answer.status_code, error_code(answer)) == (400, "bad_user_id")


def test_whatever_a_message_says_is_one_line(world: World, platform: Platform) -> None:
    said = "a\nb\r\nc\rd\x85e\u2028f\u2029g\x0bh: i\tj ü 😀"
    with listener(world) as live:
        message_id = world.send(said).get_json()["message_id"]
        world.settle(message_id, state="sent", wa_message_id="WA", **{"times.sent": world.clock.now()})
        platform.tell("on_outbox_written", document_written(f"outbox/{message_id}"))
        block = live.block()
    assert len(block["data"].splitlines()) == 1
    assert json.loads(block["data"])["data"]["text"] == said


def test_the_names_of_events_can_be_lines_of_a_stream(world: World) -> None:
    assert all("\n" not in name.value and name.value == name.value.strip() for name in EventType)
