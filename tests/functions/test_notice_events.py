"""Changes of groups, and calls, on their way from their record to receivers and listeners: each once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keepline.domain.link_events import NoticeHeard
from keepline.domain.webhook_events import EventType
from keepline.records import changes, notices
from keepline.usecases.deleting import clear_device

from .support import CHAT, World
from .test_webhook_events import Platform, add_webhook, document_written

GROUP = "120363000000000000@g.us"
BEA = {"phone": "14155550123", "lid": None}


@pytest.fixture
def platform(world: World, monkeypatch: pytest.MonkeyPatch) -> Platform:
    return Platform(world, monkeypatch)


def heard(world: World, event_type: EventType, name: str = "one", chat: str = GROUP, days: int = 0) -> str:
    """Something that happened so long ago and is recorded now. Returns its path."""
    at = world.clock.now() - timedelta(days=days)
    notice = NoticeHeard(1, event_type.value, chat, name, at, {"by": BEA})
    write = notices.new_notice("anna_shop", "anna", "shop", notice)
    world.commit(write)
    return write.path


def recorded(platform: Platform, path: str) -> int:
    return platform.tell("on_notice_written", document_written(path))


def test_a_change_of_a_group_reaches_the_receiver_once_however_often_its_trigger_comes(
    world: World, platform: Platform
) -> None:
    world.add_session()
    add_webhook(world, "group.update")
    path = heard(world, EventType.GROUP_UPDATE)
    for _ in range(2):
        assert recorded(platform, path) == 200
        platform.deliver()
    [event] = platform.told
    assert (event["type"], event["session_id"]) == ("group.update", "shop")
    assert event["data"] == {"chat": GROUP, "at": event["timestamp"], "by": BEA}


def test_a_receiver_gets_the_notices_that_it_asked_for_and_no_messages(world: World, platform: Platform) -> None:
    world.add_session()
    add_webhook(world, "call.received")
    for event_type in (EventType.GROUP_JOIN, EventType.CALL_RECEIVED):
        recorded(platform, heard(world, event_type, chat=CHAT))
    world.hear("anna_shop", "WA1", world.clock.now())
    platform.message(changes.heard_path("anna_shop", CHAT, "WA1"))
    platform.deliver()
    assert [event["type"] for event in platform.told] == ["call.received"]


def test_a_receiver_of_messages_is_told_of_no_notices(world: World, platform: Platform) -> None:
    world.add_session()
    add_webhook(world, "message", "session.status")
    recorded(platform, heard(world, EventType.CALL_RECEIVED))
    assert not world.waker.woken


def test_what_was_recorded_before_a_webhook_is_not_told_and_what_waited_at_whatsapp_is(
    world: World, platform: Platform
) -> None:
    world.add_session()
    before = heard(world, EventType.GROUP_LEAVE, "before")
    world.clock.advance(1)
    add_webhook(world, "*")
    recorded(platform, before)
    recorded(platform, heard(world, EventType.GROUP_LEAVE, "after", days=3))
    platform.deliver()
    assert len(platform.told) == 1


def test_a_malformed_event_of_a_notice_is_dropped_and_not_asked_for_again(world: World, platform: Platform) -> None:
    assert platform.tell("on_notice_written", b"\xff\xff") == 200


def test_a_listener_hears_of_a_call(world: World, platform: Platform) -> None:
    world.add_session()
    kept = world.client.post("/api/events/keep", headers=world.anna).get_json()
    world.clock.advance(1)
    recorded(platform, heard(world, EventType.CALL_RECEIVED, chat=CHAT))
    assert [entry.fields["type"] for entry in world.all_in(kept["collection"])] == ["call.received"]


def test_the_notices_of_a_deleted_session_go_with_it(world: World) -> None:
    world.add_session()
    heard(world, EventType.CALL_RECEIVED)
    assert world.all_in("accounts/anna_shop/notices")
    world.delete("/api/sessions/shop")
    world.run(clear_device(world.store, "anna_shop", "a"))
    assert not world.all_in("accounts/anna_shop/notices")
