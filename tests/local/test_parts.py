"""The small parts of a run: files, ports, processes, restarts, the demo's phones."""

import contextlib
import http.server
import json
import os
import queue
import signal
import socket
import stat
import subprocess
import sys
import threading
from typing import ClassVar

import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from keepline_local import api_key, keeper, logs, ports, processes, run_file
from keepline_local.auto_scan import Hands, Scanner
from keepline_local.errors import LocalError
from keepline_local.functions_host.hosting import Hosting
from keepline_local.functions_host.passing_on import passing_on
from keepline_local.lock import only_run
from keepline_local.paths import State
from keepline_local.ports import free_port
from keepline_local.supervisor import RESTART_DELAY_MAX_S, Change, Launch, Part, Supervisor, restart_delay_s

from .waiting import eventually, gone

# Files


def a_run(**changes):
    fields = {
        "api": "http://127.0.0.1:8080",
        "api_key": "kl_secret",
        "console": "http://127.0.0.1:5000",
        "simulator": None,
        "firestore": "127.0.0.1:1",
        "pids": {"runner": 1},
        "project": "p",
        "user_id": "local",
        "health": {},
        "simulator_dir": None,
    }
    return run_file.Run(**fields | changes)


def test_the_run_file_is_private_and_whole(tmp_path):
    path = tmp_path / "run.json"
    run_file.write(path, a_run())
    run_file.write(path, a_run(pids={"runner": 2}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run_file.read(path) == a_run(pids={"runner": 2})
    assert json.loads(path.read_text())["simulator"] is None
    run_file.remove(path)
    run_file.remove(path)
    assert run_file.read(path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_api_key_is_random_private_and_stays(tmp_path):
    key = api_key.load_or_make(tmp_path / "a" / "api_key")
    assert key.startswith("kl_")
    assert len(key) == 46
    assert stat.S_IMODE((tmp_path / "a" / "api_key").stat().st_mode) == 0o600
    assert api_key.load_or_make(tmp_path / "a" / "api_key") == key
    assert api_key.load_or_make(tmp_path / "b") != key


def test_a_second_run_in_a_folder_is_told_of_the_first(tmp_path):
    state = State(tmp_path)
    with only_run(state, "demo"):
        with (
            pytest.raises(LocalError, match=rf"running here already \(make demo, pid {os.getpid()}\)"),
            only_run(state, "up"),
        ):
            pass
        with only_run(State(tmp_path / "other"), "up"):
            pass
    with only_run(state, "up"):
        pass


def test_the_last_runs_logs_are_kept_and_none_grows_without_limit(tmp_path, monkeypatch):
    log = tmp_path / "part.log"
    log.write_text("before")
    logs.set_aside(tmp_path)
    assert (tmp_path / "part.log.1").read_text() == "before"
    assert not log.exists()
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 100)
    monkeypatch.setattr(logs, "CHECK_EVERY_S", 0.01)
    stop = threading.Event()
    with log.open("ab") as writer:
        writer.write(b"x" * 60 + b"y" * 60)
        writer.flush()
        keeping = threading.Thread(target=logs.keep_small, args=(tmp_path, stop))
        keeping.start()
        eventually(lambda: log.stat().st_size == 0)
        writer.write(b"goes on")
    stop.set()
    keeping.join()
    assert log.read_bytes() == b"goes on"
    assert (tmp_path / "part.log.1").read_bytes() == b"x" * 10 + b"y" * 60


# Ports


def test_a_taken_port_is_named_with_its_owner_and_the_variable_that_chooses_another():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            LocalError, match=rf"^port {port} is taken by .*pid {os.getpid()}.* \(KEEPLINE_PORT=… chooses another\)$"
        ):
            ports.require_free(port, "KEEPLINE_PORT")
    ports.require_free(port, "KEEPLINE_PORT")


def test_no_free_port_is_given_twice():
    given = [ports.free_port() for _ in range(50)]
    assert len(set(given)) == 50


# Processes

CHILD_WITH_CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(grandchild.pid, flush=True)
time.sleep(60)
"""


def family(tmp_path):
    child = processes.spawn("family", [sys.executable, "-c", CHILD_WITH_CHILD], tmp_path / "log")
    return child, int(eventually(lambda: child.log.read_text().strip()))


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(tmp_path):
    child, grandchild = family(tmp_path)
    child.stop(grace_s=0.1)
    assert not child.alive()
    eventually(lambda: gone(grandchild))


def test_children_of_a_killed_process_are_ended(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from keepline_local import processes; "
        "c = processes.spawn('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)'], Path(sys.argv[1])); "
        "print(c.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "log"], stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    eventually(lambda: gone(pid))


def test_the_keeper_kills_what_does_not_end(tmp_path):
    child, grandchild = family(tmp_path)
    keeper.end({child.pid, 2**22 + 1}, grace_s=0.1)
    assert child.wait(5) == -signal.SIGKILL
    child.clear()
    eventually(lambda: gone(grandchild))


def test_a_child_that_ends_before_it_is_ready_is_an_error_with_its_log(tmp_path):
    child = processes.spawn(
        "part", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], tmp_path / "log"
    )
    with pytest.raises(LocalError, match=r"part ended while it started \(exit code 3\)") as caught:
        processes.wait_ready(child, lambda: False, 10)
    assert caught.value.log_tail == "the reason"
    child.clear()


def test_a_child_that_is_never_ready_is_an_error(tmp_path):
    child = processes.spawn("part", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    with pytest.raises(LocalError, match="not ready within 0 s"):
        processes.wait_ready(child, lambda: False, 0.1)
    child.stop()


# Restarts


def test_restarts_come_later_each_time_up_to_a_limit():
    delays = [restart_delay_s(ends) for ends in range(1, 10)]
    assert delays[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]
    assert set(delays[5:]) == {RESTART_DELAY_MAX_S}


def supervised(tmp_path, program, **options):
    reports = queue.SimpleQueue()
    part = Part(
        "part",
        lambda: Launch([sys.executable, "-c", program]),
        (tmp_path / "ready").exists,
        tmp_path / "log",
        **options,
    )
    supervisor = Supervisor(part, {}, reports)
    supervisor.start()
    return supervisor, reports


def test_a_part_that_is_killed_starts_again_with_a_new_process_id(tmp_path):
    (tmp_path / "ready").touch()
    supervisor, reports = supervised(tmp_path, "import time; time.sleep(60)", restarts=True)
    assert [reports.get(timeout=5).change for _ in range(2)] == [Change.STARTED, Change.READY]
    first = supervisor.child.pid
    os.kill(first, signal.SIGKILL)
    ended = reports.get(timeout=5)
    assert (ended.change, ended.error.sentence) == (Change.ENDED, "part ended (killed by SIGKILL).")
    assert [reports.get(timeout=5).change for _ in range(2)] == [Change.STARTED, Change.HEALED]
    assert supervisor.child.pid != first
    supervisor.stop()
    assert not supervisor.child.alive()
    assert reports.empty()


def test_a_part_that_may_not_be_restarted_ends_the_run_with_its_log(tmp_path):
    (tmp_path / "ready").touch()
    program = "import sys, time; print('disk full', flush=True); sys.stdin.read(); time.sleep(0.3); sys.exit(4)"
    _, reports = supervised(tmp_path, program)
    changes = [reports.get(timeout=5) for _ in range(3)]
    assert [report.change for report in changes] == [Change.STARTED, Change.READY, Change.FAILED]
    assert changes[-1].error.sentence == "part ended (exit code 4)."
    assert changes[-1].error.log_tail == "disk full"


# The demo's phones


def test_each_account_gets_a_number_and_keeps_it():
    hands = Hands()
    scans = [
        hands.look_at("x_a", {"account": "x", "slot": "a", "qr": "1"}),
        hands.look_at("y_a", {"account": "y", "slot": "a", "qr": "2"}),
        hands.look_at("x_b", {"account": "x", "slot": "b", "qr": "3"}),
        hands.look_at("x_a", {"account": "x", "slot": "a", "qr": "4"}),
    ]
    assert [(scan.number, scan.qr) for scan in scans] == [
        ("14155550100", "1"),
        ("14155550101", "2"),
        ("14155550100", "3"),
        ("14155550100", "4"),
    ]


def test_a_code_is_scanned_once_and_none_is_no_code():
    hands = Hands()
    assert hands.look_at("x_a", {"account": "x", "qr": None}) is None
    assert hands.look_at("x_a", {"account": "x", "qr": "1"})
    assert hands.look_at("x_a", {"account": "x", "qr": "1", "state": "scanned"}) is None
    assert hands.look_at("x_a", {"qr": "2"}) is None


class Control(http.server.BaseHTTPRequestHandler):
    """Refuses the first scan."""

    requests: ClassVar[list] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, body))
        scans = [path for path, _ in self.requests if path.endswith("/scan")]
        self.send_response(409 if self.path == "/phones" else 400 if len(scans) == 1 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_failed_scan_is_said_once_and_the_next_code_is_scanned(caplog):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scanner, hands = Scanner(f"http://127.0.0.1:{server.server_port}"), Hands()
        for qr in ("1", "2"):
            scanner.scan(hands.look_at("x_a", {"account": "x", "qr": qr}))
        server.shutdown()
    assert Control.requests == [
        ("/phones", {"number": "14155550100", "name": "Demo 1"}),
        ("/phones/14155550100/scan", {"qr": "1"}),
        ("/phones/14155550100/scan", {"qr": "2"}),
    ]
    assert caplog.text.count("could not scan") == 1


# The console


def a_function(environ, start_response):
    start_response("200 OK", [])
    return [b"function " + environ["PATH_INFO"].encode()]


def test_the_console_is_served_as_firebase_hosting_would(tmp_path):
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("<h1>console</h1>")
    (tmp_path / "public" / "app.js").write_text("1")
    (tmp_path / "secret").write_text("not yours")
    config = {
        "public": "public",
        "rewrites": [
            {"source": "/api/**", "function": {"functionId": "api"}},
            {"source": "/app/**", "destination": "/index.html"},
        ],
        "headers": [{"source": "**", "headers": [{"key": "X-Frame-Options", "value": "DENY"}]}],
    }
    (tmp_path / "firebase.json").write_text(json.dumps({"hosting": config}))
    client = Client(Hosting(tmp_path, {"api": a_function}))
    index = client.get("/")
    assert (index.text, index.mimetype, index.headers["X-Frame-Options"]) == ("<h1>console</h1>", "text/html", "DENY")
    assert client.get("/app.js").mimetype == "text/javascript"
    assert client.get("/api/messages/send").text == "function /api/messages/send"
    assert client.get("/app/deep/link").text == "<h1>console</h1>"
    assert client.get("/none").status_code == 404
    assert client.get("/../secret").status_code == 404
    assert client.get("/%2e%2e/secret").status_code == 404


def test_what_only_a_local_run_has_goes_before_the_files(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "console.json").write_text('{"sign_in": "firebase"}')
    (tmp_path / "web" / "index.html").write_text("<h1>console</h1>")
    own = {"/console.json": Response("own"), "/simulator/": a_function}
    client = Client(Hosting(tmp_path, {}, own))
    assert client.get("/console.json").text == "own"
    assert client.get("/simulator/phones").text == "function /simulator/phones"
    assert client.get("/simulator").status_code == 404
    assert client.get("/").text == "<h1>console</h1>"


def test_what_is_passed_on_comes_back_as_it_comes():
    """The emulator's answers have no end for a minute at a time; their parts must not wait for it."""
    rest = threading.Event()

    def streaming(environ, start_response):
        body = Request(environ).get_data(as_text=True)
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']} {body}"

        def parts():
            yield asked.encode()
            assert rest.wait(10)
            yield b" and the rest"

        start_response("201 CREATED", [("Content-Type", "text/plain"), ("X-Own", environ["HTTP_X_OWN"])])
        return parts()

    server = make_server("127.0.0.1", 0, streaming, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        app = passing_on(f"127.0.0.1:{server.server_port}", without="/simulator")
        answer = Client(app).post("/simulator/faults/a%20b?c=%20d", data="body", headers={"X-Own": "kept"})
        parts = answer.iter_encoded()
        assert next(parts) == b"POST /faults/a b?c=%20d body"
        rest.set()
        assert b"".join(parts) == b" and the rest"
        assert (answer.status_code, answer.headers["X-Own"]) == (201, "kept")
        answer.close()
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_passed_on_to_nobody_is_answered_at_once():
    answer = Client(passing_on(f"127.0.0.1:{free_port()}")).get("/x")
    assert answer.status_code == 502
