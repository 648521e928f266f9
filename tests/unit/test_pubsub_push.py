"""What Terraform relies on for topics: a function of events without a trigger takes a push of Pub/Sub's own form as its event."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import functions_framework
import pytest

from tests.framework_traces import leave_no_trace

SOURCE = """
import functions_framework

@functions_framework.cloud_event
def on_message(event):
    import pathlib
    pathlib.Path(__file__).with_name("taken").write_text(event["type"] + " " + event.data["message"]["data"])
"""


# Without a trigger the platform says `http`; the decorator knows better.
@pytest.mark.parametrize("signature", ["http", "cloudevent"])
def test_a_push_of_pubsub_sets_a_function_off_that_has_no_trigger(
    tmp_path: Path, signature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_no_trace(monkeypatch)
    (tmp_path / "main.py").write_text(SOURCE)
    app = functions_framework.create_app("on_message", str(tmp_path / "main.py"), signature)
    data = base64.b64encode(b"{}").decode()
    push = {
        "message": {"data": data, "messageId": "1", "publishTime": "2026-01-01T00:00:00Z", "attributes": {}},
        "subscription": "projects/a-project/subscriptions/every-minute",
    }
    answer = app.test_client().post("/", data=json.dumps(push), content_type="application/json")
    assert answer.status_code == 200
    assert (tmp_path / "taken").read_text() == f"google.cloud.pubsub.topic.v1.messagePublished {data}"
