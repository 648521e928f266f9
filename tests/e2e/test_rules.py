"""The security rules, asked of Google's emulator as a browser would: with a signed-in user's token, and past our API."""

from __future__ import annotations

import ast
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from keepline_local.stack import Stack

from .keepline import Api, Http, Phones, Session, eventually

RECORDS = Path(__file__).parents[2] / "core" / "src" / "keepline" / "records"
OK, DENIED, MISSING = 200, 403, 404
# What a user's browser may read: only what carries the user's own id.
OWN = {"outbox", "messages", "accounts", "events", "monitoring", "alerts", "reports"}
# Everything else that Keepline writes, by collection. Whoever may not read these is told so whether they are there or not.
CLOSED = {
    "account_secrets": "account_secrets/demo_x",
    "alert_channels": "alert_channels/ch_x",
    "alert_settings": "alert_settings/demo",
    "api_keys": "api_keys/0123456789abcdef",
    "commands": "commands/c_x",
    "connectors": "connectors/connector-1",
    "contacts": "contacts/demo_x_1@s.whatsapp.net",
    "days": "uptime/api/days/2026-01-01",
    "devices": "accounts/demo_x/devices/a",
    "deliveries": "webhooks/w_x/deliveries/evt_x",
    "gaps": "uptime/api/gaps/1",
    "lanes": "live/demo/lanes/l_x",
    "media": "media/f_x",
    "notices": "accounts/demo_x/notices/n_x",
    "outages": "uptime/api/outages/o1",
    "pairing": "pairing/demo_x_a",
    "pool": "pool/sessions",
    "rate_limits": "rate_limits/demo_messages_0",
    "recoveries": "uptime/api/recoveries/r1",
    "recovering": "recovering/api",
    "report_settings": "report_settings/demo",
    "segments": "whatsapp_sessions/demo_x_a/segments/0000000001",
    "send_authority": "send_authority/demo_x",
    "snapshots": "whatsapp_sessions/demo_x_a/snapshots/000001-000",
    "tenants": "tenants/demo",
    "uptime": "uptime/api",
    "uptime_runs": "uptime_runs/current",
    "whatsapp_sessions": "whatsapp_sessions/demo_x_a",
    "webhook_owners": "webhook_owners/demo",
    "webhooks": "webhooks/w_x",
    "witness": "witness/demo_x_b",
}


def signed_in(user: str | None, *, operator: bool = False) -> dict[str, str]:
    """The header of a signed-in user. The emulator takes unsigned tokens, and only the emulator does."""
    if user is None:
        return {}
    claims = {"operator": True} if operator else {}
    parts = ({"alg": "none", "type": "JWT"}, {"sub": user, "user_id": user, "iat": 0, "aud": "demo-keepline", **claims})
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return {"Authorization": f"Bearer {token}."}


class Browser:
    """Firestore as one user's browser reaches it."""

    def __init__(self, stack: Stack, user: str | None, *, operator: bool = False) -> None:
        self._http = Http(f"http://{stack.run.firestore}", signed_in(user, operator=operator))
        self._documents = f"/v1/projects/{stack.run.project}/databases/(default)/documents"

    def get(self, path: str) -> int:
        return self._http.call("GET", f"{self._documents}/{path}").status_code

    def fields(self, path: str) -> set[str]:
        """The names of what a document says to this browser."""
        return set(self._http.call("GET", f"{self._documents}/{path}").json()["fields"])

    def set(self, path: str) -> int:
        body = {"fields": {"tenant": {"stringValue": "demo"}, "state": {"stringValue": "sent"}}}
        return self._http.call("PATCH", f"{self._documents}/{path}", json=body).status_code

    def delete(self, path: str) -> int:
        return self._http.call("DELETE", f"{self._documents}/{path}").status_code

    def query(
        self, collection: str, tenant: str | None, *, group: bool = False, below: str | None = None
    ) -> tuple[int, int]:
        """Status and number of documents of a query that asks for a tenant's, or for everybody's."""
        asked: dict[str, Any] = {"from": [{"collectionId": collection, "allDescendants": group}]}
        if tenant is not None:
            value = {"stringValue": tenant}
            asked["where"] = {"fieldFilter": {"field": {"fieldPath": "tenant"}, "op": "EQUAL", "value": value}}
        parent = f"{self._documents}/{below}" if below else self._documents
        response = self._http.call("POST", f"{parent}:runQuery", json={"structuredQuery": asked})
        return response.status_code, sum("document" in one for one in response.json())


