"""A letter by mail: what a mail server gets has both forms."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from keepline.adapters.apprise_notifier import AppriseNotifier


class Mailbox:
    """A mail server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield mailbox, port
    controller.stop()


async def test_a_mail_has_the_html_and_says_the_same_without_it(mail: tuple[Mailbox, int]) -> None:
    mailbox, port = mail
    notifier = AppriseNotifier(private_allowed=True)
    url = f"mailto://127.0.0.1:{port}?from=keepline@example.com&to=anna@example.com&mode=insecure"
    html = '<html><body><h1>Saturday</h1><table><tr><td bgcolor="#1a9c6b">99.9 %</td></tr></table></body></html>'
    told = await notifier.tell(url, "A day", "Saturday: 99.9 %", html)
    assert told.error is None
    [one] = mailbox.mails
    assert one["Subject"] == "A day"
    parts = {part.get_content_type(): part.get_payload(decode=True) for part in one.walk() if not part.is_multipart()}
    assert set(parts) == {"text/plain", "text/html"}
    assert b'bgcolor="#1a9c6b"' in bytes(parts["text/html"])  # type: ignore[arg-type]
    assert b"99.9 %" in bytes(parts["text/plain"])  # type: ignore[arg-type]
    assert b"<td" not in bytes(parts["text/plain"])  # type: ignore[arg-type]


async def test_without_html_a_mail_has_the_text(mail: tuple[Mailbox, int]) -> None:
    mailbox, port = mail
    notifier = AppriseNotifier(private_allowed=True)
    url = f"mailto://127.0.0.1:{port}?from=keepline@example.com&to=anna@example.com&mode=insecure"
    assert (await notifier.tell(url, "An alert", "It is down.")).error is None
    assert "It is down." in str(mailbox.mails[0])
