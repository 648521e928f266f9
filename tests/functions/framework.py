"""Functions as they are deployed: `functions/main.py` in functions-framework, around a process of our choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from google.events.cloud.firestore import Document, DocumentEventData, MapValue, Value

from keepline_functions import bootstrap
from tests.framework_traces import leave_no_trace

from .support import MAIN, World

FIRESTORE_TYPE = "google.cloud.firestore.document.v1.written"
PUBSUB_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
DOCUMENTS = "projects/p-test/databases/(default)/documents"


def serve(target: str, world: World | None, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A client of the function `target`."""
    leave_no_trace(monkeypatch)
    monkeypatch.setattr(bootstrap, "_process", world.process if world else None)
    create_app: Any = functions_framework.create_app  # it has no types
    client: FlaskClient = create_app(target=target, source=str(MAIN)).test_client()
    return client


def deliver(client: FlaskClient, event_type: str, event_id: str, body: bytes, content_type: str) -> int:
    """Deliver a CloudEvent as Eventarc does. Returns the status."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "//firestore.googleapis.com/projects/p-test/databases/(default)",
        "ce-type": event_type,
        "content-type": content_type,
    }
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    return client.post("/", data=body, headers=headers).status_code


def account_document(state: str, code: str, more: Mapping[str, Value] | None = None) -> Document:
    """An account document as Firestore sends it."""

    def text(value: str) -> Value:
        return Value(string_value=value)

    reason = {"code": text(code), "sentence": text(f"{code} in words."), "next_step": text("Wait.")}
    return Document(
        name=f"{DOCUMENTS}/accounts/anna_shop",
        fields={
            "tenant": text("anna"),
            "session_id": text("shop"),
            "state": text(state),
            "reason": Value(map_value=MapValue(fields=reason)),
            **(more or {}),
        },
        update_time="2026-03-01T12:00:00.250Z",
    )


def written(value: Document | None, old_value: Document | None = None) -> bytes:
    """The body of a Firestore event."""
    parts: dict[str, Any] = {"value": value, "old_value": old_value}
    body: bytes = DocumentEventData.serialize(
        DocumentEventData(**{name: part for name, part in parts.items() if part is not None})
    )
    return body
