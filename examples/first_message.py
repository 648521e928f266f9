#!/usr/bin/env python3
"""A first message, from linking a number to reading the answer.

Start `make demo` in one terminal and run this in another:

    .venv/bin/python examples/first_message.py

In the demo everything is played by the simulator: a phone scans the QR code, the recipient's phone gets the message and
answers. Against `make up` you are both: you scan the code with WhatsApp, and whoever has the number given by --to answers.

    .venv/bin/python examples/first_message.py --to 14155550123

It finds a local run by .keepline/run.json (KEEPLINE_STATE_DIR names another folder). KEEPLINE_API and KEEPLINE_API_KEY name any
other Keepline. It needs the package `requests` and nothing of ours. The exit code is 0 when all went well and 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

CALL_TIMEOUT_S = 15.0
LOOK_EVERY_S = 0.2
DEMO_STEP_S_MAX = 30.0
PERSON_STEP_S_MAX = 300.0
DEMO_RECIPIENT = "14155550123"

T = TypeVar("T")


class Trouble(Exception):
    """Something went wrong, in words for the person who runs this."""


class Waited(Trouble):
    """What was waited for did not come."""


class Http:
    """JSON over HTTP, with errors a person can read."""

    def __init__(self, base: str, headers: dict[str, str] | None = None) -> None:
        self._base = base.rstrip("/")
        self._session = requests.Session()
        self._session.headers.update(headers or {})
        if urlsplit(base).hostname in ("127.0.0.1", "localhost", "::1"):
            self._session.trust_env = False  # This machine is reached directly, whatever proxy it has for the world.

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """The answer, whatever its status."""
        try:
            return self._session.request(method, self._base + path, timeout=CALL_TIMEOUT_S, **options)
        except requests.RequestException as error:
            raise Trouble(
                f"Nobody answers at {self._base} ({type(error).__name__}).\n"
                "Is Keepline still running? `make demo` starts it; wait until it says that it is ready."
            ) from error

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON of an answer that is no error."""
        return read(self.call(method, path, **options))


def read(response: requests.Response) -> dict[str, Any]:
    """The JSON of an answer; an error becomes Trouble, in its own words."""
    if response.ok:
        found: dict[str, Any] = response.json()
        return found
    error = error_of(response)
    raise Trouble(f"{error['message']} {error['hint']} ({response.status_code} {error['code']})")


def error_of(response: requests.Response) -> dict[str, str]:
    """Every error of Keepline has one shape; what comes from something in between has not."""
    try:
        found: dict[str, str] = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {"code": "no_keepline_error", "message": response.text[:200] or response.reason, "hint": ""}
    return found


def wait_for(what: str, look: Callable[[], T | None], limit_s: float) -> T:
    """What `look` gives as soon as it gives something; Waited when that takes too long."""
    deadline = time.monotonic() + limit_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise Waited(f"Waited {limit_s:.0f} s for {what}, in vain.")
        time.sleep(LOOK_EVERY_S)
    return found


def find_keepline() -> tuple[str, str, str | None]:
    """The API's address, a key for it, and the simulator's control API (None where real phones are)."""
    api, key = os.environ.get("KEEPLINE_API"), os.environ.get("KEEPLINE_API_KEY")
    if api and key:
        return api, key, None
    folder = os.environ.get("KEEPLINE_STATE_DIR")
    file = (Path(folder) if folder else Path(__file__).resolve().parent.parent / ".keepline") / "run.json"
    try:
        run = json.loads(file.read_text())
    except FileNotFoundError:
        raise Trouble(
            f"Keepline is not running: there is no {file}.\n"
            "Start `make demo` in another terminal and run this again when it says that it is ready."
        ) from None
    return api or run["api"], key or run["api_key"], run["simulator"]


