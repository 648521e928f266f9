"""From changes to calls, on the shipped fakes in virtual time: order per chat, nothing lost, one id per event."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from keepline.domain.alert_rules import Condition, Rule
from keepline.domain.alerts import Alert, Notice
from keepline.domain.events import Severity
from keepline.domain.link_events import MessageHeard
from keepline.domain.webhook_policy import FAILURES_BEFORE_REST
from keepline.ports.documents import Create, Document, Query, Update, Where
from keepline.ports.webhook_calls import Answer, WakeFailed
from keepline.records import history, webhooks
from keepline.records.monitoring import MONITORING, StateChange
from keepline.records.webhooks import DELIVERIES, LANES, WEBHOOKS, Delivery, Webhook
from keepline.testing.clock import LoopClock
from keepline.testing.documents import MemoryDocuments
from keepline.testing.keys import MemoryKeys
from keepline.testing.virtual_time import run_virtual
from keepline.testing.webhook_calls import MemoryReceiver, MemoryWaker
from keepline.usecases.event_outlets import ToWebhook
from keepline.usecases.webhook_delivering import LEASE_S, Calling, WebhookDeliverer
from keepline.usecases.webhook_events import Rendering
from keepline.usecases.webhook_feeding import HEARD_PAGE, WebhookFeeder
from keepline.usecases.webhook_sealing import WebhookSealer
from keepline.usecases.webhooks import Changes, Wanted, Webhooks

CHAT = "14155550123@s.whatsapp.net"
HOUR_S = 3600.0


class World:
    """One tenant's webhook, and the parts that feed and deliver it."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.clock = LoopClock()
        self.store = MemoryDocuments(self.clock)
        self.receiver, self.waker = MemoryReceiver(), MemoryWaker()
        sealer = WebhookSealer(MemoryKeys(), self.random.randbytes)
        calling = Calling(self.receiver, sealer, self.clock)
        rendering = Rendering(lambda view: {"text": view.text, "state": view.state.value}, datetime.isoformat)
        self.deliverer = WebhookDeliverer(self.store, self.clock, self.random.randbytes, calling, self.waker)
        self.feeder = WebhookFeeder(self.store, self.clock, self.waker, rendering)
        self.webhooks = Webhooks(
            *(self.store, self.clock, self.random.randbytes, sealer, calling, self.deliverer, self.waker, rendering),
            private_allowed=False,
        )

    async def webhook(self, *events: str) -> str:
        made = await self.webhooks.create("anna", Wanted("https://r.example/", events or ("message",), None, {}))
        return made.webhook.id

    async def hear(
        self, *wa_ids: str, at: datetime | None = None, chat: str = CHAT, from_me: bool = False
    ) -> list[str]:
        """Messages of one commit. Returns their paths, in their order."""
        writes = [
            history.heard_message(
                *("anna_shop", "anna", "shop"),
                MessageHeard(seq, wa_id, chat, "14155550123", None, from_me, "text", wa_id, at or self.clock.now()),
            )
            for seq, wa_id in enumerate(wa_ids, 1)
        ]
        await self.store.commit(writes)
        return [write.path for write in writes]

    async def trigger(self, *paths: str) -> None:
        for path in paths:
            await self.feeder.message_changed("anna", path)

    async def deliver(self) -> None:
        """As Pub/Sub does: each wake once more than needed, in any order."""
        while self.waker.woken:
            woken, self.waker.woken = [*self.waker.woken, *self.waker.woken], []
            self.random.shuffle(woken)
            await asyncio.gather(*(self.deliverer.deliver(*one) for one in woken))

    async def pass_time(self, seconds: float) -> None:
        """The minute rounds of so much time."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            await asyncio.sleep(60.0)
            await self.deliverer.wake_due()
            await self.deliver()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(call.body) for call in self.receiver.calls]

    @property
    def texts(self) -> list[str]:
        return [body["data"]["text"] for body in self.bodies]

    def states(self, webhook: str) -> dict[str, str]:
        found = self.store.run_query(Query(f"{WEBHOOKS}/{webhook}/{DELIVERIES}", limit=1000))
        return {json.loads(one.fields["body"])["data"]["text"]: one.fields["state"] for one in found}

    def deaths(self, webhook: str) -> list[Document]:
        """What is on record of deliveries that were given up."""
        where = [Where("subject", "==", webhook)]
        return self.store.run_query(Query(MONITORING, where, order_by="at", limit=1000))

    def read(self, webhook: str) -> Webhook:
        return Webhook.read(self.store.peek(webhooks.webhook_path(webhook)))


def in_virtual_time(case: Any) -> Any:
    def test() -> None:
        async def main() -> None:
            await case(World())

        run_virtual(main())

    test.__name__, test.__doc__ = case.__name__, case.__doc__
    return test


@in_virtual_time
async def test_an_event_arrives_with_the_envelope_and_its_id_in_the_header(world: World) -> None:
    await world.webhook("message")
    await world.trigger(*await world.hear("one"))
    await world.deliver()
    [call] = world.receiver.calls
    [body] = world.bodies
    assert list(body) == ["id", "type", "timestamp", "session_id", "data"]
    assert (body["type"], body["session_id"], body["data"]["text"]) == ("message", "shop", "one")
    assert call.headers["webhook-id"] == body["id"]


@in_virtual_time
async def test_an_event_has_one_delivery_however_often_its_trigger_comes(world: World) -> None:
    await world.webhook("message", "message.any")
    [path] = await world.hear("one")
    await asyncio.gather(*(world.trigger(path) for _ in range(5)))
    await world.deliver()
    await world.trigger(path)
    await world.hear("one")  # by the account's other device
    await world.trigger(path)
    await world.deliver()
    assert [body["type"] for body in world.bodies] == ["message", "message.any"]


@in_virtual_time
async def test_triggers_in_any_order_deliver_a_chat_in_its_order(world: World) -> None:
    await world.webhook("message")
    at = world.clock.now()
    # Within a second of WhatsApp's, within a commit, and names that would sort the other way round.
    paths = await world.hear("c", "b", at=at)
    paths += await world.hear("a", at=at)
    await asyncio.sleep(1.5)
    paths += await world.hear("z", "y")
    for path in reversed(paths):
        await world.trigger(path)
        await world.deliver()
    assert world.texts == ["c", "b", "a", "z", "y"]


@in_virtual_time
async def test_a_burst_longer_than_a_page_keeps_its_order(world: World) -> None:
    await world.webhook("message")
    names = [f"m{9999 - number}" for number in range(HEARD_PAGE * 3)]
    paths = []
    for name in names:
        paths += await world.hear(name)
        await asyncio.sleep(0.3)
    world.random.shuffle(paths)
    await world.trigger(*paths)
    await world.deliver()
    await world.pass_time(120)
    assert world.texts == names


@in_virtual_time
async def test_a_message_that_whatsapp_brings_late_is_told_though_its_time_is_past(world: World) -> None:
    await world.webhook("message")
    await asyncio.sleep(100)
    await world.trigger(*await world.hear("now"))
    await world.trigger(*await world.hear("late", at=world.clock.now() - timedelta(hours=1)))
    await world.deliver()
    assert world.texts == ["now", "late"]


@in_virtual_time
async def test_what_was_before_a_webhook_is_not_told(world: World) -> None:
    paths = await world.hear("before")
    await asyncio.sleep(2)
    await world.webhook("message", "message.any", "message.ack")
    await world.trigger(*paths, *await world.hear("after"))
    await world.deliver()
    assert world.texts == ["after", "after"]


@in_virtual_time
async def test_a_failing_event_holds_its_chat_and_no_other(world: World) -> None:
    webhook = await world.webhook("message")
    other = "14155550999@s.whatsapp.net"
    await world.trigger(*await world.hear("first"), *await world.hear("second"))
    world.receiver.will_answer(500, 500)
    await world.deliver()
    assert world.texts == ["first", "first"]  # at once, and after 5 s
    assert world.clock.monotonic_s() == 5
    await world.trigger(*await world.hear("elsewhere", chat=other))
    await world.deliver()
    assert world.texts[2:] == ["elsewhere"]
    await world.pass_time(120)
    assert world.texts[3:] == ["first", "second"]
    assert len({call.headers["webhook-id"] for call in world.receiver.calls if b"first" in call.body}) == 1
    assert set(world.states(webhook).values()) == {"delivered"}


@in_virtual_time
async def test_an_event_is_tried_for_a_day_and_then_a_dead_letter_that_can_be_replayed(world: World) -> None:
    webhook = await world.webhook("message")
    await world.trigger(*await world.hear("first"))
    await world.deliver()
    world.receiver.answers = [Answer(None, "timeout", 15_000)] * 10_000
    began_s = world.clock.monotonic_s()
    await world.trigger(*await world.hear("stuck"))
    await world.deliver()
    await world.pass_time(24 * HOUR_S)
    assert world.states(webhook)["stuck"] == "pending"
    await world.pass_time(8 * HOUR_S)
    assert world.states(webhook)["stuck"] == "dead"
    assert world.clock.monotonic_s() - began_s > 24 * HOUR_S
    assert 10 <= len(world.receiver.calls) <= 20
    assert [one.fields["kind"] for one in world.deaths(webhook)] == ["webhook_dead_letter"]
    world.receiver.answers = []
    await world.trigger(*await world.hear("next"))
    await world.pass_time(15 * HOUR_S)
    assert await world.webhooks.replay("anna", webhook, None) == 1
    await world.deliver()
    await world.pass_time(60)
    assert world.texts[-2:] == ["next", "stuck"]
    assert await world.webhooks.replay("anna", webhook, None) == 0


@in_virtual_time
async def test_an_endpoint_that_keeps_failing_rests_and_is_probed_one_at_a_time(world: World) -> None:
    webhook = await world.webhook("message")
    chats = [f"1415555{number:04}@s.whatsapp.net" for number in range(30)]
    world.receiver.answers = [Answer(500, None, 3)] * 10_000
    for chat in chats:
        await world.trigger(*await world.hear(chat[:11], chat=chat))
    await world.deliver()
    assert world.read(webhook).breaker.is_open
    calls = len(world.receiver.calls)
    await world.pass_time(HOUR_S)
    probes = len(world.receiver.calls) - calls
    assert 4 <= probes <= 20, probes
    # One good answer, and everybody's wait is over.
    world.receiver.answers = []
    await world.pass_time(900)
    assert not world.read(webhook).breaker.failures
    assert set(world.states(webhook).values()) == {"delivered"}


@in_virtual_time
async def test_the_first_success_of_an_endpoint_sends_what_waits_for_a_much_later_try(world: World) -> None:
    webhook = await world.webhook("message")
    world.receiver.answers = [Answer(500, None, 3)] * 10_000
    await world.trigger(*await world.hear("stuck"))
    await world.pass_time(16 * HOUR_S)
    assert world.read(webhook).breaker.is_open
    world.receiver.answers = []
    await world.trigger(*await world.hear("elsewhere", chat="14155550999@s.whatsapp.net"))
    calls = len(world.receiver.calls)
    await world.deliver()
    assert world.texts[calls:] == ["elsewhere", "stuck"]


@in_virtual_time
async def test_events_that_wait_behind_a_resting_endpoint_are_given_up_in_their_time(world: World) -> None:
    webhook = await world.webhook("message")
    world.receiver.answers = [Answer(500, None, 3)] * 10_000
    for number in range(4 * FAILURES_BEFORE_REST):
        chat = f"1415555{number:04}@s.whatsapp.net"
        await world.trigger(*await world.hear(f"m{number}", chat=chat))
    await world.deliver()
    await world.pass_time(25 * HOUR_S)
    assert set(world.states(webhook).values()) == {"pending"}
    calls = len(world.receiver.calls)
    await world.pass_time(2 * HOUR_S)
    # Those that come to their turn while the endpoint rests are given up without a call; a few wait for a later try of their own.
    assert list(world.states(webhook).values()).count("dead") >= 30
    assert len(world.receiver.calls) - calls <= 12
    await world.pass_time(4 * HOUR_S)
    assert set(world.states(webhook).values()) == {"dead"}
    hours = world.deaths(webhook)
    assert 1 <= len(hours) <= 7, "an hour's are one event"
    assert all(one.fields["tenant"] == "anna" for one in hours)


@in_virtual_time
async def test_the_death_of_a_notice_of_an_alert_makes_no_alert(world: World) -> None:
    webhook = await world.webhook()
    condition = Condition(Rule.QUEUE_AGE, "anna_shop", "anna", "shop", {"age_s": 700})
    alert = Alert("queue_age_x", 1, condition, Severity.WARNING, world.clock.now(), world.clock.now())
    world.receiver.answers = [Answer(500, None, 3)] * 10_000
    await world.feeder.tell_alert(world.read(webhook), alert, Notice.OPENED, {"text": "alert", "alert_id": alert.id})
    await world.deliver()
    await world.pass_time(33 * HOUR_S)
    assert world.states(webhook) == {"alert": "dead"}
    assert world.deaths(webhook) == []


@in_virtual_time
async def test_the_user_who_switched_a_webhook_off_is_not_told_that_its_events_were_given_up(world: World) -> None:
    webhook = await world.webhook("message")
    world.receiver.answers = [Answer(500, None, 3)] * 10_000
    await world.trigger(*await world.hear("stuck"))
    await world.deliver()
    await world.webhooks.change("anna", webhook, Changes(enabled=False))
    await world.pass_time(33 * HOUR_S)
    assert world.states(webhook) == {"stuck": "dead"}
    assert world.deaths(webhook) == []


@in_virtual_time
async def test_a_receiver_that_has_gone_is_switched_off_and_a_person_sees_why(world: World) -> None:
    webhook = await world.webhook("message")
    await world.trigger(*await world.hear("one"))
    world.receiver.will_answer(410)
    await world.deliver()
    await world.pass_time(HOUR_S)
    assert len(world.receiver.calls) == 1
    assert (world.read(webhook).enabled, world.read(webhook).disabled_because) == (False, "gone")
    await world.webhooks.change("anna", webhook, Changes(enabled=True))
    await world.deliver()
    assert world.texts == ["one", "one"]
    assert world.states(webhook) == {"one": "delivered"}


@in_virtual_time
async def test_what_happens_while_a_webhook_is_switched_off_is_not_told_later(world: World) -> None:
    webhook = await world.webhook("message")
    await world.trigger(*await world.hear("before"))
    await world.webhooks.change("anna", webhook, Changes(enabled=False))
    await asyncio.sleep(1)
    await world.trigger(*await world.hear("meanwhile"))
    await asyncio.sleep(1)
    await world.webhooks.change("anna", webhook, Changes(enabled=True))
    await world.trigger(*await world.hear("after"))
    await world.deliver()
    assert world.texts == ["before", "after"]


@in_virtual_time
async def test_a_deliverer_that_dies_is_followed_by_another_and_nothing_is_lost(world: World) -> None:
    webhook = await world.webhook("message")
    await world.trigger(*await world.hear("one"), *await world.hear("two"))
    hanging = asyncio.Event()
    post = world.receiver.post

    async def hang(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        await post(url, headers, body)
        await hanging.wait()
        raise AssertionError

    world.receiver.post = hang  # type: ignore[method-assign]
    [wake] = set(world.waker.woken)
    dying = asyncio.create_task(world.deliver())
    await asyncio.sleep(1)
    dying.cancel()
    world.receiver.post = post  # type: ignore[method-assign]
    # Nobody else may call while the dead one could still be calling.
    await world.deliverer.deliver(*wake)
    assert world.texts == ["one"]
    await world.pass_time(LEASE_S + 60)
    assert world.texts == ["one", "one", "two"]
    assert set(world.states(webhook).values()) == {"delivered"}


@in_virtual_time
async def test_while_one_delivers_a_chat_nobody_else_does(world: World) -> None:
    await world.webhook("message")
    await world.trigger(*await world.hear("one", "two", "three"))
    [wake] = set(world.waker.woken)
    post = world.receiver.post

    async def post_slowly(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = await post(url, headers, body)
        await asyncio.sleep(15)
        await world.deliverer.deliver(*wake)
        return answer

    world.receiver.post = post_slowly  # type: ignore[method-assign]
    await world.deliverer.deliver(*wake)
    await world.pass_time(120)
    assert world.texts == ["one", "two", "three"]


@in_virtual_time
async def test_a_wake_that_fails_is_tried_again_by_the_trigger_and_by_the_minute(world: World) -> None:
    await world.webhook("message")
    [path] = await world.hear("one")
    world.waker.down = True
    with pytest.raises(WakeFailed):
        await world.trigger(path)
    world.waker.down = False
    await world.trigger(path)
    assert len(world.waker.woken) == 1
    world.waker.woken = []
    await world.pass_time(60)
    assert world.texts == ["one"]


@in_virtual_time
async def test_an_event_added_while_the_lane_is_being_let_go_is_delivered_now(world: World) -> None:
    await world.webhook("message")
    await world.trigger(*await world.hear("one"))
    commit, added = world.store.commit, False

    async def commit_later(writes: Any) -> Any:
        nonlocal added
        if not added and any(isinstance(write, Update) and write.fields.get("due_at", 0) is None for write in writes):
            added = True
            await world.trigger(*await world.hear("two"))
        return await commit(writes)

    world.store.commit = commit_later  # type: ignore[method-assign]
    [wake] = world.waker.woken
    await world.deliverer.deliver(*wake)
    assert world.texts == ["one", "two"]


@in_virtual_time
async def test_a_session_is_told_of_once_for_each_change(world: World) -> None:
    await world.webhook("session.status")
    await asyncio.sleep(1)
    change = StateChange(
        "e1", "anna_shop", "shop", "anna", world.clock.now(), "connected", "stopped", "replaced", "It is."
    )
    await world.feeder.session_changed(change)
    await world.feeder.session_changed(change)
    await world.deliver()
    [body] = world.bodies
    assert body["type"] == "session.status"
    assert body["data"] == {
        "session_id": "shop",
        "state": "stopped",
        "state_before": "connected",
        "reason": {
            "code": "replaced",
            "sentence": "It is.",
            "next_step": "Stop the other program, then reconnect.",
        },
    }


@in_virtual_time
async def test_of_a_deleted_webhook_nothing_is_delivered_and_nothing_stays(world: World) -> None:
    webhook = await world.webhook("message")
    await world.trigger(*await world.hear("one"))
    await world.webhooks.delete("anna", webhook)
    await world.deliver()
    await world.pass_time(120)
    assert world.receiver.calls == []
    assert world.store.run_query(Query(f"{WEBHOOKS}/{webhook}/{LANES}", limit=10)) == []
    deliveries = world.store.run_query(Query(f"{WEBHOOKS}/{webhook}/{DELIVERIES}", limit=10))
    assert all(one.fields["expire_at"] is not None for one in deliveries)


@in_virtual_time
async def test_a_lane_that_was_added_to_after_its_webhook_was_deleted_goes(world: World) -> None:
    webhook = await world.webhook("message")
    [path] = await world.hear("one")
    document = world.store.peek(webhooks.webhook_path(webhook))
    await world.webhooks.delete("anna", webhook)
    await world.feeder._feed_message(ToWebhook(Webhook.read(document)), world.store.peek(path))
    await world.deliver()
    assert world.receiver.calls == []
    assert world.store.run_query(Query(f"{WEBHOOKS}/{webhook}/{LANES}", limit=10)) == []


@in_virtual_time
async def test_messages_of_the_api_are_told_from_sent_to_read_whatever_order_the_triggers_have(world: World) -> None:
    await world.webhook("message.any", "message.ack")
    await asyncio.sleep(1)
    paths = []
    for name in ("x", "a"):
        sent_at = world.clock.now()
        row = {
            "tenant": "anna",
            "account": "anna_shop",
            "session_id": "shop",
            "chat": CHAT,
            "kind": "text",
            "content": {"text": name},
            "to": {"phone": "14155550123", "lid": None},
            "state": "delivered",
            "wa_message_id": f"wa{name}",
            "error_code": None,
            "send_at": None,
            "expires_at": None,
            "priority": 0,
            "on_doubt": "resend",
            "attempts": 1,
            "repairs": 0,
            "accepted_at": sent_at,
            "times": {"accepted": sent_at, "sent": sent_at, "delivered": sent_at},
        }
        paths.append(f"outbox/m_{name * 26}")
        await world.store.commit([Create(paths[-1], row)])
        await asyncio.sleep(1)
    await world.trigger(*reversed(paths))
    await world.trigger(*reversed(paths))
    await world.deliver()
    told = [(body["type"], body["data"]["text"], body["data"]["state"]) for body in world.bodies]
    assert told == [
        (kind, name, state)
        for name in ("x", "a")
        for kind, state in (("message.any", "delivered"), ("message.ack", "sent"), ("message.ack", "delivered"))
    ]


@in_virtual_time
async def test_deliveries_are_listed_page_by_page_without_losing_one(world: World) -> None:
    webhook = await world.webhook("message", "message.any")
    paths = await world.hear(*(f"m{number}" for number in range(30)))
    await world.trigger(*paths)
    await asyncio.sleep(1)
    await world.trigger(*await world.hear("last"))
    await world.deliver()
    seen: list[Delivery] = []
    before = None
    for _ in range(10):
        page, before = await world.webhooks.deliveries("anna", webhook, None, 7, before)
        seen += page
        if before is None:
            break
    assert len(seen) == len({one.event_id for one in seen}) == 62
