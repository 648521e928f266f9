"""The Python client has a method for every route, and its types say what the API answers."""

from __future__ import annotations

import inspect
import itertools
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keepline.adapters.media_folder import MediaFolder
from keepline.domain.message import MessageState
from keepline.domain.session import SessionState
from keepline.records.api_keys import SCOPES
from keepline.usecases import live_events, pairing_codes
from keepline.usecases.media import Shelf
from keepline_client import AsyncKeepline, KeeplineError, types

from .client_shapes import NAMES, mismatches
from .client_support import HALVES, URL, Device, Pauses, Wire, client
from .report_support import make_report
from .support import CHAT, NOON, World
from .test_groups import BEA, CAROL, DAN
from .test_live_events import listener
from .test_media import MP3, MP4, OPUS, PNG, WEBP, Internet
from .test_webhook_events import Platform
from .test_webhook_events import heard as heard_path

# Routes without a method, and why.
WITHOUT_METHOD = {
    "metrics.metrics": "for Prometheus, with the operator's token, which is no API key",
    "openapi.description": "for programs that make clients",
    "openapi.docs": "for people",
    "openapi.style": "of the page for people",
}

# Refusals that are to be expected here: nobody makes codes.
EXPECTED = {"sessions.pairing_code": "pairing_code_not_ready"}

GROUP = "120363000000000000@g.us"
HOOK = "https://receiver.example/hook"