class FirstMessage:
    """The steps, in order."""

    def __init__(self, keepline: Http, phones: Http | None, session_id: str, recipient: str) -> None:
        self._keepline = keepline
        self._phones = phones
        self._session_id = session_id
        self._recipient = recipient
        self._limit_s = DEMO_STEP_S_MAX if phones else PERSON_STEP_S_MAX
        self._shown_qr = ""
        self._why = ""

    def run(self) -> None:
        self.create_session()
        number = self.link()
        message = self.send(f"Hello! It is {datetime.now():%H:%M:%S} here.")
        if self._phones is not None:
            self.look_into_inbox(self._phones, message)
        self.wait_until_delivered(message)
        self.show_answer(self.let_phone_answer(self._phones, number) if self._phones else None, message)

    def create_session(self) -> None:
        response = self._keepline.call("POST", "/api/sessions/create", json={"session_id": self._session_id})
        if response.status_code == 409 and error_of(response)["code"] == "session_exists":
            say(f"The session '{self._session_id}' is there from before; it is used again.")
            return
        read(response)
        say(f"Created the session '{self._session_id}'.")

    def link(self) -> str:
        """Wait until a phone has linked the session; the number it belongs to."""
        try:
            session = wait_for("the session to be linked and connected", self._linked, self._limit_s)
        except Waited as trouble:
            raise Trouble(f"{trouble}\nKeepline says: {self._why}") from None
        say(f"Connected as +{session['phone']}: {session['reason']['sentence']}")
        return str(session["phone"])

    def _linked(self) -> dict[str, Any] | None:
        session = self._keepline.json("GET", f"/api/sessions/{self._session_id}/status")
        self._why = f"{session['reason']['sentence']} {session['reason']['next_step']} ({session['reason']['code']})"
        if session["state"] == "connected" and session["phone"]:
            return session
        if session["state"] in ("logged_out", "banned", "outdated", "failed"):
            raise Trouble(self._why)
        self._offer_qr()
        return None

    def _offer_qr(self) -> None:
        """Fetch the code that is on offer now. WhatsApp replaces it every 20 s, so each new one is shown."""
        response = self._keepline.call("GET", f"/api/qr/me/{self._session_id}", params={"format": "json"})
        if response.status_code == 409:
            return  # No code yet, or the phone was faster.
        qr = read(response)["qr"]
        if qr == self._shown_qr:
            return
        first, self._shown_qr = not self._shown_qr, qr
        if self._phones is not None:
            if first:
                say("A QR code is on offer; the demo's phone scans it by itself.")
            return
        art = self._keepline.call("GET", f"/api/qr/me/{self._session_id}", params={"format": "ascii"})
        if art.ok:
            say("Scan this with your phone: WhatsApp, Linked devices, Link a device.\n")
            print(art.text)

    def send(self, text: str) -> dict[str, Any]:
        message = self._keepline.json(
            "POST",
            "/api/messages/send",
            json={"session_id": self._session_id, "to": self._recipient, "text": text},
        )
        say(f"Accepted for {self._recipient}: {text!r} ({message['message_id']}). From here on it is not lost.")
        return message

    def look_into_inbox(self, phones: Http, message: dict[str, Any]) -> None:
        def arrived() -> dict[str, Any] | None:
            inbox = phones.json("GET", f"/phones/{self._recipient}/inbox")
            return next((seen for seen in inbox["messages"] if seen["text"] == message["text"]), None)

        seen = wait_for("the message to reach the recipient's phone", arrived, self._limit_s)
        say(f"The phone {self._recipient} has decrypted it: {seen['text']!r} from +{seen['from']}.")

    def wait_until_delivered(self, message: dict[str, Any]) -> None:
        def delivered() -> dict[str, Any] | None:
            now = self._keepline.json("GET", f"/api/messages/{message['message_id']}")
            if now["state"] in ("failed", "expired", "cancelled"):
                raise Trouble(f"The message is {now['state']}: {now['error']['message']} {now['error']['hint']}")
            return now if now["state"] in ("delivered", "read", "played") else None

        now = wait_for("the recipient's phone to say that it has the message", delivered, self._limit_s)
        say(f"State: {now['state']}. WhatsApp calls it {now['wa_message_id']}.")

    def let_phone_answer(self, phones: Http, number: str) -> str:
        """The id that WhatsApp gives to the phone's answer."""
        answer = {"to": number, "text": "Hello yourself!"}
        sent = phones.json("POST", f"/phones/{self._recipient}/messages", json=answer)
        say(f"The phone {self._recipient} answers: {answer['text']!r}")
        return str(sent["id"])

    def show_answer(self, wa_message_id: str | None, message: dict[str, Any]) -> None:
        """Wait for the answer with this WhatsApp id; for any answer of the recipient without one."""
        if wa_message_id is None:
            say(f"Now let +{self._recipient} answer; this waits {self._limit_s / 60:.0f} minutes.")
        known = {one["message_id"] for one in self._chat()} if wa_message_id is None else set()

        def answered() -> list[dict[str, Any]] | None:
            chat = self._chat()
            for one in chat:
                new = one["wa_message_id"] == wa_message_id if wa_message_id else one["message_id"] not in known
                if one["direction"] == "in" and new:
                    return chat
            return None

        chat = wait_for("the answer", answered, self._limit_s)
        say("GET /api/messages has both:")
        ours = [one for one in chat if one["message_id"] == message["message_id"]]
        theirs = [one for one in chat if one["direction"] == "in" and one["message_id"] not in known]
        for one in [*ours, *(one for one in theirs if wa_message_id in (None, one["wa_message_id"]))]:
            print(f"     {'←' if one['direction'] == 'in' else '→'} {one['text']!r} ({one['state']})")

    def _chat(self) -> list[dict[str, Any]]:
        query = {"session_id": self._session_id, "chat": self._recipient}
        found: list[dict[str, Any]] = self._keepline.json("GET", "/api/messages", params=query)["messages"]
        return found


_steps = 0


def say(words: str) -> None:
    """One friendly line for a step."""
    global _steps
    _steps += 1
    print(f"{_steps:2}. {words}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a first message through Keepline, and read the answer.")
    parser.add_argument("--session", default="first-message", help="what to call the session (default: %(default)s)")
    parser.add_argument("--to", help=f"whom to write to, with country code (in the demo: {DEMO_RECIPIENT})")
    options = parser.parse_args()
    try:
        api, key, simulator = find_keepline()
        recipient = options.to or (DEMO_RECIPIENT if simulator else None)
        if recipient is None:
            raise Trouble(
                "This Keepline is linked to the real WhatsApp: say whom to write to.\n"
                "For example: --to 14155550123, a number whose owner expects it."
            )
        keepline = Http(api, {"X-Api-Key": key})
        FirstMessage(keepline, Http(simulator) if simulator else None, options.session, recipient.lstrip("+")).run()
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 1
    print("\nThat was all. README.md shows the same with curl; docs/api.md has every route.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
