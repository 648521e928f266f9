"""Files through the public API only; the other side is what the simulator's phones fetched and decrypted."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

from keepline_local.stack import Stack

from .keepline import Api, Http, Phones, Session, eventually

PNG = b"\x89PNG\r\n\x1a\n"


def test_files_go_out_and_come_in(api: Api, phones: Phones, session: Session) -> None:
    friend, data = phones.new_number(), PNG + os.urandom(50_000)
    kept = api.json("POST", "/api/media?file_name=red.png", 201, data=data, headers={"Content-Type": "image/png"})
    assert Http("").call("GET", kept["url"]).content == data
    body = {"session_id": session.id, "to": friend, "kind": "image", "media": {"media_id": kept["media_id"]}}
    accepted = api.json("POST", "/api/messages/send", 202, json=body | {"caption": "red"})
    api.wait_for_delivery(accepted["message_id"])
    [shown] = phones.inbox(friend)["messages"]
    assert (shown["kind"], shown["text"], shown["fields"]["media"]) == ("image", "red", "ok")
    assert shown["fields"]["sha256"] == hashlib.sha256(data).hexdigest()

    data = os.urandom(70_000)
    posted = {"kind": "document", "to": session.phone, "data": base64.b64encode(data).decode(), "caption": "a bill"}
    phones.call("POST", f"/phones/{friend}/messages", json=posted | {"filename": "bill.bin"})

    def stored() -> dict[str, Any] | None:
        heard = next((one for one in api.messages(session.id, chat=friend) if one["text"] == "a bill"), None)
        return heard if heard is not None and heard["media"]["state"] == "stored" else None

    heard = eventually(stored, "the file is stored")
    found = api.json("GET", f"/api/media/{heard['media']['media_id']}")
    assert (found["file_name"], found["source"]) == ("bill.bin", "inbound")
    assert Http("").call("GET", found["url"]).content == data


def test_nobody_has_a_file_fetched_from_inside_of_our_network(stack: Stack, api: Api, session: Session) -> None:
    for url in (f"{stack.run.api}/health", "http://localhost/", "http://169.254.169.254/computeMetadata/v1/"):
        body = {"session_id": session.id, "to": "14155550123", "kind": "document", "media": {"url": url}}
        assert api.refusal("POST", "/api/messages/send", json=body) == (400, "url_not_allowed")
