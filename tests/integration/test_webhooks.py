"""Webhooks with real parts: Google's emulators, the functions in their host, and receivers that misbehave, over real HTTP.

What a connector would write is written here.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from examples.webhook_receiver import is_genuine
from keepline.adapters.firestore import FirestoreDocuments
from keepline.adapters.key_file import create_key_file
from keepline.domain.link_events import MessageHeard, NoticeHeard
from keepline.domain.session import WAITING_FOR_CONNECTOR
from keepline.records import accounts, api_keys, history, notices
from keepline_local.emulators import firestore_emulator, pubsub_emulator
from keepline_local.eventarc.policy import RedeliveryPolicy
from keepline_local.eventarc.service import Eventarc
from keepline_local.functions_table import load
from keepline_local.loopback_http import answers
from keepline_local.ports import free_port
from keepline_local.processes import Child, spawn, wait_ready

PROJECT = "demo-webhooks"
CHAT = "14155550123@s.whatsapp.net"
LIMIT_S = 40.0


@dataclass
class Cloud:
    """Everything but connectors."""

    api: str
    key: str
    store_host: str
    folder: Path

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, self.api + path, json=body, headers={"X-Api-Key": self.key}, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def webhook(self, port: int, *events: str) -> dict[str, Any]:
        body = {"url": f"http://127.0.0.1:{port}/hook", "events": list(events)}
        made: dict[str, Any] = self.call("POST", "/api/webhooks", body)
        return made


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("webhooks")
    events, functions, api = free_port(), free_port(), free_port()
    create_key_file(folder / "keys.json")
    with (
        firestore_emulator(functions=f"127.0.0.1:{events}") as store_host,
        pubsub_emulator() as pubsub_host,
        pytest.MonkeyPatch.context() as patch,
    ):
        environment = {
            "KEEPLINE_PROJECT": PROJECT,
            "FIRESTORE_EMULATOR_HOST": store_host,
            "PUBSUB_EMULATOR_HOST": pubsub_host,
            "KEEPLINE_KEY_FILE": str(folder / "keys.json"),
            "KEEPLINE_PRIVATE_ADDRESSES": "allow",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        host: Child = spawn(
            "functions",
            [
                *(sys.executable, "-m", "keepline_local.functions_host"),
                *("--api-port", str(api), "--events-port", str(functions)),
            ],
            folder / "functions.log",
            env=environment,
        )
        wait_ready(host, lambda: answers(f"http://127.0.0.1:{functions}"), limit_s=60)
        url = f"http://127.0.0.1:{functions}"
        policy = RedeliveryPolicy(delay_first_s=0.1)
        eventarc = Eventarc(PROJECT, load(), folder / "events.sqlite", events, lambda name: f"{url}/{name}", policy)
        eventarc.register(store_host, pubsub_host)
        key = api_keys.new_key(b"\x07" * 32)
        asyncio.run(_add_user(key))
        yield Cloud(f"http://127.0.0.1:{api}", key, store_host, folder)
        eventarc.stop()
        host.stop()


async def _add_user(key: str) -> None:
    store = FirestoreDocuments(PROJECT)
    await store.commit([api_keys.add_key(key, tenant="anna", name="test", scopes=api_keys.USER_SCOPES)])
    await store.commit(
        accounts.new_account(
            account="anna_shop", tenant="anna", session_id="shop", tag_key=b"\x01" * 32, status=WAITING_FOR_CONNECTOR
        )
    )


@dataclass
class Receiver:
    """Takes each call as the first of its `answers` says, and 200 when there is none."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            headers = {name: value.strip() for name, _, value in (line.partition(":") for line in head)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.calls.append((headers, body))
            match self.answers.pop(0) if self.answers else "200":
                case "hang":
                    await reader.read()
                case "close":
                    writer.transport.abort()
                case "slow":
                    await asyncio.sleep(1)
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                case "redirect":
                    writer.write(f"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:{self.port}/other\r\n\r\n".encode())
                case status:
                    writer.write(f"HTTP/1.1 {status} So\r\n\r\n".encode())
        finally:
            writer.close()

    @property
    def texts(self) -> list[str]:
        return [json.loads(body)["data"]["text"] for _, body in self.calls]


