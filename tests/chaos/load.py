"""A steady load: programs that send through the API as good clients do, and people who write and read on simulated phones."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests

from simulator.client import SimulatorClient
from simulator.errors import SimulatorError
from tests.chaos.checker import Said, Sent

CALL_TIMEOUT_S = 15.0
RETRY_PAUSE_S = 0.3
# A client that got no answer for this long has met an outage that no part of the storm explains.
RETRY_LIMIT_S = 120.0
# Messages come in bursts, as programs write them: kills meet several on their way.
BURSTS = (1, 1, 2, 3, 5, 8)
READ_PAUSE_S = 0.5

FRIENDS_FROM = 14155570000


@dataclass(frozen=True)
class Chat:
    """One account's conversation with one person."""

    session_id: str
    phone: str
    friend: str


def chats_of(sessions: dict[str, str], each: int) -> list[Chat]:
    """`each` chats for every session (id → its number), each with a person of its own."""
    chats: list[Chat] = []
    for session_id, phone in sessions.items():
        for _ in range(each):
            chats.append(Chat(session_id, phone, str(FRIENDS_FROM + len(chats))))
    return chats


@dataclass
class Book:
    """What everybody did; written by the load's threads, read when they have ended."""

    sent: list[Sent] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    """Texts that a recipient has read."""
    troubles: list[str] = field(default_factory=list)
    """Requests that a client had to repeat, and why."""
    faults: list[str] = field(default_factory=list)
    """What a client must never meet."""