@pytest.fixture
def paths(stack: Stack, api: Api, phones: Phones, session: Session) -> dict[str, str]:
    """Documents of the user `demo` that are really there, by kind."""
    friend = phones.new_number()
    sent = api.send(session.id, friend, "out")
    wa_message_id = phones.write(friend, session.phone, "in")
    api.wait_for_text(session.id, "in")
    account = f"demo_{session.id}"
    events = api.json("POST", "/api/events/keep")["collection"]
    phones.write(friend, session.phone, "in, and told")

    def told() -> str | None:
        http = Http(f"http://{stack.run.firestore}", {"Authorization": "Bearer owner"})
        documents = http.json("GET", f"/v1/projects/{stack.run.project}/databases/(default)/documents/{events}")
        return next((one["name"].partition("/documents/")[2] for one in documents.get("documents", [])), None)

    return {
        "event": eventually(told, "the message is told"),
        "outbox": f"outbox/{sent['message_id']}",
        "message": f"accounts/{account}/chats/{friend}@s.whatsapp.net/messages/{wa_message_id}",
        "account": f"accounts/{account}",
        "secret": f"account_secrets/{account}",
        "device": f"accounts/{account}/devices/a",
        "pairing": f"pairing/{account}_a",
        "authority": f"send_authority/{account}",
        "connector": f"connectors/{api.status(session.id)['devices'][0]['connector']}",
    }


def all_collections(stack: Stack) -> set[str]:
    """The collections of the database, down to those of single documents."""
    http = Http(f"http://{stack.run.firestore}", {"Authorization": "Bearer owner"})
    root = f"/v1/projects/{stack.run.project}/databases/(default)/documents"

    def below(path: str) -> set[str]:
        names = set(http.call("POST", f"{path}:listCollectionIds", json={}).json().get("collectionIds", []))
        found = set(names)
        for name in names:
            listed = http.call("GET", f"{path}/{name}?pageSize=3&showMissing=true").json().get("documents", [])
            for document in listed:
                found |= below(f"/v1/{document['name']}")
        return found

    return below(root)


def test_a_user_reads_own_sessions_and_messages_and_nothing_else(stack: Stack, paths: dict[str, str]) -> None:
    owner = Browser(stack, "demo")
    assert {name: owner.get(path) for name, path in paths.items()} == {
        "event": OK,
        "outbox": OK,
        "message": OK,
        "account": OK,
        "secret": DENIED,
        "device": DENIED,
        "pairing": DENIED,
        "authority": DENIED,
        "connector": DENIED,
    }
    for stranger in (Browser(stack, "somebody-else"), Browser(stack, None)):
        assert {stranger.get(path) for path in paths.values()} == {DENIED}


