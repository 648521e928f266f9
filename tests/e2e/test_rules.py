"""The security rules, asked of Google's emulator as a browser would: with a signed-in user's token, and past our API."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from keepline_local.stack import Stack

from .keepline import Api, Http, Phones, Session

OK, DENIED = 200, 403
# What a linked device is made of, and what its connectors say to each other about it. Whoever may not read these is told so
# whether they are there or not.
SEALED = (
    "whatsapp_sessions/demo_x_a",
    "whatsapp_sessions/demo_x_a/segments/0000000001",
    "whatsapp_sessions/demo_x_a/snapshots/000001-000",
    "witness/demo_x_b",
)


def signed_in(user: str | None) -> dict[str, str]:
    """The header of a signed-in user. The emulator takes unsigned tokens, and only the emulator does."""
    if user is None:
        return {}
    parts = ({"alg": "none", "type": "JWT"}, {"sub": user, "user_id": user, "iat": 0, "aud": "demo-keepline"})
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return {"Authorization": f"Bearer {token}."}


class Browser:
    """Firestore as one user's browser reaches it."""

    def __init__(self, stack: Stack, user: str | None) -> None:
        self._http = Http(f"http://{stack.run.firestore}", signed_in(user))
        self._documents = f"/v1/projects/{stack.run.project}/databases/(default)/documents"

    def get(self, path: str) -> int:
        return self._http.call("GET", f"{self._documents}/{path}").status_code

    def set(self, path: str) -> int:
        body = {"fields": {"tenant": {"stringValue": "demo"}, "state": {"stringValue": "sent"}}}
        return self._http.call("PATCH", f"{self._documents}/{path}", json=body).status_code

    def delete(self, path: str) -> int:
        return self._http.call("DELETE", f"{self._documents}/{path}").status_code

    def query(self, collection: str, tenant: str | None, *, group: bool = False) -> tuple[int, int]:
        """Status and number of documents of a query that asks for a tenant's, or for everybody's."""
        asked: dict[str, Any] = {"from": [{"collectionId": collection, "allDescendants": group}]}
        if tenant is not None:
            value = {"stringValue": tenant}
            asked["where"] = {"fieldFilter": {"field": {"fieldPath": "tenant"}, "op": "EQUAL", "value": value}}
        response = self._http.call("POST", f"{self._documents}:runQuery", json={"structuredQuery": asked})
        return response.status_code, sum("document" in one for one in response.json())


@pytest.fixture
def paths(api: Api, phones: Phones, session: Session) -> dict[str, str]:
    """Documents of the user `demo` that are really there, by kind."""
    friend = phones.new_number()
    sent = api.send(session.id, friend, "out")
    wa_message_id = phones.write(friend, session.phone, "in")
    api.wait_for_text(session.id, "in")
    account = f"demo_{session.id}"
    return {
        "outbox": f"outbox/{sent['message_id']}",
        "message": f"accounts/{account}/chats/{friend}@s.whatsapp.net/messages/{wa_message_id}",
        "account": f"accounts/{account}",
        "device": f"accounts/{account}/devices/a",
        "pairing": f"pairing/{account}_a",
        "authority": f"send_authority/{account}",
        "connector": f"connectors/{api.status(session.id)['devices'][0]['connector']}",
    }


def test_a_user_reads_own_messages_and_nothing_else(stack: Stack, paths: dict[str, str]) -> None:
    owner = Browser(stack, "demo")
    assert {name: owner.get(path) for name, path in paths.items()} == {
        "outbox": OK,
        "message": OK,
        "account": DENIED,
        "device": DENIED,
        "pairing": DENIED,
        "authority": DENIED,
        "connector": DENIED,
    }
    for stranger in (Browser(stack, "somebody-else"), Browser(stack, None)):
        assert {stranger.get(path) for path in paths.values()} == {DENIED}


def test_a_query_gives_a_user_own_messages_and_refuses_to_look_further(stack: Stack, paths: dict[str, str]) -> None:
    owner = Browser(stack, "demo")
    assert len(paths) == 7  # They are there, so that an empty answer would mean something.
    for collection, group in (("outbox", False), ("messages", True)):
        status, found = owner.query(collection, "demo", group=group)
        assert status == OK
        assert found >= 1
        assert owner.query(collection, None, group=group) == (DENIED, 0)
        assert owner.query(collection, "somebody-else", group=group) == (DENIED, 0)
    closed = (
        "accounts",
        "pairing",
        "api_keys",
        "connectors",
        "monitoring",
        "send_authority",
        "whatsapp_sessions",
        "witness",
    )
    for collection in closed:
        assert owner.query(collection, "demo") == (DENIED, 0), collection
    for collection in ("segments", "snapshots", "devices"):
        assert owner.query(collection, "demo", group=True) == (DENIED, 0), collection


def test_nobody_writes_from_a_browser(stack: Stack, paths: dict[str, str]) -> None:
    for browser in (Browser(stack, "demo"), Browser(stack, None)):
        for path in (*paths.values(), *SEALED, "outbox/m_new", "api_keys/mine", "anything/else"):
            assert browser.set(path) == DENIED, path
        for path in paths.values():
            assert browser.delete(path) == DENIED, path


def test_nobody_reads_the_sealed_sessions(stack: Stack) -> None:
    for browser in (Browser(stack, "demo"), Browser(stack, None)):
        assert {browser.get(path) for path in SEALED} == {DENIED}
        assert {browser.delete(path) for path in SEALED} == {DENIED}
