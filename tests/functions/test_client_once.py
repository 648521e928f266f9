"""The Python client tries again where that can do no harm, and only there: what is sent is sent once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from keepline.domain.session import SessionState
from keepline.records import accounts, outbox, webhooks
from keepline_client import Conflict, KeeplineError, NoAnswer, NotFound, RateLimited, Unavailable
from keepline_client._retries import RETRY_AFTER_S_MAX

from .client_support import HALVES, URL, Pauses, Wire, client
from .support import CHAT, World

TRIES = 5


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    return Pauses(monkeypatch)


@pytest.fixture
def shop(world: World) -> World:
    world.add_session(state=SessionState.CONNECTED, code="connected", phone="14155550100")
    return world


@pytest.fixture
def wire(shop: World) -> Wire:
    return Wire(shop)


@pytest.fixture(params=HALVES)
def keepline(request: pytest.FixtureRequest, shop: World, wire: Wire, pauses: Pauses) -> Iterator[Any]:
    with client(request.param, URL, shop.anna["X-Api-Key"], wire) as keepline:
        yield keepline


def refusal(status: int, code: str = "refused", **headers: str) -> httpx.Response:
    error = {"code": code, "message": "No.", "hint": "Later."}
    return httpx.Response(status, headers=headers, json={"error": error})


@contextmanager
def server_that_hangs_up(world: World, times: int, connections: list[object] | None = None) -> Iterator[str]:
    """The API on a real socket. So many answers never leave, though what was asked has been done."""
    left = [times]
    seen = connections if connections is not None else []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            seen.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = world.client.post(self.path, data=body, headers=dict(self.headers))
            if left[0]:
                left[0] -= 1
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("half", HALVES)
def test_a_message_whose_answer_gets_lost_is_sent_once(shop: World, pauses: Pauses, half: str) -> None:
    with (
        server_that_hangs_up(shop, times=2) as url,
        client(half, url, shop.anna["X-Api-Key"]) as keepline,
    ):
        message = keepline.messages.send("shop", CHAT, "once")
    assert len(pauses.seconds) == 2
    assert [row.path for row in shop.all_in(outbox.OUTBOX)] == [outbox.row_path(message["message_id"])]


@pytest.mark.parametrize("half", HALVES)
def test_a_connection_is_used_again(shop: World, half: str) -> None:
    connections: list[object] = []
    with (
        server_that_hangs_up(shop, times=0, connections=connections) as url,
        client(half, url, shop.anna["X-Api-Key"]) as keepline,
    ):
        for number in range(3):
            keepline.messages.send("shop", CHAT, str(number))
    assert len(connections) == 1


@pytest.mark.parametrize("half", HALVES)
def test_nobody_waits_for_ever(shop: World, pauses: Pauses, half: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        client(half, f"http://127.0.0.1:{silent.getsockname()[1]}", "kl_key", timeout_s=0.05, tries_max=2) as keepline,
        pytest.raises(NoAnswer, match="in time") as gave_up,
    ):
        keepline.messages.send("shop", CHAT, "hello")
    assert (gave_up.value.was_sent, len(pauses.seconds)) == (True, 1)


def test_all_tries_of_a_send_have_one_key_and_each_send_its_own(keepline: Any, wire: Wire) -> None:
    wire.answers_to_lose = 1
    keepline.messages.send("shop", CHAT, "first")
    keepline.messages.send("shop", CHAT, "first")
    first, again, second = (request.headers["Idempotency-Key"] for request in wire.requests)
    assert first == again != second


def test_the_callers_key_holds_also_over_two_calls(keepline: Any, shop: World) -> None:
    first, second = (keepline.messages.send("shop", CHAT, "order 7", idempotency_key="order-7") for _ in range(2))
    assert first["message_id"] == second["message_id"]
    assert len(shop.all_in(outbox.OUTBOX)) == 1
    with pytest.raises(Conflict, match="idempotency_mismatch"):
        keepline.messages.send("shop", CHAT, "order 8", idempotency_key="order-7")


def test_a_send_that_was_given_up_can_be_repeated_with_the_errors_key(keepline: Any, shop: World, wire: Wire) -> None:
    wire.answers_to_lose = TRIES
    with pytest.raises(NoAnswer) as gave_up:
        keepline.messages.send("shop", CHAT, "once")
    assert (len(wire.requests), gave_up.value.was_sent) == (TRIES, True)
    keepline.messages.send("shop", CHAT, "once", idempotency_key=gave_up.value.idempotency_key)
    assert len(shop.all_in(outbox.OUTBOX)) == 1


@pytest.mark.parametrize("key", ["", "ä", "a\nb", "x" * 256])
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_sent(keepline: Any, wire: Wire, key: str) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        keepline.messages.send("shop", CHAT, "hello", idempotency_key=key)
    assert wire.requests == []


def test_what_has_no_key_and_could_be_done_twice_is_not_tried_again(keepline: Any, shop: World, wire: Wire) -> None:
    wire.answers_to_lose = 1
    with pytest.raises(NoAnswer):
        keepline.webhooks.create("https://receiver.example/hook", ["*"])
    assert (len(wire.requests), len(shop.all_in(webhooks.WEBHOOKS))) == (1, 1)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_nor_after_an_answer_that_leaves_open_whether_it_was_done(keepline: Any, wire: Wire, status: int) -> None:
    wire.faults = [refusal(status)]
    with pytest.raises(Unavailable):
        keepline.sessions.create("other")
    assert len(wire.requests) == 1


def test_what_was_refused_or_never_left_is_tried_again_whatever_it_is(keepline: Any, shop: World, wire: Wire) -> None:
    wire.faults = [refusal(429), httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
    keepline.sessions.create("other")
    assert len(wire.requests) == TRIES
    assert shop.document(accounts.account_path("anna_other")) is not None


@pytest.mark.parametrize(
    "fault",
    [refusal(502), refusal(503), refusal(504), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("hung up")],
    ids=["502", "503", "504", "timeout", "hung up"],
)
def test_a_look_is_tried_again(keepline: Any, wire: Wire, fault: Any) -> None:
    wire.faults = [fault]
    assert keepline.sessions.get("shop")["state"] in ("connected", "degraded")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500])
def test_an_answer_that_would_be_the_same_is_taken_at_once(keepline: Any, wire: Wire, status: int) -> None:
    wire.faults = [refusal(status)]
    with pytest.raises(KeeplineError) as refused:
        keepline.sessions.get("shop")
    assert (refused.value.status, len(wire.requests)) == (status, 1)


def test_tries_have_an_end_and_their_pauses_a_bound(keepline: Any, wire: Wire, pauses: Pauses) -> None:
    wire.faults = [refusal(503, "store_unavailable")] * 100
    with pytest.raises(Unavailable, match="store_unavailable"):
        keepline.sessions.list()
    assert len(wire.requests) == TRIES
    bounds_s = [0.25, 0.5, 1.0, 2.0]
    assert all(0 <= pause <= bound for pause, bound in zip(pauses.seconds, bounds_s, strict=True))
    assert len(set(pauses.seconds)) > 1


def test_retry_after_is_waited_for(keepline: Any, wire: Wire, pauses: Pauses) -> None:
    wire.faults = [refusal(429, "rate_limited", **{"Retry-After": "7"})]
    keepline.messages.send("shop", CHAT, "hello")
    assert 7 <= pauses.seconds[0] <= 7.25


def test_who_is_to_wait_long_is_told_so(keepline: Any, wire: Wire) -> None:
    wire.faults = [refusal(429, "rate_limited", **{"Retry-After": str(int(RETRY_AFTER_S_MAX) + 1)})]
    with pytest.raises(RateLimited) as refused:
        keepline.messages.send("shop", CHAT, "hello")
    assert (refused.value.retry_after_s, len(wire.requests)) == (RETRY_AFTER_S_MAX + 1, 1)


def test_the_limit_of_the_api_is_waited_for_and_nothing_is_sent_twice(
    keepline: Any, shop: World, pauses: Pauses
) -> None:
    pauses.meanwhile = [lambda: shop.clock.advance(pauses.seconds[-1])] * 20
    for number in range(35):
        keepline.messages.send("shop", CHAT, str(number))
    assert len(shop.all_in(outbox.OUTBOX)) == 35
    assert len(pauses.seconds) == 5


def test_a_deletion_whose_answer_got_lost_has_succeeded(keepline: Any, shop: World, wire: Wire) -> None:
    made = keepline.webhooks.create("https://receiver.example/hook", ["*"])
    wire.answers_to_lose = 1
    keepline.webhooks.delete(made["webhook_id"])
    with pytest.raises(NotFound, match="webhook_not_found"):
        keepline.webhooks.delete(made["webhook_id"])


def test_health_is_asked_once(keepline: Any, wire: Wire) -> None:
    wire.faults = [refusal(503, "store_unavailable"), refusal(503, "session_unhealthy")]
    with pytest.raises(Unavailable, match="store_unavailable"):
        keepline.health()
    with pytest.raises(Unavailable, match="session_unhealthy"):
        keepline.sessions.health("shop")
    assert len(wire.requests) == 2


def test_all_tries_of_a_call_have_one_request_id_which_the_error_names(keepline: Any, wire: Wire) -> None:
    wire.faults = [httpx.ReadError("cut off")] * TRIES
    with pytest.raises(NoAnswer) as gave_up:
        keepline.sessions.list()
    assert {request.headers["X-Request-Id"] for request in wire.requests} == {gave_up.value.request_id}