@asynccontextmanager
async def receiving(*answers: str) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers))
    server = await asyncio.start_server(receiver.connected, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


async def hear(store: FirestoreDocuments, *names: str, chat: str = CHAT) -> None:
    """Messages in one commit, as a connector writes them."""
    at = datetime.now(UTC).replace(microsecond=0)
    heard = (MessageHeard(n, name, chat, chat[:11], None, False, "text", name, at) for n, name in enumerate(names))
    await store.commit([history.heard_message("anna_shop", "anna", "shop", one) for one in heard])


async def eventually(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in other processes
            await asyncio.sleep(0.05)


async def asked(cloud: Cloud, method: str, path: str, body: Any = None) -> Any:
    return await asyncio.to_thread(cloud.call, method, path, body)


async def test_a_message_is_told_once_signed_and_in_the_order_of_its_chat(cloud: Cloud) -> None:
    store = FirestoreDocuments(PROJECT)
    async with receiving() as receiver:
        webhook = await asyncio.to_thread(cloud.webhook, receiver.port, "message")
        names = [f"m{number}" for number in range(40, 0, -1)]
        for start in range(0, 40, 5):
            await hear(store, *names[start : start + 5])
        await eventually(lambda: len(receiver.calls) >= 40)
        assert receiver.texts == names
        now_s = datetime.now(UTC).timestamp()
        assert all(is_genuine(webhook["secret"], headers, body, now_s) for headers, body in receiver.calls)
        log = await asked(cloud, "GET", f"/api/webhooks/{webhook['webhook_id']}/deliveries?limit=100")
        assert {one["state"] for one in log["deliveries"]} <= {"delivered", "pending"}
        await asked(cloud, "DELETE", f"/api/webhooks/{webhook['webhook_id']}")


async def test_a_receiver_that_fails_redirects_closes_or_is_slow_gets_everything_in_order(cloud: Cloud) -> None:
    store = FirestoreDocuments(PROJECT)
    chats = [f"1415555020{number}@s.whatsapp.net" for number in range(4)]
    for trouble, chat in zip(("500", "redirect", "close", "slow"), chats, strict=True):
        async with receiving(trouble) as receiver:
            webhook = await asyncio.to_thread(cloud.webhook, receiver.port, "message")
            await hear(store, "first", "second", chat=chat)
            expected = ["first", "second"] if trouble == "slow" else ["first", "first", "second"]
            await eventually(lambda r=receiver, e=expected: r.texts == e)  # type: ignore[misc]
            ids = {headers["webhook-id"] for headers, _ in receiver.calls}
            assert len(ids) == 2
            await asked(cloud, "DELETE", f"/api/webhooks/{webhook['webhook_id']}")


async def test_a_call_that_a_connector_records_is_told_once(cloud: Cloud) -> None:
    store = FirestoreDocuments(PROJECT)
    async with receiving() as receiver:
        webhook = await asyncio.to_thread(cloud.webhook, receiver.port, "call.received")
        at = datetime.now(UTC).replace(microsecond=0)
        said = {"call_id": "C1", "from": {"phone": CHAT[:11], "lid": None}, "is_video": False, "is_group": False}
        notice = NoticeHeard(1, "call.received", CHAT, "C1", at, said)
        await store.commit([notices.new_notice("anna_shop", "anna", "shop", notice)])
        await eventually(lambda: len(receiver.calls) > 0)
        [(_, body)] = receiver.calls
        event = json.loads(body)
        assert (event["type"], event["data"]["call_id"], event["data"]["chat"]) == ("call.received", "C1", CHAT)
        await asked(cloud, "DELETE", f"/api/webhooks/{webhook['webhook_id']}")


async def test_a_test_call_tells_of_a_receiver_that_hangs(cloud: Cloud) -> None:
    async with receiving("hang") as receiver:
        webhook = await asyncio.to_thread(cloud.webhook, receiver.port, "message")
        answer = await asked(cloud, "POST", f"/api/webhooks/{webhook['webhook_id']}/test")
        assert (answer["delivered"], answer["error"]) == (False, "timeout")
        assert 14_000 <= answer["duration_ms"] <= 17_000
        await asked(cloud, "DELETE", f"/api/webhooks/{webhook['webhook_id']}")
