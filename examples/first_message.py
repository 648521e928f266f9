#!/usr/bin/env python3
"""A first message, from linking a number to reading the answer.

Start `make demo` in one terminal and run this in another:

    .venv/bin/python examples/first_message.py

In the demo everything is played by the simulator: a phone scans the QR code, the recipient's phone gets the message and
answers. Against `make up` you are both: you scan the code with WhatsApp, and whoever has the number given by --to answers.

    .venv/bin/python examples/first_message.py --to 14155550123

It finds a local run by .keepline/run.json (KEEPLINE_STATE_DIR names another folder). KEEPLINE_API and KEEPLINE_API_KEY name any
other Keepline. It uses the client of clients/python. The exit code is 0 when all went well and 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path

import httpx

from keepline_client import Conflict, Keepline, KeeplineError, NoAnswer
from keepline_client.types import Message

LOOK_EVERY_S = 0.2
DEMO_STEP_S_MAX = 30.0
PERSON_STEP_S_MAX = 300.0
DEMO_RECIPIENT = "14155550123"


class Trouble(Exception):
    """Something went wrong, in words for the person who runs this."""


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
    """The steps, in order. `phones` is the simulator's control API, None where real phones are."""

    def __init__(self, keepline: Keepline, phones: httpx.Client | None, session_id: str, recipient: str) -> None:
        self._keepline = keepline
        self._phones = phones
        self._session_id = session_id
        self._recipient = recipient
        self._limit_s = DEMO_STEP_S_MAX if phones else PERSON_STEP_S_MAX

    def run(self) -> None:
        self.create_session()
        number = self.link()
        known = {one["message_id"] for one in self.chat()}
        message = self.send(f"Hello! It is {datetime.now():%H:%M:%S} here.")
        if self._phones is not None:
            self.let_phone_answer(self._phones, number, message)
        else:
            say(f"Now let +{self._recipient} answer; this waits {self._limit_s / 60:.0f} minutes.")
        self.show_answer(message, known)

    def create_session(self) -> None:
        try:
            self._keepline.sessions.create(self._session_id)
        except Conflict as conflict:
            if conflict.code != "session_exists":
                raise
            say(f"The session '{self._session_id}' is there from before; it is used again.")
        else:
            say(f"Created the session '{self._session_id}'.")

    def link(self) -> str:
        """Wait until a phone has linked the session; the number it belongs to."""
        for number, code in enumerate(self._keepline.sessions.qr_codes(self._session_id, timeout_s=self._limit_s)):
            if self._phones is None:
                say("Scan this with your phone: WhatsApp, Linked devices, Link a device.\n")
                print(code["art"])
            elif number == 0:
                say("A QR code is on offer; the demo's phone scans it by itself.")
        session = self._keepline.sessions.wait_until_connected(self._session_id, timeout_s=self._limit_s)
        say(f"Connected as +{session['phone']}: {session['reason']['sentence']}")
        return str(session["phone"])

    def send(self, text: str) -> Message:
        """Send, and wait until the recipient's phone has it."""
        message = self._keepline.messages.send(self._session_id, self._recipient, text)
        say(f"Accepted for {self._recipient}: {text!r} ({message['message_id']}). From here on it is not lost.")
        message = self._keepline.messages.wait_until(message["message_id"], "delivered", timeout_s=self._limit_s)
        say(f"State: {message['state']}. WhatsApp calls it {message['wa_message_id']}.")
        return message

    def let_phone_answer(self, phones: httpx.Client, number: str, message: Message) -> None:
        """Look into the recipient's phone, and have it answer."""
        inbox = phones.get(f"/phones/{self._recipient}/inbox").json()["messages"]
        seen = next(one for one in inbox if one["text"] == message["text"])
        say(f"The phone {self._recipient} has decrypted it: {seen['text']!r} from +{seen['from']}.")
        answer = {"to": number, "text": "Hello yourself!"}
        phones.post(f"/phones/{self._recipient}/messages", json=answer).raise_for_status()
        say(f"The phone {self._recipient} answers: {answer['text']!r}")

    def chat(self) -> list[Message]:
        """The newest messages of the recipient's chat."""
        return self._keepline.messages.page(self._session_id, chat=self._recipient)["messages"]

    def show_answer(self, message: Message, known: set[str]) -> None:
        """Wait for the first message of the chat that was not known, and show both."""
        ends_s = time.monotonic() + self._limit_s
        while True:
            answers = [one for one in self.chat() if one["direction"] == "in" and one["message_id"] not in known]
            if answers:
                break
            if time.monotonic() > ends_s:
                raise Trouble(f"Waited {self._limit_s:.0f} s for the answer, in vain.")
            time.sleep(LOOK_EVERY_S)
        say("GET /api/messages has both:")
        for one in [message, *answers]:
            print(f"     {'←' if one['direction'] == 'in' else '→'} {one['text']!r} ({one['state']})")


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
        with Keepline(api, key) as keepline:
            # This machine is reached directly, whatever proxy it has for the world.
            phones = httpx.Client(base_url=simulator, trust_env=False) if simulator else None
            FirstMessage(keepline, phones, options.session, recipient.lstrip("+")).run()
    except NoAnswer as trouble:
        print(f"\n{trouble}\n`make demo` starts Keepline; wait until it says that it is ready.", file=sys.stderr)
        return 1
    except (Trouble, KeeplineError) as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 1
    print("\nThat was all. README.md shows the same with curl; docs/api.md has every route.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
