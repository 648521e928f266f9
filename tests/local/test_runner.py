"""Whole runs: the real emulators, functions host and simulator, with a stand-in for the connector and small functions."""

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from google.cloud import firestore

from keepline_local.errors import LocalError
from keepline_local.loopback_http import answers
from keepline_local.stack import Stack

from .waiting import eventually, gone

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Points a run at a small checkout of its own and at the stand-in connector."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("functions", "infra", "web"):
        (root / folder).mkdir()
    shutil.copy(HERE / "sample" / "main.py", root / "functions")
    shutil.copy(HERE / "sample" / "functions.json", root / "infra")
    (root / "web" / "index.html").write_text("the console")
    return {"KEEPLINE_ROOT": str(root), "PYTHONPATH": str(HERE / "standin"), "SAMPLE_DIR": str(root)}


def database(monkeypatch, run):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", run.firestore)
    return firestore.Client(project=run.project)


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def all_pids(stack):
    """Of every process of the run, the stand-ins' cells among them."""
    cells = [int(path.read_text()) for path in stack.state.root.glob("*/connector-*/cell.pid")]
    return [*stack.run.pids.values(), *cells]


def test_a_demo_from_start_to_stop(environment, monkeypatch, tmp_path):
    stack = Stack("demo", state_dir=tmp_path, env=environment)
    with stack:
        run = stack.run

        # run.json says all that it promises, to its owner alone
        assert stat.S_IMODE(stack.state.run_json.stat().st_mode) == 0o600
        assert set(run.pids) == {
            "runner",
            "firestore",
            "pubsub",
            "simulator",
            "functions",
            "connector-1",
            "connector-2",
        }
        assert run.pids["runner"] == stack.pid
        assert (run.user_id, run.project) == ("demo", "demo-keepline")

        # everything is where it says
        assert json.loads(get(f"{run.api}/health"))["path"] == "/health"
        assert get(run.console) == "the console"
        assert "control" in json.loads((Path(run.simulator_dir) / "simulator.json").read_text())
        assert all(get(url) == "" for url in run.health.values())

        # the API key is known by its hash
        db = database(monkeypatch, run)
        key = db.document(f"api_keys/{hashlib.sha256(run.api_key.encode()).hexdigest()}").get()
        assert key.get("tenant") == "demo"
        assert key.get("scopes") == ["read", "send", "admin", "operator"]

        # a connector reaches the simulator and trusts it
        environment_of = dict(
            line.split("=", 1)
            for line in (tmp_path / "demo/connector-2/environment").read_text().splitlines()
            if "=" in line
        )
        assert environment_of["KEEPLINE_REGION"] == "local-2"
        assert environment_of["KEEPLINE_UPSTREAM_PROXY"].startswith("http://127.0.0.1:")
        assert Path(environment_of["SSL_CERT_FILE"]).is_file()

        # a code that appears is scanned by the account's phone, and a failure is written down
        for slot, qr in (("a", "no code"), ("b", "none either")):
            db.document(f"pairing/acc_{slot}").set({"account": "acc", "slot": slot, "qr": qr, "state": "pairing"})
        eventually(lambda: "14155550100" in get(f"{run.simulator}/phones"))
        eventually(lambda: "acc: phone 14155550100 could not scan" in stack.log("runner").read_text())

        # a second run in the same place is refused and leaves the first alone
        second = subprocess.run(
            [sys.executable, "-m", "keepline_local", "demo"],
            env={**os.environ, **environment, "KEEPLINE_STATE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert f"running here already (make demo, pid {stack.pid})" in second.stdout

        # what is killed comes back
        for name in ("connector-1", "functions"):
            os.kill(run.pids[name], signal.SIGKILL)
        eventually(lambda: all(stack.run.pids[name] != run.pids[name] for name in ("connector-1", "functions")), 15)
        eventually(
            lambda: answers(run.health["connector-1"]) and answers(f"{run.api}/health"), 15, "health after a restart"
        )
        assert "connector-1 ended (killed by SIGKILL). It is started again." in stack.output()

        pids = all_pids(stack)
    assert not stack.state.run_json.exists()
    assert [pid for pid in pids if not gone(pid)] == []
    assert "drained" in stack.log("connector-1").read_text()
    assert "stopped" in stack.output()


def test_what_up_stores_survives_a_restart_and_nothing_survives_a_killed_runner(environment, monkeypatch, tmp_path):
    with Stack("up", state_dir=tmp_path, env=environment) as stack:
        database(monkeypatch, stack.run).document("things/kept").set({"failures": 0})
        key = stack.run.api_key
        assert stack.run.simulator is None
    with Stack("up", state_dir=tmp_path, env=environment) as stack:
        assert database(monkeypatch, stack.run).document("things/kept").get().exists
        assert stack.run.api_key == key
        pids = all_pids(stack)
        os.kill(stack.pid, signal.SIGKILL)
        eventually(lambda: all(map(gone, pids)), 15, "every process gone")


def test_a_part_that_cannot_start_is_named_with_its_log(environment, tmp_path):
    stack = Stack("up", state_dir=tmp_path, env={**environment, "STANDIN": "broken"})
    with pytest.raises(LocalError, match="ended with 1") as caught, stack:
        pass
    assert "ended while it started (exit code 3)" in caught.value.log_tail
    assert "no such thing as a good start" in caught.value.log_tail
    assert not stack.state.run_json.exists()


def test_a_taken_port_is_named(environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = Stack("up", state_dir=tmp_path, env={**environment, "KEEPLINE_PORT": str(port)})
        with pytest.raises(LocalError) as caught, stack:
            pass
    assert f"port {port} is taken by" in caught.value.log_tail
    assert "(KEEPLINE_PORT=… chooses another)" in caught.value.log_tail