def test_a_query_gives_a_user_own_messages_and_refuses_to_look_further(stack: Stack, paths: dict[str, str]) -> None:
    owner = Browser(stack, "demo")
    assert len(paths) == 9  # They are there, so that an empty answer would mean something.
    for collection, group in (("outbox", False), ("messages", True), ("accounts", False)):
        status, found = owner.query(collection, "demo", group=group)
        assert status == OK
        assert found >= 1
        assert owner.query(collection, None, group=group) == (DENIED, 0)
        assert owner.query(collection, "somebody-else", group=group) == (DENIED, 0)
    # A user's events lie below the user's own id, and are asked for there alone.
    assert owner.query("events", "demo", below="live/demo") >= (OK, 1)
    assert owner.query("events", None, below="live/demo") >= (OK, 1)
    assert owner.query("events", "demo", group=True) == (DENIED, 0)
    for stranger in (Browser(stack, "somebody-else"), Browser(stack, None)):
        assert stranger.query("events", "demo", below="live/demo") == (DENIED, 0)
    for collection in CLOSED:
        for group in (False, True):
            assert owner.query(collection, "demo", group=group) == (DENIED, 0), collection


def test_a_user_reads_own_reports_and_an_operator_the_installations(stack: Stack) -> None:
    server = Http(f"http://{stack.run.firestore}", {"Authorization": "Bearer owner"})
    root = f"/v1/projects/{stack.run.project}/databases/(default)/documents"
    for name, tenant in (("demo", {"stringValue": "demo"}), ("installation", {"nullValue": None})):
        fields = {"tenant": tenant, "date": {"stringValue": "2026-02-28"}}
        assert server.call("PATCH", f"{root}/reports/{name}_2026-02-28", json={"fields": fields}).status_code == OK
    own, installation = "reports/demo_2026-02-28", "reports/installation_2026-02-28"
    seen = {
        "owner": (Browser(stack, "demo"), OK, DENIED),
        "somebody else": (Browser(stack, "somebody-else"), DENIED, DENIED),
        "nobody": (Browser(stack, None), DENIED, DENIED),
        "operator": (Browser(stack, "boss", operator=True), DENIED, OK),
    }
    for who, (browser, of_own, of_installation) in seen.items():
        assert (browser.get(own), browser.get(installation)) == (of_own, of_installation), who
        assert browser.set(own) == browser.set("reports/new") == DENIED, who


@pytest.fixture
def watched(stack: Stack) -> dict[str, str]:
    """An event and an alert of the user `demo`, and of the installation, as the back end would write them."""
    http = Http(f"http://{stack.run.firestore}", {"Authorization": "Bearer owner"})
    documents = f"/v1/projects/{stack.run.project}/databases/(default)/documents"
    found = {}
    for collection in ("monitoring", "alerts"):
        for whose, tenant in (("demo", {"stringValue": "demo"}), ("installation", {"nullValue": None})):
            path = f"{collection}/of_{whose}"
            assert http.call("PATCH", f"{documents}/{path}", json={"fields": {"tenant": tenant}}).status_code == OK
            found[f"{collection} of {whose}"] = path
    return found


def test_events_and_alerts_are_read_by_their_owner_and_the_installations_by_operators(
    stack: Stack, watched: dict[str, str]
) -> None:
    def readable(browser: Browser) -> set[str]:
        return {name for name, path in watched.items() if browser.get(path) == OK}

    own = {"monitoring of demo", "alerts of demo"}
    assert readable(Browser(stack, "demo")) == own
    assert readable(Browser(stack, "olga", operator=True)) == set(watched) - own
    assert readable(Browser(stack, "demo", operator=True)) == set(watched)
    for stranger in (Browser(stack, "somebody-else"), Browser(stack, None)):
        assert readable(stranger) == set()
    for browser in (Browser(stack, "demo"), Browser(stack, "olga", operator=True)):
        assert {browser.set(path) for path in watched.values()} == {DENIED}
        assert {browser.delete(path) for path in watched.values()} == {DENIED}
    for collection in ("monitoring", "alerts"):
        assert Browser(stack, "demo").query(collection, "demo")[0] == OK
        assert Browser(stack, "demo").query(collection, None) == (DENIED, 0)


def test_nobody_writes_from_a_browser(stack: Stack, paths: dict[str, str]) -> None:
    for browser in (Browser(stack, "demo"), Browser(stack, None)):
        for path in (*paths.values(), *CLOSED.values(), "outbox/m_new", "api_keys/mine", "anything/else"):
            assert browser.set(path) == DENIED, path
        for path in paths.values():
            assert browser.delete(path) == DENIED, path


