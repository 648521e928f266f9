"""The clients of api_load.py, for `locust --headless`: programs that send, look and list through the HTTP API.

Each user is one program of one tenant that waits between its calls. What it did is kept in memory and written as JSON at the
end, so that api_load.py can compare what was answered with what is stored. Told by the environment: LOAD_PLAN is a JSON file with
the `url`, the `seconds` that count, and `tenants` (each `name`, `key`, `sessions`); LOAD_RESULT is the file to write; LOAD_NULL=1
makes all of them ask for `/` only.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import time
from collections import Counter, deque
from pathlib import Path
from statistics import median
from typing import Any

import gevent
from locust import between, events, task
from locust.contrib.fasthttp import FastHttpUser
from locust.exception import StopUser

# How long a program thinks between two calls.
THINK_S = (1.0, 3.0)
# Of sends, how many repeat a key that was used a moment ago, perhaps by a call that is still on its way.
REPEATED_SHARE = 0.1
# Keys and messages of a tenant that are repeated and looked at.
RECENT = 20
CONTACTS = 50
FIRST_CONTACT = 14155561000
PROGRESS_EVERY_S = 10.0
LIMITED = 429

_plan = json.loads(Path(os.environ["LOAD_PLAN"]).read_text())
_null = os.environ.get("LOAD_NULL") == "1"


class Record:
    """What was asked and answered. Calls count that began when all users were there; what was accepted counts always."""

    def __init__(self) -> None:
        self.counting_s = math.inf  # since when, on the clock of time.monotonic
        self.unanswered = 0
        self.answers: list[tuple[str, int, float]] = []  # what, status (0: the connection broke), milliseconds
        self.accepted: list[tuple[str, str, str]] = []  # tenant, text, message id
        self.errors: Counter[str] = Counter()

    def counts(self) -> bool:
        return time.monotonic() >= self.counting_s

    def is_over(self) -> bool:
        return time.monotonic() - self.counting_s >= _plan["seconds"]

    def write(self, path: Path) -> None:
        seen = {
            "answers": self.answers,
            "unanswered": self.unanswered,
            "accepted": self.accepted,
            "errors": self.errors.most_common(5),
        }
        path.write_text(json.dumps(seen))


class Tenant:
    """What the programs of one tenant know together."""

    def __init__(self, name: str, key: str, sessions: list[str]) -> None:
        self.name = name
        self.key = key
        self.sessions = sessions
        self.sent: deque[tuple[str, dict[str, str]]] = deque(maxlen=RECENT)  # Idempotency-Key and body
        self.messages: deque[str] = deque(maxlen=RECENT)


record = Record()
_tenants = [Tenant(**one) for one in _plan["tenants"]]
_users = itertools.count()
_sends = itertools.count()


class Program(FastHttpUser):
    """One client with one connection that stays open."""

    abstract = True
    wait_time = between(*THINK_S)
    host = _plan["url"]

    def on_start(self) -> None:
        self.tenant = _tenants[next(_users) % len(_tenants)]

    def call(self, what: str, method: str, path: str, **arguments: Any) -> Any:
        """The answer's JSON where it is good."""
        headers = {"X-Api-Key": self.tenant.key, **arguments.pop("headers", {})}
        if record.is_over():
            raise StopUser  # Nobody is stopped in the middle of a call.
        counted = record.counts()
        record.unanswered += counted
        began_s = time.perf_counter()
        with self.client.request(
            method, path, name=what, headers=headers, catch_response=True, **arguments
        ) as response:
            answer = response.text
            if counted:
                record.unanswered -= 1
                took_ms = (time.perf_counter() - began_s) * 1000
                record.answers.append((what, response.status_code, round(took_ms, 2)))
            good = 200 <= response.status_code < 300
            if good or response.status_code == LIMITED:
                response.success()
            else:
                record.errors[f"{what}: {response.status_code} {answer or response.error}"[:200]] += 1
            return json.loads(answer) if good else None


class Sender(Program):
    """60 % send, 20 % look at a message, 10 % list a session's messages, 10 % look at a session."""

    abstract = _null

    @task(6)
    def send(self) -> None:
        tenant = self.tenant
        if tenant.sent and random.random() < REPEATED_SHARE:  # noqa: S311
            key, body = random.choice(tenant.sent)  # noqa: S311
        else:
            number = next(_sends)
            key = f"order-{number}"
            contact = str(FIRST_CONTACT + random.randrange(CONTACTS))  # noqa: S311
            session = random.choice(tenant.sessions)  # noqa: S311
            body = {"session_id": session, "to": contact, "text": f"Your order {number} is on its way."}
            tenant.sent.append((key, body))
        headers = {"Idempotency-Key": key}
        answer = self.call("send", "POST", "/api/messages/send", json=body, headers=headers)
        if answer is not None:
            record.accepted.append((tenant.name, body["text"], answer["message_id"]))
            tenant.messages.append(answer["message_id"])

    @task(2)
    def look(self) -> None:
        if self.tenant.messages:
            self.call("message", "GET", f"/api/messages/{random.choice(self.tenant.messages)}")  # noqa: S311

    @task(1)
    def page(self) -> None:
        self.call("list", "GET", f"/api/messages?session_id={random.choice(self.tenant.sessions)}")  # noqa: S311

    @task(1)
    def status(self) -> None:
        self.call("status", "GET", f"/api/sessions/{random.choice(self.tenant.sessions)}/status")  # noqa: S311


class Nobody(Program):
    """Asks for nothing: what the load generator and an HTTP server cost without Keepline."""

    abstract = not _null

    @task
    def nothing(self) -> None:
        self.call("nothing", "GET", "/")


@events.spawning_complete.add_listener
def _all_are_there(**_: Any) -> None:
    record.counting_s = time.monotonic()
    if not _null:
        gevent.spawn(_tell)


@events.quitting.add_listener
def _write(**_: Any) -> None:
    record.write(Path(os.environ["LOAD_RESULT"]))


def _tell() -> None:
    """How it goes, for people."""
    for second in itertools.count(1):
        gevent.sleep(PROGRESS_EVERY_S)
        if record.is_over():
            return
        lately = [took_ms for _, _, took_ms in record.answers[-200:]]
        limited = sum(status == LIMITED for _, status, _ in record.answers)
        failed = sum(record.errors.values())
        print(
            f"  {second * PROGRESS_EVERY_S:.0f} s: {len(record.answers)} answers, {limited} limited, {failed} failed,"
            f" lately {median(lately or [0.0]):.0f} ms",
            flush=True,
        )