class Shop:
    """A session that is connected, one that is to be linked, and what messages, files and webhooks there are."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        account = world.add_session(state="connected", code="connected", phone="14155550100")
        world.beat(account, quality=90)
        world.offer_qr(world.add_session("new", state="pairing", code="waiting_for_scan"), "2@qr")
        world.beat("anna_new", evidence_age_ms=None, n=2)
        world.add_session("up", state="connected", code="connected", phone="14155550101")
        world.add_standby("anna_up", "connected", "connected", linked=True)
        self.heard = {"session_id": "shop", "message_id": world.hear(account, "WA1", NOON), "chat": CHAT}
        self.heard_group = {**self.heard, "message_id": world.hear(account, "WA2", NOON, chat=GROUP), "chat": GROUP}
        poll = {"kind": "poll", "poll": {"question": "When?", "options": ["now", "later"]}}
        self.failed, self.waiting, self.ours = (world.send(text).get_json() for text in ("fails", "waits", "hello"))
        self.poll = world.client.post(
            "/api/messages/send", json={"session_id": "shop", "to": CHAT, **poll}, headers=world.anna
        ).get_json()
        world.settle(self.failed["message_id"], state="failed", error_code="wa_503", attempts=8)
        for one in (self.ours, self.poll):
            sent = {"state": "delivered", "wa_message_id": one["message_id"], "times.sent": NOON}
            world.settle(one["message_id"], **sent)
        self.webhook, self.other_webhook = (
            world.client.post("/api/webhooks", json={"url": HOOK, "events": ["*"]}, headers=world.anna).get_json()[
                "webhook_id"
            ]
            for _ in range(2)
        )
        with listener(world) as live:
            self.place = live.last
            Platform(world, monkeypatch).message(heard_path(world, "WA3"))
        make_report(world, "anna")
        self.document = folder / "bill.txt"
        self.document.write_text("1.00")
        self.media = world.client.post("/api/media", data=PNG, headers=world.anna).get_json()["media_id"]
        world.add_session("bad", state="banned", code="banned")
        world.run(world.process.alert_round.make())
        self.alert = world.get("/api/alerts").get_json()["alerts"][0]["alert_id"]
        for limit in ("messages", "sessions", "codes", "reconnects", "files", "groups", "questions", "lookups"):
            world.set_limit("anna", limit, count=1_000, period_s=60, burst=1_000)


CALLS: dict[str, Callable[[Any, Shop], Any]] = {
    "health": lambda keepline, _: keepline.health(detailed=True),
    "fleet": lambda keepline, _: keepline.fleet(),
    "limits": lambda keepline, _: keepline.limits(),
    "sessions.create": lambda keepline, _: keepline.sessions.create("other", on_doubt="hold", presence=None),
    "sessions.list": lambda keepline, _: keepline.sessions.list(),
    "sessions.get": lambda keepline, _: keepline.sessions.get("up"),
    "sessions.update": lambda keepline, _: keepline.sessions.update(
        "shop", proxy="socks5://name:word@proxy.example:1080"
    ),
    "sessions.qr": lambda keepline, _: keepline.sessions.qr("new"),
    "sessions.qr_png": lambda keepline, _: keepline.sessions.qr_png("new"),
    "sessions.qr_art": lambda keepline, _: keepline.sessions.qr_art("new"),
    "sessions.qr_codes": lambda keepline, _: itertools.islice(keepline.sessions.qr_codes("new"), 1),
    "sessions.pairing_code": lambda keepline, _: keepline.sessions.pairing_code("new", "+1 415 555 0100"),
    "sessions.wait_until_connected": lambda keepline, _: keepline.sessions.wait_until_connected("shop"),
    "sessions.add_standby": lambda keepline, _: keepline.sessions.add_standby("shop"),
    "sessions.remove_standby": lambda keepline, _: keepline.sessions.remove_standby("shop"),
    "sessions.health": lambda keepline, _: keepline.sessions.health("shop"),
    "sessions.diagnostics": lambda keepline, _: keepline.sessions.diagnostics("up"),
    "sessions.reconnect": lambda keepline, _: keepline.sessions.reconnect("shop"),
    "messages.send": lambda keepline, shop: keepline.messages.send(
        "shop",
        CHAT,
        "@14155550199 https://a.example",
        mentions=["+14155550199"],
        preview={"url": "https://a.example", "title": "A"},
        quote=shop.heard["message_id"],
        priority="high",
        send_at=NOON.replace(hour=18),
        expires_at="2026-03-01T19:00:00Z",
        on_doubt="hold",
    ),
    "messages.reply": lambda keepline, shop: keepline.messages.reply(shop.heard_group, "yes"),
    "messages.send_location": lambda keepline, _: keepline.messages.send_location(
        "shop", CHAT, 48.2, 16, name="Vienna"
    ),
    "messages.send_contacts": lambda keepline, _: keepline.messages.send_contacts(
        "shop", CHAT, [{"name": "Ada", "phones": ["+14155550199"]}]
    ),
    "messages.send_poll": lambda keepline, _: keepline.messages.send_poll("shop", CHAT, "When?", ["at 7", "at 8"]),
    "messages.vote": lambda keepline, shop: keepline.messages.vote(shop.poll, ["now"]),
    "messages.react": lambda keepline, shop: keepline.messages.react(shop.heard, "👍"),
    "messages.edit": lambda keepline, shop: keepline.messages.edit(shop.ours, "hello again"),
    "messages.revoke": lambda keepline, shop: keepline.messages.revoke(shop.ours),
    "messages.forward": lambda keepline, shop: keepline.messages.forward(shop.heard, GROUP),
    "messages.get": lambda keepline, shop: keepline.messages.get(shop.heard["message_id"]),
    "messages.wait_until": lambda keepline, shop: keepline.messages.wait_until(shop.ours["message_id"]),
    "messages.cancel": lambda keepline, shop: keepline.messages.cancel(shop.waiting["message_id"]),
    "messages.list": lambda keepline, _: keepline.messages.list("shop"),
    "messages.page": lambda keepline, _: keepline.messages.page("shop", chat="+14155550123", limit=2, before=NOON),
    "messages.dead_letters": lambda keepline, _: keepline.messages.dead_letters("shop"),
    "messages.dead_letter_page": lambda keepline, _: keepline.messages.dead_letter_page("shop", limit=1),
    "messages.replay": lambda keepline, shop: keepline.messages.replay(shop.failed["message_id"]),
    "messages.send_image": lambda keepline, _: keepline.messages.send_image(
        "shop", CHAT, url="https://files.example/menu.png", caption="The menu", view_once=True
    ),
    "messages.send_video": lambda keepline, _: keepline.messages.send_video("shop", CHAT, file=MP4),
    "messages.send_audio": lambda keepline, _: keepline.messages.send_audio("shop", CHAT, file=MP3),
    "messages.send_voice": lambda keepline, _: keepline.messages.send_voice("shop", CHAT, file=OPUS),
    "messages.send_document": lambda keepline, shop: keepline.messages.send_document(
        "shop", CHAT, media_id=shop.media, file_name="red.png", caption="Red", quote=shop.heard["message_id"]
    ),
    "messages.send_sticker": lambda keepline, _: keepline.messages.send_sticker("shop", CHAT, file=WEBP),
    "media.upload": lambda keepline, shop: keepline.media.upload(shop.document),
    "media.get": lambda keepline, shop: keepline.media.get(shop.media),
    "media.download": lambda keepline, shop: keepline.media.download(shop.media),
    "media.save": lambda keepline, shop: keepline.media.save(shop.media, shop.document.with_name("saved")),
    "groups.create": lambda keepline, _: keepline.groups.create("shop", "Walks", [BEA, DAN]),
    "groups.list": lambda keepline, _: keepline.groups.list("shop"),
    "groups.get": lambda keepline, _: keepline.groups.get("shop", GROUP),
    "groups.add": lambda keepline, _: keepline.groups.add("shop", GROUP, [CAROL, DAN]),
    "groups.promote": lambda keepline, _: keepline.groups.promote("shop", GROUP, [CAROL]),
    "groups.demote": lambda keepline, _: keepline.groups.demote("shop", GROUP, [CAROL]),
    "groups.remove": lambda keepline, _: keepline.groups.remove("shop", GROUP, [CAROL]),
    "groups.rename": lambda keepline, _: keepline.groups.rename("shop", GROUP, "Longer walks"),
    "groups.invite": lambda keepline, _: keepline.groups.invite("shop", GROUP),
    "groups.reset_invite": lambda keepline, _: keepline.groups.reset_invite("shop", GROUP),
    "groups.leave": lambda keepline, _: keepline.groups.leave("shop", GROUP),
    "contacts.check": lambda keepline, _: keepline.contacts.check("shop", [f"+{BEA}", "14155550666"]),
    "contacts.get": lambda keepline, _: keepline.contacts.get("shop", BEA),
    "events.listen": lambda keepline, shop: itertools.islice(
        keepline.events.listen("shop", events=["message", "message.any"], last_event_id=shop.place), 2
    ),
    "events.here": lambda keepline, _: keepline.events.here(),
    "events.keep": lambda keepline, _: keepline.events.keep(),
    "chats.mark_read": lambda keepline, _: keepline.chats.mark_read("up", CHAT),
    "chats.show_typing": lambda keepline, _: keepline.chats.show_typing("shop", CHAT, "recording"),
    "webhooks.create": lambda keepline, _: keepline.webhooks.create(HOOK, ["message"], session_id="shop"),
    "webhooks.list": lambda keepline, _: keepline.webhooks.list(),
    "webhooks.get": lambda keepline, shop: keepline.webhooks.get(shop.webhook),
    "webhooks.update": lambda keepline, shop: keepline.webhooks.update(shop.webhook, enabled=False),
    "webhooks.rotate_secret": lambda keepline, shop: keepline.webhooks.rotate_secret(shop.webhook),
    "webhooks.test": lambda keepline, shop: keepline.webhooks.test(shop.webhook),
    "webhooks.deliveries": lambda keepline, shop: keepline.webhooks.deliveries(shop.webhook, state="dead"),
    "webhooks.delivery_page": lambda keepline, shop: keepline.webhooks.delivery_page(shop.webhook),
    "webhooks.replay": lambda keepline, shop: keepline.webhooks.replay(shop.webhook),
    "webhooks.delete": lambda keepline, shop: keepline.webhooks.delete(shop.other_webhook),
    "alerts.events": lambda keepline, _: keepline.alerts.events(kind="session_banned"),
    "alerts.page": lambda keepline, _: keepline.alerts.page(state="open", limit=5),
    "alerts.acknowledge": lambda keepline, shop: keepline.alerts.acknowledge(shop.alert),
    "alerts.settings": lambda keepline, _: keepline.alerts.settings(),
    "alerts.set_thresholds": lambda keepline, _: keepline.alerts.set_thresholds({"queue_age_s": 60}),
    "alerts.set_quiet_hours": lambda keepline, _: keepline.alerts.set_quiet_hours(
        {"begins": "22:00", "ends": "07:00", "time_zone": "Europe/Bucharest"}
    ),
    "alerts.create_channel": lambda keepline, _: keepline.alerts.create_channel("mail", url="mailto://me@a.example"),
    "alerts.channels": lambda keepline, _: keepline.alerts.channels(),
    "alerts.test_channel": lambda keepline, _: keepline.alerts.test_channel(
        keepline.alerts.channels()[-1]["channel_id"]
    ),
    "alerts.delete_channel": lambda keepline, _: keepline.alerts.delete_channel(
        keepline.alerts.channels()[-1]["channel_id"]
    ),
    "keys.create": lambda keepline, _: keepline.keys.create("till", ["read", "send"], sessions=["shop"]),
    "keys.list": lambda keepline, _: keepline.keys.list(),
    "keys.revoke": lambda keepline, _: keepline.keys.revoke(keepline.keys.list()[-1]["key_id"]),
    "reports.page": lambda keepline, _: keepline.reports.page(limit=5, before="2026-03-01"),
    "reports.get": lambda keepline, _: keepline.reports.get("2026-02-28"),
    "reports.settings": lambda keepline, _: keepline.reports.settings(),
    "reports.update_settings": lambda keepline, _: keepline.reports.update_settings(time_zone="Europe/Bucharest"),
    "uptime.add": lambda keepline, _: keepline.uptime.add(
        "Shop", "https://shop.example", expected_status=[200, 204], settings={"preset": "aggressive"}
    ),
    "uptime.all": lambda keepline, _: keepline.uptime.all(),
    "uptime.get": lambda keepline, _: keepline.uptime.get(_target(keepline)),
    "uptime.update": lambda keepline, _: keepline.uptime.update(_target(keepline), settings={"slo": 0.99}),
    "uptime.delete": lambda keepline, _: keepline.uptime.delete(_target(keepline)),
    "connectors.list": lambda keepline, _: keepline.connectors.list(),
    "connectors.drain": lambda keepline, _: keepline.connectors.drain("c1"),
    "connectors.undrain": lambda keepline, _: keepline.connectors.undrain("c1"),
    "sessions.delete": lambda keepline, _: keepline.sessions.delete("shop"),
}


def _target(keepline: Any) -> str:
    target_id: str = keepline.uptime.all()["targets"][0]["target_id"]
    return target_id


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    monkeypatch.setattr(pairing_codes, "CODE_WAIT_S", 0.02)
    monkeypatch.setattr(live_events, "STREAM_S", 0.1)  # The wire takes answers whole.
    return Pauses(monkeypatch)


# The names of lists in classes that have a method called `list`.
LISTS = {
    "SessionList": list[types.Session],
    "WebhookList": list[types.Webhook],
    "KeyList": list[types.ApiKey],
    "GroupList": list[types.GroupSummary],
    "ConnectorList": list[types.ConnectorDetails],
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    internet = Internet()
    internet.files["https://files.example/menu.png"] = (PNG, "image/png")
    world = World(
        lambda clock: Shelf(
            MediaFolder(tmp_path / "media", lambda: clock.now().timestamp()), internet, None, timedelta(days=30)
        )
    )
    yield world
    world.loop.stop()


def methods() -> dict[str, Any]:
    """Every method that the client shows, by its name."""
    keepline = AsyncKeepline(URL, "kl_key")
    found = {}
    for prefix, owner in [("", keepline), *((f"{name}.", part) for name, part in vars(keepline).items())]:
        if prefix.startswith("_"):
            continue
        for name, method in inspect.getmembers(owner, inspect.ismethod):
            if not name.startswith("_"):
                found[prefix + name] = method
    return found


def returned(name: str) -> Any:
    """What a method says that it gives; of an iterator, a list of it."""
    method = methods()[name]
    hint = typing.get_type_hints(method, {**method.__func__.__globals__, **NAMES, **LISTS})["return"]
    return list[typing.get_args(hint)[0]] if typing.get_origin(hint) is AsyncIterator else hint  # type: ignore[misc]


def test_every_method_is_called_here() -> None:
    assert set(CALLS) == set(methods()) - {"close"}


@pytest.mark.parametrize("half", HALVES)
def test_every_route_has_a_method_whose_type_is_what_the_api_answers(
    world: World, half: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop = Shop(world, monkeypatch, tmp_path)
    wire = Wire(world)
    wrong: list[str] = []
    key = world.add_key("anna", SCOPES)["X-Api-Key"]
    with Device(world), client(half, URL, key, wire) as keepline:
        for number, (name, call) in enumerate(CALLS.items(), 3):
            world.clock.advance(1)
            world.beat("anna_shop", quality=90, n=number)
            world.offer_qr("anna_new", "2@qr")
            try:
                answer = call(keepline, shop)
                found = list(answer) if isinstance(answer, Iterator) else answer
            except KeeplineError as error:
                assert error.code == EXPECTED.get(name), f"{name}: {error}"
                continue
            assert name not in EXPECTED
            wrong += mismatches(found, returned(name), name)
    assert wrong == []
    adapter = world.process.app.url_map.bind("keepline.test")
    used = {adapter.match(request.url.path, request.method)[0] for request in wire.requests}
    assert set(world.process.app.view_functions) - used == set(WITHOUT_METHOD)


def test_the_states_are_those_of_the_api() -> None:
    assert set(typing.get_args(types.SessionState)) == {state.value for state in SessionState}
    assert set(typing.get_args(types.MessageState)) == {state.value for state in MessageState}
