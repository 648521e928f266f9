"""After the faults: wait until everything has settled, and read what has become of it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import requests

from keepline_local.stack import Stack
from simulator.client import SimulatorClient
from tests.chaos.checker import Said
from tests.chaos.expiring import Noted
from tests.chaos.killer import CONNECTORS
from tests.chaos.load import Book, Chat
from tests.e2e.keepline import Api

# Settling is over when nothing has moved for this long: longer than the pause of a doubt, the back-off of a connection and the
# pause before a restart together.
QUIET_S = 45.0
SETTLE_LIMIT_S = 600.0
SETTLE_LOOK_S = 0.5
ASK_LIMIT_S = 30.0
CRASHES = ("panic: ", "fatal error: ", "SIG", "Fatal Python error")

Progress = Callable[[str], None]


class Aftermath:
    """Of one run of the whole system. `noted`: what became of messages that were taken away while it ran (expiring.py)."""

    def __init__(self, stack: Stack, say: Progress, noted: Noted | None = None) -> None:
        self._stack = stack
        self._say = say
        self._api = Api(stack.run.api, stack.run.api_key)
        assert stack.run.simulator is not None, "the demo has a simulator"
        self._whatsapp = SimulatorClient(stack.run.simulator)
        self._noted = noted or Noted()

    def settle(self, book: Book) -> dict[str, str]:
        """The last state of every message, when all have arrived and all was heard, or nothing moves any more."""
        was_read = set(book.read)
        expected = {
            one.message_id: "read" if one.text in was_read else "delivered"
            for one in book.sent
            if one.message_id not in self._noted.states
        }
        states: dict[str, str] = {}
        unheard = set(book.said)
        began = moved = time.monotonic()
        while time.monotonic() - moved < QUIET_S and time.monotonic() - began < SETTLE_LIMIT_S:
            before = dict(states), len(unheard)
            for message_id in [one for one, wanted in expected.items() if states.get(one) != wanted]:
                states[message_id] = self._state(message_id)
            unheard = self._unheard(unheard)
            open_ = [one for one, wanted in expected.items() if states[one] != wanted]
            self._say(f"settling: {len(open_)} of {len(expected)} are open, {len(unheard)} of {len(book.said)} unheard")
            if not open_ and not unheard:
                break
            if (states, len(unheard)) != before:
                moved = time.monotonic()
            time.sleep(SETTLE_LOOK_S)
        return self._noted.states | states

    def _state(self, message_id: str) -> str:
        """Empty when the API does not know the message."""
        answer = self._ask(f"/api/messages/{message_id}")
        if answer.status_code == 404:
            return ""
        assert answer.status_code == 200, f"{message_id}: {answer.status_code} {answer.text[:500]}"
        return str(answer.json()["state"])

    def _ask(self, path: str, **arguments: Any) -> requests.Response:
        """Again after a 503, as clients do: the emulator gives a query up now and then."""
        deadline = time.monotonic() + ASK_LIMIT_S
        while (answer := self._api.call("GET", path, **arguments)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(SETTLE_LOOK_S)
        return answer

    def _unheard(self, messages: set[Said]) -> set[Said]:
        sessions = {message.session_id for message in messages}
        heard = {(session, wa_id) for session in sessions for wa_id in self.recorded(session)}
        return {message for message in messages if (message.session_id, message.wa_message_id) not in heard}

    def recorded(self, session_id: str) -> list[str]:
        """WhatsApp's ids of all incoming messages of a session: of those that were taken away, and page by page of the others."""
        listed: list[tuple[str, str]] = []
        query = {"session_id": session_id, "limit": "100"}
        while True:
            answer = self._ask("/api/messages", params=query)
            assert answer.status_code == 200, f"{session_id}: {answer.status_code} {answer.text[:500]}"
            page = answer.json()
            listed += [
                (one["message_id"], one["wa_message_id"]) for one in page["messages"] if one["direction"] == "in"
            ]
            if page["next_before"] is None:
                return _together(listed, self._noted.recorded.get(session_id, {}))
            query["before"] = page["next_before"]

    def shown(self, chat: Chat) -> list[str]:
        return [
            message["text"]
            for message in self._whatsapp.inbox(chat.friend)
            if message["from"] == chat.phone and not message["waiting"]
        ]

    def crashes(self) -> list[str]:
        """Where in the connectors' logs the library's Go runtime tells of its end: a cell died that nobody had killed."""
        found = []
        for connector in CONNECTORS:
            log = self._stack.log(connector)
            for number, line in enumerate(log.read_text(errors="replace").splitlines(), start=1):
                if line.startswith(CRASHES):
                    found.append(f"{log}, line {number}: {line}")
        return found

    def truth(self) -> Iterable[dict[str, Any]]:
        cursor = 0
        while True:
            events, cursor = self._whatsapp.log(cursor)
            if not events:
                return
            yield from events


def _together(listed: list[tuple[str, str]], noted: Mapping[str, str]) -> list[str]:
    """WhatsApp's ids of recorded messages, by pairs of both ids. What is there although it was taken away counts once."""
    there = {message_id for message_id, _ in listed}
    return [wa_id for _, wa_id in listed] + [wa_id for message_id, wa_id in noted.items() if message_id not in there]
