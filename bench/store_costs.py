"""What a message costs in Firestore: documents and commits, for one that is sent, delivered and read.

The connector counts what it commits and says so on its health page; the API's share is known: it accepts a message with one
commit of two documents, the message and its user's limit. What the connector writes anyway (its heartbeat) is measured at rest
and taken off. The bytes of the session's journal are read from Firestore: sealed segments and, where one falls into the time, a
new version.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import requests
from demo import Keepline, until
from google.cloud import firestore

from keepline.records import session_docs
from keepline_local.stack import Stack
from simulator.client import SimulatorClient

IDLE_MESSAGES = 30
LOAD_CHATS = 20
LOAD_MESSAGES = 400
SENDERS = 8
REST_S = 10.0
READ_PAUSE_S = 0.1
LOAD_LIMIT_S = 180.0
FRIENDS_FROM = 14155560200
COUNTERS = ("documents", "commits")
# What the API does for each message it accepts (usecases/messages.py, usecases/limiting.py).
API_SHARE = {"documents": 2, "commits": 1}
FIGURES = (*COUNTERS, "journal_bytes")
# What the last receipt sets off, and the session's flush after it.
SETTLE_S = 2.0


@dataclass(frozen=True)
class Counts:
    """The connector's counters at a moment."""

    at_s: float
    counted: dict[str, int]

    def since(self, before: Counts) -> dict[str, float]:
        return {name: self.counted[name] - before.counted[name] for name in COUNTERS}


