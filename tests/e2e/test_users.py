"""What users and operators do beside sending, on real parts: keys, limits, health, diagnostics, metrics."""

from __future__ import annotations

import secrets
import time

import pytest
import requests

from keepline.usecases.access import REMEMBERED_S_MAX
from keepline_local import api_key
from keepline_local.stack import Stack

from .keepline import Api, Http, Session, eventually


@pytest.fixture
def newcomer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Another user, with the usual limits."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.run.firestore)
    key = f"kl_{secrets.token_urlsafe(32)}"
    api_key.register(stack.run.project, key, f"newcomer-{secrets.token_hex(4)}")
    return Api(stack.run.api, key)


def test_a_key_is_made_used_for_its_session_alone_and_revoked(stack: Stack, api: Api, session: Session) -> None:
    made = api.json("POST", "/api/keys", 201, json={"name": "till", "scopes": ["read"], "sessions": [session.id]})
    till = Api(stack.run.api, made["key"])
    assert till.status(session.id)["session_id"] == session.id
    assert till.refusal("GET", "/api/sessions/another/status") == (403, "session_not_allowed")
    assert till.refusal("DELETE", f"/api/sessions/{session.id}") == (403, "missing_scope")
    [listed] = [key for key in api.json("GET", "/api/keys")["keys"] if key["key_id"] == made["key_id"]]
    assert listed["last_used_at"] is not None
    assert "key" not in listed
    assert api.call("DELETE", f"/api/keys/{made['key_id']}").status_code == 204
    eventually(
        lambda: till.call("GET", f"/api/sessions/{session.id}/status").status_code == 401,
        "the key is refused",
        limit_s=REMEMBERED_S_MAX + 3,
    )


def answer_to(api: Api, body: dict[str, str]) -> requests.Response:
    """The emulator drops a call now and then; the API says so (503), and a program repeats it."""

    def heard() -> tuple[requests.Response] | None:
        answer = api.call("POST", "/api/messages/send", json=body)
        return None if answer.status_code == 503 else (answer,)

    return eventually(heard, "the API reaches its store")[0]


def test_a_user_sends_no_more_than_the_limit_lets_through(newcomer: Api) -> None:
    newcomer.create("shop")
    body = {"session_id": "shop", "to": "14155550123", "text": "hello"}
    began_s = time.monotonic()
    answers = [answer_to(newcomer, body) for _ in range(45)]
    took_s = time.monotonic() - began_s
    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(accepted) + len(refused) == 45
    assert 30 <= len(accepted) <= 30 + took_s + 1
    assert accepted[0].headers["RateLimit-Policy"] == '"messages";q=60;w=60;burst=30'
    if took_s < 14:  # Else a slow machine has kept to the limit by itself.
        assert {answer.json()["error"]["code"] for answer in refused} == {"rate_limited"}
        assert refused[0].headers["Retry-After"] == "1"
    assert newcomer.call("DELETE", "/api/sessions/shop").status_code == 204


def test_a_session_can_be_looked_into_and_asked_to_reconnect(api: Api, session: Session) -> None:
    found = api.json("GET", f"/diagnostics/{session.id}")
    assert found["session"]["devices"][0]["evidence"] is not None
    assert [one["silent"] for one in found["connectors"]] == [False]
    # The trigger puts changes of state on record a moment later.
    eventually(
        lambda: "connected" in {one["to"] for one in api.json("GET", f"/diagnostics/{session.id}")["events"]},
        "the session's events are on record",
    )
    assert api.json("GET", f"/health/{session.id}")["status"] == "ok"
    assert api.json("GET", "/health?detailed=true")["connectors"]["alive"] == 2
    assert api.json("POST", f"/reconnect/{session.id}", 202)["state"] == "connected"


def test_the_operator_reads_the_metrics(operator: Http, api: Api, session: Session) -> None:
    assert api.status(session.id)["state"] == "connected"
    text = operator.call("GET", "/metrics").text
    for line in (
        "keepline_store_up 1.0",
        'keepline_connector_silent{connector="connector-1",region="local-1"} 0.0',
        'keepline_http_requests_total{method="GET",route="/api/sessions/<session_id>/status",status="200"}',
        "keepline_process_resident_memory_bytes",
    ):
        assert line in text
    assert api.refusal("GET", "/metrics") == (401, "bad_metrics_token")
