"""The functions host with Google's own emulators: events reach the functions, and come again after a failure."""

import json
import os
import sys
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.cloud import firestore, pubsub_v1

from keepline_local import processes, scheduler
from keepline_local.emulators import firestore_emulator, pubsub_emulator
from keepline_local.eventarc.policy import RedeliveryPolicy
from keepline_local.eventarc.service import Eventarc
from keepline_local.functions_table import load
from keepline_local.loopback_http import answers
from keepline_local.ports import free_port

from .waiting import eventually

SAMPLE = Path(__file__).parent / "sample"
PROJECT = "demo-functions-host"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def start_host(cloud):
    child = processes.spawn(
        "functions",
        [
            *(sys.executable, "-m", "keepline_local.functions_host", "--console-port", str(cloud.console)),
            *("--api-port", str(cloud.api), "--events-port", str(cloud.functions)),
            *("--table", str(SAMPLE / "functions.json"), "--source", str(SAMPLE / "main.py")),
        ],
        cloud.folder / "functions.log",
        env=cloud.env,
    )
    processes.wait_ready(child, lambda: answers(f"http://127.0.0.1:{cloud.functions}"), limit_s=30)
    return child


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions-host")
    events, functions = free_port(), free_port()
    with firestore_emulator(functions=f"127.0.0.1:{events}") as fs, pubsub_emulator() as ps:
        env = {
            "KEEPLINE_PROJECT": PROJECT,
            "FIRESTORE_EMULATOR_HOST": fs,
            "PUBSUB_EMULATOR_HOST": ps,
            "SAMPLE_DIR": str(folder),
        }
        cloud = SimpleNamespace(
            events=events, functions=functions, api=free_port(), console=free_port(), folder=folder, env=env, child=None
        )
        cloud.child = start_host(cloud)
        cloud.eventarc = Eventarc(
            *(PROJECT, load(SAMPLE / "functions.json"), folder / "events.sqlite", events),
            lambda name: f"http://127.0.0.1:{functions}/{name}",
            RedeliveryPolicy(delay_first_s=0.1),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FIRESTORE_EMULATOR_HOST", fs)
            patch.setenv("PUBSUB_EMULATOR_HOST", ps)
            cloud.eventarc.register(fs, ps)
            cloud.eventarc.register(fs, ps)  # a second time does no harm
            cloud.db = firestore.Client(project=PROJECT)
            yield cloud
        cloud.eventarc.stop()
        cloud.child.stop()


def notes(cloud, name):
    file = cloud.folder / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def things(cloud, name):
    return [note for note in notes(cloud, "things") if note["name"] == name]


def test_a_written_document_reaches_its_function_as_the_cloud_would_send_it(cloud):
    cloud.db.document("things/plain").set({"failures": 0})
    [note] = eventually(lambda: things(cloud, "plain"))
    assert note["source"] == f"//firestore.googleapis.com/projects/{PROJECT}/databases/(default)"
    assert note["type"] == "google.cloud.firestore.document.v1.written"
    assert note["document"] == "things/plain"


def test_an_event_whose_function_failed_is_delivered_again(cloud):
    cloud.db.document("things/stubborn").set({"failures": 2})
    eventually(lambda: things(cloud, "stubborn"))
    assert (cloud.folder / "tries-stubborn").read_text() == "3"


def test_an_event_that_comes_while_the_functions_host_is_down_is_delivered_when_it_is_back(cloud):
    cloud.child.popen.kill()
    cloud.child.wait(5)
    cloud.child.clear()
    cloud.db.document("things/survivor").set({"failures": 0})
    eventually(lambda: cloud.eventarc.pending()["thing-written"] == 1)
    cloud.child = start_host(cloud)
    eventually(lambda: things(cloud, "survivor"))
    eventually(lambda: cloud.eventarc.pending() == {"thing-written": 0, "tick": 0})


def test_a_message_on_a_topic_is_pushed_to_its_function(cloud):
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path(PROJECT, "tick")
    message_id = publisher.publish(topic, b"{}", scheduled_at="2026-01-01T00:00:30Z").result(timeout=10)
    [note] = eventually(lambda: [note for note in notes(cloud, "ticks") if note["id"] == message_id])
    assert note["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert note["source"] == f"//pubsub.googleapis.com/projects/{PROJECT}/topics/tick"
    assert note["attributes"] == {"scheduled_at": "2026-01-01T00:00:30Z"}
    publisher.stop()


def test_the_scheduler_reaches_a_scheduled_function(cloud, monkeypatch):
    at = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    stop = threading.Event()

    class DueNow(scheduler.Schedule):
        def wait_s(self, now):
            return 0.0

        def take(self, now):
            stop.set()
            return super().take(at)

    monkeypatch.setattr(scheduler, "Schedule", lambda functions, now: DueNow(functions, at - timedelta(seconds=1)))
    scheduler.run(load(SAMPLE / "functions.json"), PROJECT, stop)
    eventually(
        lambda: [n for n in notes(cloud, "ticks") if n["attributes"] == {"scheduled_at": "2026-01-01T00:01:00Z"}]
    )


def test_the_api_is_served_at_the_root_with_an_environment_of_its_own(cloud):
    answer = json.loads(get(f"http://127.0.0.1:{cloud.api}/api/anything"))
    assert answer == {"path": "/api/anything", "method": "GET", "runs": 1, "target": None}


def test_a_stream_arrives_while_it_is_made(cloud):
    with urllib.request.urlopen(f"http://127.0.0.1:{cloud.api}/stream", timeout=5) as answer:
        assert answer.readline() == b"data: first\n"
        (cloud.folder / "go-on").touch()
        assert answer.read() == b"\ndata: second\n\n"


def test_an_event_for_no_function_is_refused(cloud):
    request = urllib.request.Request(f"http://127.0.0.1:{cloud.events}/push/thing-written", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request, timeout=5)


def test_the_host_says_why_it_cannot_start(cloud):
    child = processes.spawn(
        "functions",
        [
            *(sys.executable, "-m", "keepline_local.functions_host", "--api-port", "1", "--events-port", "1"),
            *("--table", str(cloud.folder / "none.json")),
        ],
        cloud.folder / "broken.log",
        env=cloud.env,
    )
    started = time.monotonic()
    assert child.wait(20) == 1
    child.clear()
    assert "none.json is not a table of functions" in child.tail()
    assert time.monotonic() - started < 20
    assert os.environ["FIRESTORE_EMULATOR_HOST"]
