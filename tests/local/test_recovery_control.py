"""A part that hangs is killed and started again when a signed order says so; nobody else's word restarts anything."""

import json
import os
import queue
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.test import Client

from keepline.domain import webhook_signing
from keepline.domain.webhook_signing import Secret
from keepline_local.recovery_control import RecoveryControl
from keepline_local.supervisor import Change, Launch, Part, Supervisor

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OTHER = Secret("whsec_" + "A" * 32)


class Order:
    """An order as recovery sends it, to a control with the parts `connector-1` and `functions`."""

    def __init__(self):
        self.restarted = []
        parts = {name: lambda hangs, name=name: self.restarted.append((name, hangs)) for name in ("c1", "functions")}
        self.client = Client(RecoveryControl(SECRET, parts))

    def post(self, way="restart", *, name="c1", kind="connector", reason="down", key="k1", secret=SECRET, age_s=0):
        about = {"name": name, "kind": kind, "reason": reason}
        body = json.dumps({"type": f"recovery.{way}", "data": about}).encode()
        sent_at = datetime.now(UTC) - timedelta(seconds=age_s)
        headers = webhook_signing.headers([secret], key, sent_at, body)
        return self.client.post("/recoveries", data=body, headers=headers).status_code


def test_a_signed_order_restarts_the_part_that_the_target_is():
    order = Order()
    assert order.post() == 202
    assert order.post(name="API", kind="api", key="k2") == 202
    assert order.post(reason="degrading", key="k3") == 202
    assert order.restarted == [("c1", True), ("functions", True), ("c1", False)]


def test_a_repeated_order_restarts_nothing_again():
    order = Order()
    assert [order.post(), order.post()] == [202, 202]
    assert order.restarted == [("c1", True)]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"secret": OTHER}, 401),
        ({"age_s": 301}, 401),
        ({"age_s": -301}, 401),
        ({"name": "firestore"}, 404),
        ({"way": "redeploy"}, 501),
        ({"way": "cancel"}, 501),
    ],
)
def test_what_is_not_signed_or_not_offered_restarts_nothing(asked, status):
    order = Order()
    assert order.post(**asked) == status
    assert order.restarted == []


def test_an_unsigned_or_unreadable_request_restarts_nothing():
    order = Order()
    assert order.client.post("/recoveries", data=b"{}").status_code == 401
    assert order.client.get("/recoveries").status_code == 404
    headers = webhook_signing.headers([SECRET], "k", datetime.now(UTC), b"[]")
    assert order.client.post("/recoveries", data=b"[]", headers=headers).status_code == 400
    assert order.restarted == []


def test_a_part_that_hangs_is_killed_and_started_again(tmp_path):
    (tmp_path / "ready").touch()
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    reports = queue.SimpleQueue()
    ready = (tmp_path / "ready").exists
    part = Part("part", lambda: Launch(program), ready, tmp_path / "log", restarts=True, grace_s=60.0)
    supervisor = Supervisor(part, {}, reports)
    supervisor.start()
    assert [reports.get(timeout=5).change for _ in range(2)] == [Change.STARTED, Change.READY]
    first = supervisor.child.pid
    os.kill(first, signal.SIGSTOP)
    supervisor.restart(True)
    changes = [reports.get(timeout=5).change for _ in range(3)]
    assert changes == [Change.ENDED, Change.STARTED, Change.HEALED]
    assert supervisor.child.pid != first
    supervisor.stop()


def test_a_part_that_still_works_is_asked_to_end_first(tmp_path):
    program = [
        *(sys.executable, "-c"),
        "import pathlib, signal, sys, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: ((folder / 'asked').touch(), sys.exit(0)))\n"
        "(folder / 'ready').touch()\n"
        "time.sleep(60)",
    ]
    reports = queue.SimpleQueue()
    part = Part("part", lambda: Launch(program), (tmp_path / "ready").exists, tmp_path / "log", restarts=True)
    supervisor = Supervisor(part, {}, reports)
    supervisor.start()
    assert [reports.get(timeout=5).change for _ in range(2)] == [Change.STARTED, Change.READY]
    supervisor.restart(False)
    assert [reports.get(timeout=5).change for _ in range(3)] == [Change.ENDED, Change.STARTED, Change.HEALED]
    assert (tmp_path / "asked").exists()
    supervisor.stop()
