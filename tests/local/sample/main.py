"""Functions for the tests of the functions host: they write down what reaches them."""

import json
import os
import time
from pathlib import Path

import functions_framework
from flask import Response
from google.events.cloud.firestore import DocumentEventData

MODULE_RUNS = 0
MODULE_RUNS += 1


def _note(kind, /, **facts):
    with (Path(os.environ["SAMPLE_DIR"]) / f"{kind}.jsonl").open("a") as out:
        out.write(json.dumps(facts) + "\n")


@functions_framework.http
def api(request):
    if request.path == "/stream":
        return Response(_slowly(), mimetype="text/event-stream")
    return {
        "path": request.path,
        "method": request.method,
        "runs": MODULE_RUNS,
        "target": os.environ.get("FUNCTION_TARGET"),
    }


def _slowly():
    yield "data: first\n\n"
    until = Path(os.environ["SAMPLE_DIR"]) / "go-on"
    deadline = time.monotonic() + 10
    while not until.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield "data: second\n\n"


@functions_framework.cloud_event
def on_thing_written(event):
    data = DocumentEventData.deserialize(event.data)
    name = data.value.name.rsplit("/", 1)[1]
    tries_file = Path(os.environ["SAMPLE_DIR"]) / f"tries-{name}"
    tries = int(tries_file.read_text()) if tries_file.exists() else 0
    tries_file.write_text(str(tries + 1))
    if tries < data.value.fields["failures"].integer_value:
        raise RuntimeError("not yet")
    _note("things", name=name, id=event["id"], source=event["source"], type=event["type"], document=event["document"])


@functions_framework.cloud_event
def on_tick(event):
    message = event.data["message"]
    _note("ticks", id=event["id"], source=event["source"], type=event["type"], attributes=message["attributes"])
