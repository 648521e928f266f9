"""What holds for every request: one error shape, limits, headers, no secrets, one log line."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from keepline.log_lines import FIELDS, JsonLines
from keepline.ports.documents import StoreConflict
from keepline_functions.logs import write_json_lines

from .support import CHAT, NOON, World, error_code

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "no_such_route"),
        ("GET", "/api", 404, "no_such_route"),
        ("GET", "/api/nothing", 404, "no_such_route"),
        ("GET", "/api/sessions/", 404, "no_such_route"),
        ("GET", "/api/sessions//status", 404, "no_such_route"),
        ("GET", "/api/sessions/a%2Fb/status", 404, "no_such_route"),
        ("PUT", "/api/sessions", 405, "method_not_allowed"),
        ("OPTIONS", "/api/sessions", 405, "method_not_allowed"),
        ("GET", "/api/messages/send", 404, "message_not_found"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("PATCH", "/api/messages/m_x", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_says_so_in_the_one_shape(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    answer = world.client.open(path, method=method, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (status, code)
    if status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize(
    ("data", "headers", "status", "code"),
    [
        (b"", JSON, 400, "bad_json"),
        (b"{", JSON, 400, "bad_json"),
        (b"hello", JSON, 400, "bad_json"),
        (b"[]", JSON, 400, "bad_json"),
        (b'"text"', JSON, 400, "bad_json"),
        (b"null", JSON, 400, "bad_json"),
        (b"\xff\xfe", JSON, 400, "bad_json"),
        (b'{"text": "\\ud800"}', JSON, 400, "bad_json"),
        (b'{"session_id":' + b"[" * 5_000, JSON, 400, "bad_json"),
        (b'{"session_id":' + b"1" * 50_000 + b"}", JSON, 400, "bad_json"),
        (b"session_id=shop", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {}, 415, "unsupported_media_type"),
        (b" " * (1024 * 1024 + 1), JSON, 413, "body_too_large"),
    ],
)
def test_a_body_that_is_none_is_refused(
    world: World, data: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    before = world.store.commits
    answer = world.client.post("/api/messages/send", data=data, headers=world.anna | headers)
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert world.store.commits == before


def test_a_body_of_exactly_the_limit_is_read(world: World) -> None:
    answer = world.client.post("/api/messages/send", data=b" " * 1024 * 1024, headers=world.anna | JSON)
    assert (answer.status_code, error_code(answer)) == (400, "bad_json")


@pytest.mark.parametrize("excess_bytes", [1, 100_000])
def test_a_body_without_a_length_is_limited_too(world: World, excess_bytes: int) -> None:
    answer = world.client.post(
        "/api/messages/send",
        input_stream=io.BytesIO(b"{}" + b" " * (1024 * 1024 - 2 + excess_bytes)),
        headers=world.anna | JSON | {"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert (answer.status_code, error_code(answer)) == (413, "body_too_large")


def test_creating_with_an_unknown_field_creates_nothing(world: World) -> None:
    before = world.store.commits
    answer = world.client.post("/api/sessions/create", json={"name": "shop"}, headers=world.anna)
    assert (answer.status_code, error_code(answer)) == (400, "unknown_field")
    assert world.store.commits == before


def test_a_mistake_of_ours_is_a_500_that_tells_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(path: str) -> None:
        raise ZeroDivisionError("the innermost secret")

    world.get("/api/sessions")
    world.store.get = broken  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO):
        answer = world.get("/api/sessions/shop/status")
    assert (answer.status_code, error_code(answer)) == (500, "internal_error")
    assert "innermost" not in answer.text
    assert "Traceback" not in answer.text
    assert "the innermost secret" in caplog.text


def test_a_conflict_nobody_caught_may_be_tried_again(world: World) -> None:
    async def conflicting(path: str) -> None:
        raise StoreConflict("x")

    world.get("/api/sessions")
    world.store.get = conflicting  # type: ignore[method-assign]
    assert world.get("/api/sessions/shop/status").status_code == 503


def every_kind_of_answer(world: World) -> list[Any]:
    account = world.add_session(state="pairing", code="waiting_for_scan")
    world.beat(account, evidence_age_ms=None)
    world.offer_qr(account, "2@qr")
    message_id = world.send(**{"Idempotency-Key": "order-1"}).get_json()["message_id"]
    heard = world.hear(account, "WA1", NOON)
    return [
        world.send(**{"Idempotency-Key": "order-1"}),
        world.send(text=""),
        world.get("/health"),
        world.get("/api/sessions"),
        world.get("/api/sessions/shop/status"),
        world.get("/api/sessions/no/status"),
        world.get("/api/qr/me/shop"),
        world.get("/api/qr/me/shop?format=json"),
        world.get("/api/qr/me/shop?format=ascii"),
        world.get(f"/api/messages/{message_id}"),
        world.get(f"/api/messages/{heard}"),
        world.get("/api/messages?session_id=shop"),
        world.get("/nothing"),
        world.get("/api/sessions", {}),
        world.client.post("/api/sessions/create", headers=world.anna),
        world.client.post("/api/sessions/create", data=b"{", headers=world.anna | JSON),
        world.client.delete("/api/sessions/shop", headers=world.anna),
    ]


def test_no_answer_is_stored_sniffed_or_without_a_request_id(world: World) -> None:
    answers = every_kind_of_answer(world)
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


def test_no_answer_shows_what_is_kept_inside(world: World) -> None:
    answers = every_kind_of_answer(world)
    secret = world.fields("account_secrets/anna_shop")
    for answer in answers:
        for word in ("tag_key", "body_hash", "tenant", "version", "api_keys", world.anna["X-Api-Key"]):
            assert word.encode() not in answer.data
        assert secret["tag_key"] not in answer.data


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("x" * 65, False), ("a b", False), ("", False)])
def test_a_callers_request_id_is_kept_when_it_is_one(world: World, given: str, kept: bool) -> None:
    answer = world.get("/health", {"X-Request-Id": given})
    assert (answer.headers["X-Request-Id"] == given) == kept


def test_each_request_is_one_log_line_without_what_is_private(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.add_session()
    with caplog.at_level(logging.INFO, logger="keepline_functions"):
        world.send("a private text")
        world.get("/api/sessions/shop/status?x=private", world.anna | {"X-Request-Id": "r-1"})
        world.get("/api/sessions", {"X-Api-Key": "kl_" + "a" * 43})
    lines = [record for record in caplog.records if hasattr(record, FIELDS)]
    assert [record.getMessage().split(" in ")[0] for record in lines] == [
        "POST /api/messages/send 202",
        "GET /api/sessions/<session_id>/status 200",
        "GET /api/sessions 401",
    ]
    fields = getattr(lines[1], FIELDS)
    assert (fields["request_id"], fields["tenant"], fields["status"], fields.get("error")) == ("r-1", "anna", 200, None)
    assert getattr(lines[2], FIELDS)["error"] == "bad_api_key"
    written = "".join(JsonLines().format(record) for record in caplog.records)
    for private in ("a private text", "private", "4155550123", CHAT, world.anna["X-Api-Key"], "kl_"):
        assert private not in written


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("keepline", logging.WARNING, __file__, 1, "two\nlines of %s", ("words",), None)
    setattr(record, FIELDS, {"status": 200})
    line = JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "severity": "WARNING",
        "message": "two\nlines of words",
        "logger": "keepline",
        "status": 200,
    }
    try:
        raise ValueError("why")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "ValueError: why" in json.loads(line)["stack_trace"]


def test_json_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    loggers = [logging.getLogger(name) for name in ("keepline", "keepline_functions")]
    for logger in loggers:
        for name in ("handlers", "level", "propagate"):
            monkeypatch.setattr(logger, name, getattr(logger, name))
    write_json_lines()
    write_json_lines()  # A second time writes nothing twice.
    logging.getLogger("keepline_functions.app").info("hello")
    assert json.loads(capsys.readouterr().out)["message"] == "hello"
    for logger in loggers:
        logger.manager._clear_cache()  # type: ignore[attr-defined]  # isEnabledFor remembers levels


def test_a_head_request_has_headers_and_no_body(world: World) -> None:
    answer = world.client.head("/health")
    assert (answer.status_code, answer.data) == (200, b"")