def test_nobody_reads_what_is_the_back_ends(stack: Stack) -> None:
    for browser in (Browser(stack, "demo"), Browser(stack, None)):
        assert {browser.get(path) for path in CLOSED.values()} == {DENIED}
        assert {browser.delete(path) for path in CLOSED.values()} == {DENIED}
    # An operator sees what is watched, as the next test says, and of the rest as little as anybody.
    operator = Browser(stack, "boss", operator=True)
    for name, path in CLOSED.items():
        if not path.startswith(("uptime/", "recovering/")):
            assert operator.get(path) == DENIED, name
            collection, below = path.split("/")[-2], "/".join(path.split("/")[:-2]) or None
            assert operator.query(collection, None, below=below) == (DENIED, 0), name
            assert operator.query(collection, None, group=True) == (DENIED, 0), name
        assert operator.set(path) == operator.delete(path) == DENIED, name


def test_an_operator_reads_what_is_watched_and_nobody_else_does(stack: Stack) -> None:
    operator = Browser(stack, "boss", operator=True)
    below = ("outages/o1", "gaps/1", "days/2026-01-01", "recoveries/r1")
    for path in ("uptime/none", "recovering/none", *(f"uptime/none/{one}" for one in below)):
        assert operator.get(path) == MISSING, path
        assert operator.set(path) == DENIED, path
        assert Browser(stack, "demo").get(path) == DENIED, path
    assert operator.query("uptime", None)[0] == OK
    assert operator.query("outages", None, below="uptime/none")[0] == OK
    assert operator.get("uptime_runs/current") == DENIED


def test_what_a_browser_may_read_of_a_session_has_no_secret(stack: Stack, paths: dict[str, str]) -> None:
    assert Browser(stack, "demo").fields(paths["account"]) == {
        "tenant",
        "session_id",
        "phone",
        "lid",
        "state",
        "reason",
        "on_doubt",
        "settings",
        "standby",
        "standby_offered_at",
        "standby_refused_at",
        "phone_seen_at",
        "wanted",
        "created_at",
        "changed_at",
    }


def written_collections() -> set[str]:
    """Every collection that a path in keepline.records leads through, by its text."""
    trees = [ast.parse(file.read_text()) for file in RECORDS.glob("*.py")]
    texts: dict[str, str] = {}
    for tree in trees:
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                texts |= {name.id: node.value.value for name in node.targets if isinstance(name, ast.Name)}

    def part(node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        if isinstance(inner, ast.Call):
            return "{path}" if getattr(inner.func, "id", "").endswith("_path") else "{}"
        return texts.get(inner.id, "{}") if isinstance(inner, ast.Name) else "{}"

    strings = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.JoinedStr))
    paths = {"".join(map(part, node.values)) for node in strings} | set(texts.values())
    # A path begins at the root, or below another document's; its collections are the first name, the third, and so on.
    below = {path.removeprefix("{path}/") for path in paths if re.fullmatch(r"[a-z_{}/]+", path) and "/" in path}
    return {name for path in below for name in path.split("/")[::2] if re.fullmatch("[a-z_]+", name)}


def test_every_collection_that_the_code_writes_is_named_above() -> None:
    found = written_collections()
    assert {"outbox", "recoveries", "uptime_runs", "webhooks"} <= found
    assert found - {"chats", "live"} <= OWN | CLOSED.keys()
    assert CLOSED.keys() - found == set(), "is nowhere written any more"


def test_every_collection_is_named_above(stack: Stack, paths: dict[str, str]) -> None:
    """What is really in the database, as the emulator lists it to its owner."""
    assert paths
    found = all_collections(stack)
    assert "outbox" in found
    assert found - {"chats", "live"} <= OWN | CLOSED.keys()
