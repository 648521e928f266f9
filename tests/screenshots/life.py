"""What happens in the pictures, done as users and their friends do it: through the API, the phones and the simulator's faults."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from keepline_client import Keepline
from keepline_client.types import Message
from keepline_local.run_file import Run
from simulator.client import SimulatorClient

from ..e2e.keepline import Api, eventually

ADA, BEN, CARA, DAN = "14155550301", "14155550302", "14155550303", "14155550304"
NAMES = {ADA: "Ada Popescu", BEN: "Ben Ionescu", CARA: "Cara Marin", DAN: "Dan Stan"}
TALK = (
    (ADA, "Good morning! Is my order ready to be picked up?", "Good morning, Ada. It is: we are open until 18:00."),
    (BEN, "Do you still have a table for four tonight?", "We do, at 19:30. Shall I keep it for you?"),
    (CARA, "Thank you, the parcel has arrived 🙂", "Wonderful. Enjoy it!"),
)
LIMIT_S = 40.0


@dataclass(frozen=True)
class Life:
    """The run's user, and everybody else."""

    run: Run
    keepline: Keepline
    phones: SimulatorClient


@contextmanager
def receiver() -> Iterator[str]:
    """A program that takes webhooks in; its address."""

    class Takes(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200 if self.path == "/keepline" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is said about it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def numbers_are_linked(life: Life) -> None:
    """Three numbers, one with a standby."""
    for session in ("shop", "support", "bookings"):
        life.keepline.sessions.create(session, pacing="off")
    for session in ("shop", "support", "bookings"):
        life.keepline.sessions.wait_until_connected(session, timeout_s=LIMIT_S)
    life.keepline.sessions.add_standby("shop")
    eventually(
        lambda: [one["state"] for one in life.keepline.sessions.get("shop")["devices"]] == ["connected"] * 2,
        "the standby is connected",
        LIMIT_S,
    )


def webhooks_are_told(life: Life, address: str) -> None:
    """One receiver that takes its calls, one that fails."""
    life.keepline.webhooks.create(f"{address}/keepline", ["message", "message.ack", "session.status"])
    life.keepline.webhooks.create(f"{address}/broken", ["message"], session_id="support")


def people_talk(life: Life) -> None:
    """Questions come in and are answered; the answers are delivered and read."""
    shop = life.keepline.sessions.get("shop")["phone"]
    support = life.keepline.sessions.get("support")["phone"]
    assert shop and support
    sent = []
    for number, question, answer in TALK:
        life.phones.send(number, shop, question)
        eventually(lambda asked=question: _heard(life, "shop", asked), f"{question!r} comes in", LIMIT_S)
        sent.append((number, life.keepline.messages.send("shop", number, answer)["message_id"]))
    life.phones.send(DAN, support, "My router blinks red, what shall I do?")
    sent.append((DAN, life.keepline.messages.send("support", DAN, "Please unplug it for ten seconds.")["message_id"]))
    for number, message in sent:
        life.keepline.messages.wait_until(message, "delivered", timeout_s=LIMIT_S)
        read = life.keepline.messages.get(message)["wa_message_id"]
        life.phones.call("POST", f"/phones/{number}/receipts", {"message_ids": [read]})
    life.keepline.messages.wait_until(sent[-1][1], "read", timeout_s=LIMIT_S)


def some_fail(life: Life) -> None:
    """WhatsApp refuses two messages, one waits for tomorrow."""
    fault = life.phones.add_fault("ack_error", {"number": life.keepline.sessions.get("bookings")["phone"]}, code=479)
    failing = [life.keepline.messages.send("bookings", f"1415555040{n}", "Your table is booked.") for n in range(2)]
    for one in failing:
        eventually(lambda asked=one: _state(life, asked) == "failed", "WhatsApp refuses it", LIMIT_S)
    life.phones.clear_faults(fault)
    life.keepline.messages.send("shop", ADA, "We open at nine today.", send_at=datetime.now(UTC) + timedelta(days=1))


def somebody_is_told(life: Life, address: str) -> None:
    """A channel that works; and a service of the user's own that is watched besides the connectors and the API."""
    api = Api(life.run.api, life.run.api_key)
    channel = {"name": "On call", "url": f"json://{address.removeprefix('http://')}/keepline", "least": "warning"}
    api.json("POST", "/api/alerts/channels", 201, json=channel)
    api.json("POST", "/api/uptime/targets", 201, json={"name": "Online shop", "url": f"{address}/health"})


def keys_are_made(life: Life) -> None:
    """One that is used, one that is for a session alone."""
    life.keepline.keys.create("Nightly import", ["read"])
    till = life.keepline.keys.create("The till", ["read", "send"], sessions=["shop"])
    with Keepline(life.run.api, till["key"]) as program:
        program.sessions.get("shop")


def one_is_banned(life: Life) -> None:
    """A number that WhatsApp refuses, so that there is something to be told of."""
    number = life.keepline.sessions.get("bookings")["phone"]
    life.phones.add_fault("login_failure", {"number": number}, code=402, ban_code=101, expire_s=3600)
    life.phones.drop_connections(number)
    eventually(lambda: life.keepline.sessions.get("bookings")["state"] == "banned", "the number is banned", LIMIT_S)


def _heard(life: Life, session: str, text: str) -> bool:
    return any(one["text"] == text for one in life.keepline.messages.page(session)["messages"])


def _state(life: Life, message: Message) -> str:
    return life.keepline.messages.get(message["message_id"])["state"]
