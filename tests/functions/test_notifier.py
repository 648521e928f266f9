"""Channels through Apprise, really: to an SMTP server and an HTTP sink on this machine, by the functions."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from keepline.adapters.apprise_notifier import AppriseNotifier
from keepline_functions.assembling import Process, assemble

from .support import World

MAIL_LIMIT_S = 10.0


class Mailbox:
    """What an SMTP server took; it says no when it is `full`."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.full = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.full:
            return "552 no room"
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


class Sink(ThreadingHTTPServer):
    """Writes down what it is posted."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Post)


class _Post(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        self.server.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is said on the terminal."""


@pytest.fixture
def mailbox(world: World) -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()

    async def serve() -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)

    server = world.run(serve())
    yield box, server.sockets[0].getsockname()[1]

    async def close() -> None:
        server.close()

    world.run(close())


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield server
    server.shutdown()
    serving.join(MAIL_LIMIT_S)
    server.server_close()


def process(world: World, *, private: bool = True) -> Process:
    """The functions with the notifier that they have in production."""
    notifier = AppriseNotifier(private_allowed=private)
    return assemble(replace(world.outside, notifier=notifier, private_addresses=private))


def add(world: World, parts: Process, url: str) -> str:
    client = parts.app.test_client()
    answer = client.post("/api/alerts/channels", json={"name": "x", "url": url}, headers=world.anna)
    assert answer.status_code == 201, answer.get_json()
    return str(answer.get_json()["channel_id"])


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}?from=keepline@a.example&to=me@a.example"


def test_an_alert_and_its_end_come_by_mail(world: World, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    parts = process(world)
    add(world, parts, mail_url(port))
    world.add_session(state="banned", code="banned")
    world.run(parts.alert_round.make())
    [mail] = box.mails
    assert mail["Subject"] == "[critical] session_banned: shop"
    assert mail["To"].addresses[0].addr_spec == "me@a.example"
    assert "What to do: Wait for the ban to end" in mail.as_string().replace("=\n", "").replace("<br/>", "\n")
    world.set_state("anna_shop", "connected", "connected")
    for _ in range(4):
        world.clock.advance(60)
        world.run(parts.alert_round.make())
    assert [mail["Subject"] for mail in box.mails[1:]] == ["[over] session_banned: shop"]


def test_a_mail_server_that_refuses_is_tried_again_and_gets_it_once(world: World, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    parts = process(world)
    add(world, parts, mail_url(port))
    box.full = True
    world.add_session(state="banned", code="banned")
    world.run(parts.alert_round.make())
    [shown] = parts.app.test_client().get("/api/alerts/channels", headers=world.anna).get_json()["channels"]
    assert (shown["state"], shown["error"]) == ("failing", "not_taken")
    box.full = False
    for _ in range(4):
        world.clock.advance(60)
        world.run(parts.alert_round.make())
    assert [mail["Subject"] for mail in box.mails] == ["[critical] session_banned: shop"]


def test_an_alert_is_posted_as_json(world: World, sink: Sink) -> None:
    parts = process(world)
    add(world, parts, f"json://127.0.0.1:{sink.server_port}/hook")
    world.add_session(state="logged_out", code="logged_out")
    world.run(parts.alert_round.make())
    [posted] = sink.posts
    assert posted["title"] == "[critical] session_logged_out: shop"
    assert "The phone has removed the linked device of shop." in posted["message"]


def test_a_private_address_is_not_dialled_whatever_name_leads_there(sink: Sink) -> None:
    """The name is public to look at; only where it leads says what it is."""
    url = f"json://127.0.0.1:{sink.server_port}/hook"

    async def tell(notifier: AppriseNotifier, where: str) -> str | None:
        return (await notifier.tell(where, "title", "text")).error

    strict = AppriseNotifier(private_allowed=False)
    assert asyncio.run(tell(strict, url)) == "address_not_allowed"
    assert asyncio.run(tell(strict, url.replace("127.0.0.1", "localhost"))) == "address_not_allowed"
    assert sink.posts == []
    assert asyncio.run(tell(AppriseNotifier(private_allowed=True), url)) is None
    assert asyncio.run(tell(strict, url)) == "address_not_allowed", "the same thread or another: it is asked each time"
    assert len(sink.posts) == 1


def test_a_receiver_that_never_answers_ends_by_itself() -> None:
    async def tell() -> str | None:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        notifier = AppriseNotifier(private_allowed=True, timeout_s=0.2)
        async with server:
            return (await notifier.tell(f"json://127.0.0.1:{port}/x", "title", "text")).error

    assert asyncio.run(tell()) == "timeout"


@pytest.mark.parametrize("url", ["nonsense://x", "slack://", "mailto://", "tgram://word"])
def test_an_address_in_which_nobody_is_named_is_known_as_such(url: str) -> None:
    notifier = AppriseNotifier(private_allowed=True)
    assert not asyncio.run(notifier.knows(url))
    assert asyncio.run(notifier.tell(url, "title", "text")).error == "bad_address"


def test_no_word_of_an_address_is_logged(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    sink.status = 500
    url = f"json://name:opensesame@127.0.0.1:{sink.server_port}/hook"
    assert asyncio.run(AppriseNotifier(private_allowed=True).tell(url, "title", "text")).error == "not_taken"
    assert "opensesame" not in caplog.text