class Load:
    """Runs until `stop`. `rate`: messages a second of all chats together, each way, or out only if there is an `inbound_rate`.

    Without a `rate` programs are silent until `write`, and may be made to send `at_once` before.
    `steady`: programs write at an even pace, each account's chats in turn, for whoever measures gaps.
    """

    def __init__(
        self,
        api: str,
        key: str,
        simulator: str,
        chats: list[Chat],
        rate: float | None,
        seed: str,
        *,
        inbound_rate: float | None = None,
        steady: bool = False,
    ) -> None:
        self.book = Book()
        self.accepted = threading.Event()  # set at each acceptance; whoever waits for one clears it first
        self.chats = chats
        self._api = api
        self._key = key
        self._simulator = simulator
        self._rate = rate
        inbound = inbound_rate or rate
        assert inbound is not None, "people write at some rate"
        self._inbound_pause_s = len(chats) / inbound
        self._steady = steady
        self._seed = seed
        self._numbers: collections.Counter[Chat] = collections.Counter()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for chat in self.chats:
            self._begin(f"by {chat.friend}", self._write_by_phone, chat)
        self._begin("readers", self._read)
        if self._rate is not None:
            self.write(self._rate)

    def write(self, rate: float) -> None:
        """Programs send so many messages a second from now on, all chats together."""
        for chat in self.chats:
            self._begin(f"api {chat.friend}", self._write_by_api, chat, len(self.chats) / rate)

    def at_once(self, count: int, clients: int) -> float | None:
        """`count` messages in all chats by turns, as fast as so many clients get them accepted, each in chats of its own.

        Returns the Unix time of the first call; None when one was not accepted, which is in the book then.
        """
        before = len(self.book.sent)

        def send(which: int) -> None:
            client = Program(self._api, self._key, self.book)
            for number in range(count):
                place = number % len(self.chats)
                if place % clients == which and not self._send_next(client, self.chats[place]):
                    return

        threads = [threading.Thread(target=send, args=(which,), daemon=True) for which in range(clients)]
        began_at = time.time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return began_at if len(self.book.sent) - before == count else None

    def _begin(self, name: str, work: Callable[..., None], *about: Any) -> None:
        thread = threading.Thread(target=work, args=about, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> Book:
        """No new message after this; what was begun is carried through."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(RETRY_LIMIT_S + CALL_TIMEOUT_S)
            if thread.is_alive():
                self.book.faults.append(f"the load's thread {thread.name} hangs")
        return self.book

    def _write_by_api(self, chat: Chat, pause_s: float) -> None:
        random = Random(f"{self._seed} api {chat.friend}")
        client = Program(self._api, self._key, self.book)
        while not self._stopping.wait(self._until_beat_s(chat, pause_s) if self._steady else _pause(random, pause_s)):
            for _ in range(1 if self._steady else random.choice(BURSTS)):
                if not self._send_next(client, chat):
                    return

    def _send_next(self, client: Program, chat: Chat) -> bool:
        """The chat's next message. It is one thread's at a time."""
        self._numbers[chat] += 1
        number = self._numbers[chat]
        text = f"{chat.session_id} to {chat.friend}, number {number}"
        message_id = client.send(chat.session_id, chat.friend, text, key=text)
        if message_id is None:
            return False
        self.book.sent.append(Sent(message_id, chat.friend, number, text))
        self.accepted.set()
        return True

    def _until_beat_s(self, chat: Chat, pause_s: float) -> float:
        """Until this chat's next turn. They take turns evenly, whatever held one of them up."""
        turn_s = pause_s * self.chats.index(chat) / len(self.chats)
        return pause_s - (time.monotonic() - turn_s) % pause_s

    def _write_by_phone(self, chat: Chat) -> None:
        random = Random(f"{self._seed} phone {chat.friend}")
        whatsapp = SimulatorClient(self._simulator)
        number = 0
        while not self._stopping.wait(_pause(random, self._inbound_pause_s)):
            for _ in range(random.choice(BURSTS)):
                number += 1
                text = f"{chat.friend} to {chat.session_id}, number {number}"
                wa_message_id = whatsapp.send(chat.friend, chat.phone, text)
                self.book.said.append(Said(wa_message_id, chat.session_id, chat.friend, text))
        whatsapp.close()

    def _read(self) -> None:
        """People open their chats now and then and read what is new; about half of it is never read."""
        random = Random(f"{self._seed} readers")
        whatsapp = SimulatorClient(self._simulator)
        friends = {chat.friend for chat in self.chats}
        cursor = 0
        while not self._stopping.wait(READ_PAUSE_S):
            events, cursor = whatsapp.log(cursor, "shown")
            new: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
            for event in events:
                if event["to"] in friends and random.random() < 0.5:
                    new[event["to"]].append(event["id"])
            for friend, ids in new.items():
                self._read_chat(whatsapp, friend, ids)
        whatsapp.close()

    def _read_chat(self, whatsapp: SimulatorClient, friend: str, ids: list[str]) -> None:
        texts = {message["id"]: message["text"] for message in whatsapp.inbox(friend, ids)}
        try:
            whatsapp.send_receipts(friend, ids)
        except SimulatorError as error:
            self.book.faults.append(f"{friend} could not read {ids}: {error}")
            return
        self.book.read += [texts[one] for one in ids]


class Program:
    """A client of the API that repeats what it got no answer to, with the same Idempotency-Key."""

    def __init__(self, api: str, key: str, book: Book) -> None:
        self._api = api
        self._book = book
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["X-Api-Key"] = key

    def send(self, session_id: str, to: str, text: str, key: str) -> str | None:
        """The id of the accepted message; None when that could not be had, which is in the book then."""
        body = {"session_id": session_id, "to": to, "text": text}
        deadline = time.monotonic() + RETRY_LIMIT_S
        while time.monotonic() < deadline:
            began = time.monotonic()
            try:
                answer = self._post("/api/messages/send", body, {"Idempotency-Key": key})
            except requests.RequestException as error:
                trouble = f"{error!r} after {time.monotonic() - began:.3f} s"
            else:
                if answer.status_code == 202:
                    return str(answer.json()["message_id"])
                trouble = f"{answer.status_code} {answer.text[:300]}"
                if "whatsapp_unreachable" in trouble:  # It says why, and when again: no answer to give up for.
                    deadline = time.monotonic() + RETRY_LIMIT_S
                if answer.status_code < 500 and answer.status_code != 429:
                    self._book.faults.append(f"the API refused {text!r}: {trouble}")
                    return None
            self._book.troubles.append(f"{time.time():.3f} {text!r}: {trouble}")
            time.sleep(RETRY_PAUSE_S)
        self._book.faults.append(f"no answer to {text!r} in {RETRY_LIMIT_S:.0f} s")
        return None

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> requests.Response:
        return self._http.post(self._api + path, json=body, headers=headers, timeout=CALL_TIMEOUT_S)


def _pause(random: Random, pause_s: float) -> float:
    """Before a burst, so that one message comes after `pause_s` on average."""
    return random.expovariate(1 / (pause_s * _mean(BURSTS)))


def _mean(numbers: tuple[int, ...]) -> float:
    return sum(numbers) / len(numbers)
