"""What the benches share: a demo's API as its users use it, and waiting with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests

from keepline_local.stack import Stack
from simulator.client import SimulatorClient

T = TypeVar("T")

LIMIT_S = 60.0
LOOK_S = 0.005
RETRY_S = 0.1
TRY_LATER = 503


def until(look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S, pause_s: float = LOOK_S) -> T:
    """The first answer that is not None; SystemExit says what was waited for in vain."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(pause_s)
    raise SystemExit(f"waited {limit_s:.0f} s for {what}")


def arrivals(whatsapp: SimulatorClient) -> dict[str, float]:
    """When the simulator accepted each stanza, by WhatsApp id."""
    arrived: dict[str, float] = {}
    cursor = 0
    while True:
        events, cursor = whatsapp.log(cursor, "accepted")
        if not events:
            return arrived
        for event in events:
            arrived.setdefault(event["id"], event["at"])


class Keepline:
    """The API of a demo."""

    def __init__(self, stack: Stack) -> None:
        self._api = stack.run.api
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["X-Api-Key"] = stack.run.api_key

    def create(self, session_id: str | None = None) -> str:
        """A new session, which the demo's phone will link; its id."""
        body = {"pacing": "off"} | ({"session_id": session_id} if session_id else {})
        return str(self.call("POST", "/api/sessions/create", json=body)["session_id"])

    def link(self, session_id: str | None = None) -> dict[str, Any]:
        """A new session that is connected: what its status says."""
        return self.until_connected(self.create(session_id))

    def until_connected(self, session_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            status = self.status(session_id)
            return status if status["state"] == "connected" else None

        return until(look, f"{session_id} to be connected")

    def status(self, session_id: str) -> dict[str, Any]:
        return self.call("GET", f"/api/sessions/{session_id}/status")

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Of all sessions, by id."""
        return {one["session_id"]: one for one in self.call("GET", "/api/sessions")["sessions"]}

    def send(self, session_id: str, to: str, text: str) -> str:
        """Send one message; its id."""
        body = {"session_id": session_id, "to": to, "text": text}
        return str(self.call("POST", "/api/messages/send", json=body)["message_id"])

    def message(self, message_id: str) -> dict[str, Any]:
        return self.call("GET", f"/api/messages/{message_id}")

    def until_message(self, message_id: str, *states: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            message = self.message(message_id)
            return message if message["state"] in states else None

        return until(look, f"{message_id} to be {' or '.join(states)}")

    def messages(self, session_id: str) -> list[dict[str, Any]]:
        """All messages of a session, both ways, newest first."""
        found: list[dict[str, Any]] = []
        query = {"session_id": session_id, "limit": "100"}
        while True:
            page = self.call("GET", "/api/messages", params=query)
            found += page["messages"]
            if page["next_before"] is None:
                return found
            query["before"] = page["next_before"]

    def call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT_S
        while True:
            answer = self._http.request(method, self._api + path, timeout=LIMIT_S, **arguments)
            # The emulator gives a query up now and then, which the API says as it is. Who only looks may look again.
            if answer.status_code != TRY_LATER or method != "GET" or time.monotonic() > deadline:
                break
            time.sleep(RETRY_S)
        if not answer.ok:
            raise SystemExit(f"{method} {path} was answered with {answer.status_code}: {answer.text.strip()}")
        result: dict[str, Any] = answer.json()
        return result
