"""`make status` shows what the API says, what is missing with its reason, and nothing that a name could turn into markup."""

import http.server
import json
import threading

import pytest
from rich.console import Console

from keepline_local.status.asking import SOURCES, Installation, Picture
from keepline_local.status.drawing import draw

REASON = {"code": "connector_silent", "sentence": "Its connector is silent.", "next_step": "Wait a minute."}
CONNECTOR = {
    "id": "connector-1",
    "region": "r1",
    "state": "alive",
    "heartbeat_age_s": 0.4,
    "draining": False,
    "capacity": 200,
    "devices": 3,
    "poor_devices": 1,
    "held_devices": 0,
    "queued": 4,
    "oldest_queued_s": 1.2,
}
PERIOD = {"uptime": 0.9999999}
ANSWERS = {
    "/api/fleet": {
        "at": "2026-11-22T02:03:04.000Z",
        "sessions": {"connected": 2, "degraded": 1, "banned": 0},
        "queue": {"queued": 4, "oldest_queued_s": 1.2},
        "connectors": [CONNECTOR, {**CONNECTOR, "id": "connector-2", "state": "silent"}],
    },
    "/api/sessions": {"sessions": [{"session_id": "[red]shop", "state": "degraded", "reason": REASON}]},
    "/api/uptime": {
        "targets": [
            {
                "name": "API",
                "state": "down",
                "response_ms": 12,
                "reason": REASON,
                "uptime": {"day": PERIOD, "month": {"uptime": None}},
                "budget": {"left_s": 120.0},
            }
        ]
    },
}


class Api(http.server.BaseHTTPRequestHandler):
    asked: list[tuple[str, str]] = []  # noqa: RUF012 - one server for one test

    def do_GET(self):
        self.asked.append((self.path, self.headers["X-Api-Key"]))
        answer = ANSWERS.get(self.path)
        error = {"error": {"code": "no_such_route", "message": "There is no such page.", "hint": "Look at /docs."}}
        body = json.dumps(answer or error).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def shown(picture: Picture) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(draw(picture))
    return console.export_text()


def test_the_picture_has_the_figures_of_the_api(url):
    picture = Installation(url, "kl_key").look()
    assert {path for path, _ in Api.asked} == set(SOURCES.values())
    assert {key for _, key in Api.asked} == {"kl_key"}
    text = shown(picture)
    for words in (
        "2 connected, 1 degraded",
        "waiting: 4, the first for 1 s",
        "connector-2",
        "silent",
        "3 of 200",
        "[red]shop",
    ):
        assert words in text
    assert "banned" not in text
    assert "99.999 %" in text
    assert "Wait a minute." in text
    assert picture.as_json()["fleet"] == ANSWERS["/api/fleet"]


def test_what_is_missing_says_why(url):
    picture = Installation(url, "kl_key").look()
    assert not picture.is_whole
    assert "alerts: There is no such page. Look at /docs." in shown(picture)


def test_an_api_that_does_not_answer_is_said_to():
    picture = Installation("http://127.0.0.1:1", "kl_key").look()
    assert set(picture.missing) == set(SOURCES)
    assert "the API does not answer" in shown(picture)