class CostBench:
    """One account of a running demo."""

    def __init__(self, stack: Stack) -> None:
        assert stack.run.simulator is not None, "the demo has a simulator"
        self._simulator = stack.run.simulator
        self._stack = stack
        self._keepline = Keepline(stack)
        status = self._keepline.link("costs")
        self._session = status["session_id"]
        self._health = stack.run.health[status["devices"][0]["connector"]]
        self._journal = Journal(stack, f"{stack.run.user_id}_{self._session}")
        self._friends = [str(FRIENDS_FROM + n) for n in range(LOAD_CHATS)]
        self.load_began_at = 0.0
        """Unix time of the first of the messages that are sent at once."""

    def measure(self) -> dict[str, float | None]:
        """The figures of the last line; None where the connector does not count."""
        if self._counts() is None:
            print("the connector's health page has no counters of its store: no costs")
            return {f"{name}_per_message{suffix}": None for suffix in ("", "_idle") for name in FIGURES}
        readers = Readers(self._simulator, self._friends)
        readers.start()
        self._send_all([(friend, "the first of a chat") for friend in self._friends])  # keys are fetched only now
        at_rest = self._rates_at_rest()
        idle = self._cost(IDLE_MESSAGES, at_rest, self._one_by_one)
        load = self._cost(LOAD_MESSAGES, at_rest, self._at_once)
        readers.stop()
        for what, costs in (("one at a time", idle), (f"{LOAD_MESSAGES} at once in {LOAD_CHATS} chats", load)):
            print(
                f"{what}: {costs['documents']:.2f} documents in {costs['commits']:.2f} commits"
                f" and {costs['journal_bytes']:.0f} bytes of journal for each message"
            )
        return (
            {f"{name}_per_message": round(load[name], 2) for name in FIGURES}
            | {f"{name}_per_message_idle": round(idle[name], 2) for name in FIGURES}
            # The answer 202 needs a commit of its own for each message, whatever the connector saves.
            | {"connector_commits_per_message": round(load["commits"] - API_SHARE["commits"], 2)}
        )

    def _counts(self) -> Counts | None:
        store = requests.get(self._health, timeout=10).json().get("store")
        return Counts(time.monotonic(), {name: store[name] for name in COUNTERS}) if store else None

    def _must_count(self) -> Counts:
        counts = self._counts()
        assert counts is not None, "it counted a moment ago"
        return counts

    def _rates_at_rest(self) -> dict[str, float]:
        """What is written each second while nobody sends."""
        before = self._must_count()
        time.sleep(REST_S)
        after = self._must_count()
        rates = {name: spent / (after.at_s - before.at_s) for name, spent in after.since(before).items()}
        print(f"at rest the connector writes {rates['documents']:.2f} documents a second")
        return rates

    def _cost(self, count: int, at_rest: dict[str, float], send: Any) -> dict[str, float]:
        before, journal = self._must_count(), self._journal.end()
        send(count)
        time.sleep(SETTLE_S)
        after = self._must_count()
        seconds = after.at_s - before.at_s
        costs = {
            name: (spent - at_rest[name] * seconds) / count + API_SHARE[name]
            for name, spent in after.since(before).items()
        }
        return costs | {"journal_bytes": self._journal.bytes_since(journal) / count}

    def _one_by_one(self, count: int) -> None:
        for n in range(count):
            self._send_all([(self._friends[n % LOAD_CHATS], f"alone {n}")])

    def _at_once(self, count: int) -> None:
        self.load_began_at = time.time()
        self._send_all([(self._friends[n % LOAD_CHATS], f"in a crowd {n}") for n in range(count)])

    def _send_all(self, messages: list[tuple[str, str]]) -> None:
        """As fast as the API takes them, until all are read."""
        ids: list[str] = []
        work = iter(messages)
        taking = threading.Lock()

        def send() -> None:
            keepline = Keepline(self._stack)
            while True:
                with taking:
                    one = next(work, None)
                if one is None:
                    return
                ids.append(keepline.send(self._session, *one))

        threads = [threading.Thread(target=send) for _ in range(min(SENDERS, len(messages)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == len(messages), "the API refused some"

        def all_read() -> bool | None:
            while ids and self._keepline.message(ids[-1])["state"] == "read":
                ids.pop()
            return True if not ids else None

        until(all_read, f"{len(messages)} messages to be read", LOAD_LIMIT_S)


class Journal:
    """What is stored of an account's first device, seen from outside."""

    def __init__(self, stack: Stack, account: str) -> None:
        os.environ["FIRESTORE_EMULATOR_HOST"] = stack.run.firestore
        head = firestore.Client(project=stack.run.project).document(session_docs.head_path(account, "a"))
        self._segments = head.collection(session_docs.SEGMENTS)
        self._snapshots = head.collection(session_docs.SNAPSHOTS)

    def end(self) -> tuple[int, int]:
        """The newest segment's sequence and the newest snapshot's version."""
        return _newest(self._segments, "sequence"), _newest(self._snapshots, "version")

    def bytes_since(self, end: tuple[int, int]) -> int:
        """Sealed bytes that came after."""
        segments = self._segments.where(filter=firestore.FieldFilter("sequence", ">", end[0])).stream()
        snapshots = self._snapshots.where(filter=firestore.FieldFilter("version", ">", end[1])).stream()
        return sum(len(one.get("sealed")) for one in (*segments, *snapshots))


def _newest(collection: Any, field: str) -> int:
    found = collection.order_by(field, direction=firestore.Query.DESCENDING).limit(1).get()
    return int(found[0].get(field)) if found else 0


class Readers(threading.Thread):
    """People who read what their phones show, a moment later. Their phones send the delivery receipts by themselves."""

    def __init__(self, simulator: str, friends: list[str]) -> None:
        super().__init__(daemon=True, name="readers")
        self._whatsapp = SimulatorClient(simulator)
        self._friends = frozenset(friends)
        self._stopping = threading.Event()

    def run(self) -> None:
        cursor = 0
        while not self._stopping.wait(READ_PAUSE_S):
            events, cursor = self._whatsapp.log(cursor, "shown")
            new: defaultdict[str, list[str]] = defaultdict(list)
            for event in events:
                if event["to"] in self._friends:
                    new[event["to"]].append(event["id"])
            for friend, ids in new.items():
                self._whatsapp.send_receipts(friend, ids)

    def stop(self) -> None:
        self._stopping.set()
        self.join()
