"""The Python client hears each event once, whatever comes between; and it ends when it is closed."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from examples import live_events as live_events_example
from keepline.usecases import live_events
from keepline_client import AsyncKeepline, Forbidden, Gone, Keepline, KeeplineError, NoAnswer
from keepline_client._listening import SILENCE_S_MAX

from .client_support import HALVES, Pauses, client
from .support import TIMEOUT_S, World
from .test_webhook_events import Platform, heard

KEY = "kl_key"
BEGINNING = "retry: 1000\nid: at_1\n\n"


def block(number: int) -> str:
    event = {"id": f"evt_{number}", "type": "message", "timestamp": "", "session_id": "shop", "data": {}}
    return f"id: evt_{number}\nevent: message\ndata: {json.dumps(event)}\n\n"


class Streams:
    """A server that answers as it is told, one answer a request; when all were given it keeps the last stream open."""

    def __init__(self, *answers: str | tuple[int, str]) -> None:
        self.answers = list(answers)
        self.places: list[str | None] = []
        self.is_waiting = threading.Event()
        self.is_over = threading.Event()
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.places.append(handler.headers["Last-Event-ID"])
        answer = self.answers.pop(0)
        if isinstance(answer, tuple):
            status, code = answer
            body = json.dumps({"error": {"code": code, "message": "No.", "hint": "Later."}}).encode()
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.end_headers()
        handler.wfile.write(answer.encode())
        handler.wfile.flush()
        if not self.answers:
            self.is_waiting.set()
            self.is_over.wait(TIMEOUT_S)


@contextmanager
def serving(*answers: str | tuple[int, str]) -> Iterator[Streams]:
    streams = Streams(*answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                streams.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        streams.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield streams
        finally:
            streams.is_over.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    return Pauses(monkeypatch)


def numbers(keepline: Any, count: int, **named: Any) -> list[int]:
    """The numbers of the next events."""
    events = keepline.events.listen(**named)
    return [int(next(events)["id"].removeprefix("evt_")) for _ in range(count)]


@pytest.mark.parametrize("half", HALVES)
def test_a_listener_comes_back_to_where_it_was_and_hears_what_was_cut_in_two_once(pauses: Pauses, half: str) -> None:
    cut = block(2)[: len(block(2)) // 2]
    with (
        serving(BEGINNING + block(1) + cut, ": alive\n\n" + block(2) + ": alive\nid: at_9\n\n", block(3)) as streams,
        client(half, streams.url, KEY) as keepline,
    ):
        assert numbers(keepline, 3, last_event_id="evt_0") == [1, 2, 3]
    assert streams.places == ["evt_0", "evt_1", "at_9"]


@pytest.mark.parametrize("half", HALVES)
def test_it_waits_longer_each_time_that_x(pauses: Pauses, half: str) -> None:
    away = [(503, "store_unavailable")] * 12
    with (
        serving(BEGINNING + block(1), *away, BEGINNING + block(2), block(3)) as streams,
        client(half, streams.url, KEY) as keepline,
    ):
        assert numbers(keepline, 3) == [1, 2, 3]
    bounds_s = [1, *(min(30, 2**tries) for tries in range(1, 13)), 1]
    assert all(0 <= pause <= bound for pause, bound in zip(pauses.seconds, bounds_s, strict=True))
    assert streams.places[1:-1] == ["evt_1"] * 13


@pytest.mark.parametrize("half", HALVES)
def test_a_stream_that_ends_at_its_beginning_again_and_again_is_not_hammered(
    pauses: Pauses, half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    with serving(*[BEGINNING] * 7, block(1)) as streams, client(half, streams.url, KEY) as keepline:
        assert numbers(keepline, 1) == [1]
    assert pauses.seconds == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("half", HALVES)
def test_what_is_not_kept_any_more_is_raised(pauses: Pauses, half: str) -> None:
    with (
        serving((410, "events_gone")) as streams,
        client(half, streams.url, KEY) as keepline,
        pytest.raises(Gone, match="events_gone"),
    ):
        numbers(keepline, 1, last_event_id="evt_1")


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(("status", "kind"), [(403, Forbidden), (500, KeeplineError)])
def test_a_refusal_is_raised_also_from_a_listener_that_had_heard(
    pauses: Pauses, half: str, status: int, kind: type[KeeplineError]
) -> None:
    with (
        serving(BEGINNING + block(1), (status, "refused")) as streams,
        client(half, streams.url, KEY) as keepline,
        pytest.raises(kind, match="refused"),
    ):
        numbers(keepline, 2)


@pytest.mark.parametrize("half", HALVES)
def test_who_never_reached_keepline_is_told_so(pauses: Pauses, half: str) -> None:
    with (
        client(half, "http://127.0.0.1:1", KEY, tries_max=3) as keepline,
        pytest.raises(NoAnswer, match="not_reached"),
    ):
        numbers(keepline, 1)
    assert len(pauses.seconds) == 2


@pytest.mark.parametrize("half", HALVES)
def test_a_silent_connection_is_given_up(pauses: Pauses, half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SILENCE_S_MAX > 2 * 15
    for module in ("_async", "_sync"):
        monkeypatch.setattr(f"keepline_client.{module}.events.SILENCE_S_MAX", 0.05)
    with serving(BEGINNING) as streams, client(half, streams.url, KEY) as keepline:
        pauses.meanwhile = [lambda: streams.answers.append(block(1))]
        assert numbers(keepline, 1) == [1]
    assert streams.places == [None, "at_1"]


def test_closing_the_client_wakes_a_thread_that_listens() -> None:
    heard: list[str] = []
    with serving(BEGINNING + block(1)) as streams:
        keepline = Keepline(streams.url, KEY)
        thread = threading.Thread(target=lambda: heard.extend(one["id"] for one in keepline.events.listen()))
        thread.start()
        assert streams.is_waiting.wait(TIMEOUT_S)
        keepline.close()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert len(streams.places) == 1


def test_closing_the_client_ends_a_task_that_listens() -> None:
    async def listen(keepline: AsyncKeepline, is_heard: asyncio.Event) -> None:
        async for _ in keepline.events.listen():
            is_heard.set()

    async def run(url: str) -> None:
        keepline = AsyncKeepline(url, KEY)
        is_heard = asyncio.Event()
        async with asyncio.timeout(TIMEOUT_S):
            listening = asyncio.create_task(listen(keepline, is_heard))
            await is_heard.wait()
            await keepline.close()
            await listening

    with serving(BEGINNING + block(1)) as streams:
        asyncio.run(run(streams.url))
    assert len(streams.places) == 1


def test_the_example_follows_keeps_its_place_and_says_what_is_wrong(
    pauses: Pauses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    place.write_text("evt_0\n")
    with serving((410, "events_gone"), BEGINNING + block(1), (403, "missing_scope")) as streams:
        monkeypatch.setenv("KEEPLINE_API", streams.url)
        monkeypatch.setenv("KEEPLINE_API_KEY", KEY)
        monkeypatch.setattr(sys, "argv", ["live_events.py", "--place", str(place)])
        assert live_events_example.main() == 1
    shown = capsys.readouterr()
    assert (streams.places, place.read_text()) == (["evt_0", None, "evt_1"], "evt_1")
    assert "message {}" in shown.out
    assert "not kept any more" in shown.err
    assert "missing_scope" in shown.err


@contextmanager
def real(world: World) -> Iterator[str]:
    """The API on a real socket."""
    server = make_server("127.0.0.1", 0, world.process.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("half", HALVES)
def test_over_many_streams_of_the_api_nothing_is_missed_and_nothing_comes_twice(
    world: World, pauses: Pauses, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    monkeypatch.setattr(live_events, "STREAM_S", 0.1)
    world.add_session()
    platform = Platform(world, monkeypatch)
    written: list[str] = []

    def more() -> None:
        for _ in range(3):
            written.append(f"WA{len(written)}")
            platform.message(heard(world, written[-1]))
        world.clock.advance(1)

    with real(world) as url, client(half, url, world.anna["X-Api-Key"]) as keepline:
        place = keepline.events.here()
        more()
        pauses.meanwhile = [more] * 5
        events = keepline.events.listen("shop", events=["message"], last_event_id=place)
        found = [next(events)["data"]["wa_message_id"] for _ in range(18)]
    assert found == written
