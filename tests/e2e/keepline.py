"""A user's view of a running Keepline: its API with a key, and the people on the other side, as the simulator plays them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

CALL_TIMEOUT_S = 15.0
LIMIT_S = 30.0
POLL_S = 0.05

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S) -> T:
    """What `look` gives as soon as it is true; AssertionError when that takes longer than the limit."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}"
        time.sleep(POLL_S)
    return found


class Http:
    """JSON over HTTP on this machine."""

    def __init__(self, base: str, headers: dict[str, str] | None = None) -> None:
        self._base = base
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(headers or {})

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self._base + path, timeout=CALL_TIMEOUT_S, **options)

    def json(self, method: str, path: str, status: int = 200, **options: Any) -> dict[str, Any]:
        """The JSON of an answer that must have this status."""
        response = self.call(method, path, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:500]}"
        found: dict[str, Any] = response.json()
        return found

    def refusal(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and code of a request that is refused, in the one shape of errors."""
        response = self.call(method, path, **options)
        error = response.json()["error"]
        assert set(error) == {"code", "message", "hint"}, error
        assert all(error.values()), error
        return response.status_code, error["code"]


class Api(Http):
    """Keepline's API with one key."""

    def __init__(self, base: str, key: str) -> None:
        super().__init__(base, {"X-Api-Key": key})
        self.address, self.key = base, key

    def status(self, session_id: str) -> dict[str, Any]:
        return self.json("GET", f"/api/sessions/{session_id}/status")

    def create(self, session_id: str) -> dict[str, Any]:
        return self.json("POST", "/api/sessions/create", 201, json={"session_id": session_id, "pacing": "off"})

    def send(self, session_id: str, to: str, text: str, key: str | None = None) -> dict[str, Any]:
        body = {"session_id": session_id, "to": to, "text": text}
        headers = {"Idempotency-Key": key} if key else {}
        return self.json("POST", "/api/messages/send", 202, json=body, headers=headers)

    def message(self, message_id: str) -> dict[str, Any]:
        return self.json("GET", f"/api/messages/{message_id}")

    def messages(self, session_id: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("GET", "/api/messages", params={"session_id": session_id, **query})[
            "messages"
        ]
        return found

    def wait_for_state(self, session_id: str, state: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            now = self.status(session_id)
            return now if now["state"] == state else None

        return eventually(reached, f"{session_id} is {state}", limit_s)

    def wait_for_delivery(self, *message_ids: str, limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
        def delivered() -> list[dict[str, Any]] | None:
            found = [self.message(message_id) for message_id in message_ids]
            return found if all(one["state"] == "delivered" for one in found) else None

        return eventually(delivered, f"{len(message_ids)} messages are delivered", limit_s)

    def wait_for_text(self, session_id: str, text: str) -> dict[str, Any]:
        """The message that came in with this text."""

        def found() -> dict[str, Any] | None:
            incoming = [one for one in self.messages(session_id) if one["direction"] == "in"]
            return next((one for one in incoming if one["text"] == text), None)

        return eventually(found, f"{text!r} comes in")


class Phones(Http):
    """Everybody else, as the simulator plays them."""

    _numbers = itertools.count(14155550200)

    def new_number(self) -> str:
        """A number that no other test writes to. In the demo every number is a phone."""
        return str(next(self._numbers))

    def inbox(self, number: str) -> dict[str, Any]:
        return self.json("GET", f"/phones/{number}/inbox")

    def texts(self, number: str) -> list[str]:
        """What the phone has decrypted and shown, in order."""
        return [message["text"] for message in self.inbox(number)["messages"]]

    def write(self, number: str, to: str, text: str) -> str:
        """Let a phone write; WhatsApp's id of the message."""
        response = self.call("POST", f"/phones/{number}/messages", json={"to": to, "text": text})
        assert response.ok, response.text
        return str(response.json()["id"])

    def devices(self, number: str) -> list[dict[str, Any]]:
        """The devices that are linked to a number."""
        found: list[dict[str, Any]] = self.json("GET", f"/phones/{number}/devices")["devices"]
        return found


@dataclass(frozen=True)
class Session:
    """A session that a phone has linked and that is connected."""

    id: str
    phone: str
