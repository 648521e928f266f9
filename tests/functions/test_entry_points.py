"""The deployed entry points through functions-framework itself."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from flask import Response

from keepline_functions import bootstrap
from keepline_functions.auth import PUBLIC, needs

from .framework import serve
from .support import MAIN, World, error_code


@pytest.fixture
def api(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    world.client = serve("api", world, monkeypatch)
    return world


def test_every_function_of_the_table_is_in_main() -> None:
    table = json.loads((MAIN.parents[1] / "infra" / "functions.json").read_text())
    source = MAIN.read_text()
    for function in table["functions"]:
        assert f"\ndef {function['entry_point']}(" in source


def test_nothing_is_made_before_the_first_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_start", lambda: pytest.fail("made at import"))
    for target in ("api", "on_account_written", "on_minute"):
        serve(target, None, monkeypatch)


def test_requests_reach_the_api_whole(api: World) -> None:
    api.add_session()
    accepted = api.send("through the framework")
    assert accepted.status_code == 202
    assert accepted.get_json()["text"] == "through the framework"
    assert accepted.headers["Cache-Control"] == "no-store"
    assert api.get("/api/messages?session_id=shop&limit=1").get_json()["messages"] == [accepted.get_json()]
    assert api.client.head("/health").data == b""
    assert error_code(api.get("/nothing")) == "no_such_route"
    assert error_code(api.client.put("/api/sessions", headers=api.anna)) == "method_not_allowed"


def test_an_empty_answer_stays_empty(api: World) -> None:
    api.add_session()
    answer = api.client.delete("/api/sessions/shop", headers=api.anna)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers


def test_a_refused_body_is_read_to_its_end(api: World) -> None:
    """A server that closes a connection with unread bytes can take the answer down with them."""
    size = 3 * 1024 * 1024
    body = io.BytesIO(b" " * size)
    answer = api.client.post(
        "/api/messages/send",
        input_stream=body,
        headers=api.anna | {"Content-Type": "application/json", "Content-Length": str(size)},
    )
    assert (answer.status_code, error_code(answer)) == (413, "body_too_large")
    assert body.tell() == size


def test_an_answer_can_be_streamed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def slowly() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield f"data: {number}\n\n".encode()

    world.process.app.add_url_rule(
        "/stream", view_func=needs(PUBLIC)(lambda: Response(slowly(), mimetype="text/event-stream"))
    )
    answer = serve("api", world, monkeypatch).get("/stream")
    chunks = answer.iter_encoded()
    assert next(iter(chunks)) == b"data: 0\n\n"
    assert len(made) < 3
    answer.close()


def test_a_process_that_cannot_start_says_so_without_saying_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve("api", None, monkeypatch)
    for name in ("KEEPLINE_PROJECT", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    answer = client.get("/health")
    assert (answer.status_code, error_code(answer)) == (503, "not_ready")
    assert "KEEPLINE_PROJECT" not in answer.text
    assert "KEEPLINE_PROJECT" in caplog.text


def test_a_start_that_failed_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve("api", None, monkeypatch)
    starts: Iterator[bootstrap.Process | Exception] = iter([RuntimeError("not yet"), world.process])

    def start() -> bootstrap.Process:
        found = next(starts)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(bootstrap, "_start", start)
    assert client.get("/health").status_code == 503
    assert client.get("/health").status_code == 200
    assert client.get("/health").status_code == 200


def test_the_real_parts_can_be_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real client; the emulator's address leads nowhere, so only the wiring is seen."""
    client = serve("api", None, monkeypatch)
    monkeypatch.setenv("KEEPLINE_PROJECT", "demo-keepline")
    monkeypatch.delenv("K_SERVICE", raising=False)
    assert error_code(client.get("/nothing")) == "no_such_route"
    process = bootstrap.bootstrap()
    assert process is bootstrap.bootstrap()
    process.services.run(process.services.store.close())  # type: ignore[attr-defined]
    process.services.loop.stop()
