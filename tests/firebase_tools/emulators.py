"""firebase-tools' emulators of Hosting and Authentication, on free ports, with the repository's firebase.json.

Two things of that file are changed in the copy that they get. The ports. And a rewrite to a function becomes one to its Cloud
Run service, which a function of the second generation is: without its own emulator of functions, which cannot run ours,
firebase-tools would send a function's requests to the cloud, while it asks an address that can be set where a service answers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import requests

from keepline_local.ports import LOOPBACK, free_port
from tests.functions.google_stand_in import GoogleStandIn

ROOT = Path(__file__).parents[2]
COMMAND = Path(__file__).parent / "node_modules" / ".bin" / "firebase"
READY_LIMIT_S = 120.0
STOP_LIMIT_S = 20.0
_POLL_S = 0.2


def with_services(firebase_json: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    """firebase.json with its rewrites to services, and with these ports."""
    hosting = firebase_json["hosting"]
    rewrites = [
        {
            "source": one["source"],
            "run": {"serviceId": one["function"]["functionId"], "region": one["function"]["region"]},
        }
        for one in hosting["rewrites"]
    ]
    emulators = {name: {"host": LOOPBACK, "port": port} for name, port in ports.items()}
    return {
        "hosting": {**hosting, "rewrites": rewrites},
        "emulators": {"singleProjectMode": True, "ui": {"enabled": False}, **emulators},
    }


class Emulators:
    """Running from `start` until `stop`. `auth` can be had before: whoever checks tokens must know it first."""

    def __init__(self, folder: Path, project: str) -> None:
        self._folder = folder
        self._project = project
        self._ports = {name: free_port() for name in ("hosting", "auth", "hub", "logging")}
        self._log = folder / "firebase-tools.log"
        self._cloud_run: GoogleStandIn | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def auth(self) -> str:
        return f"{LOOPBACK}:{self._ports['auth']}"

    @property
    def console(self) -> str:
        return f"http://{LOOPBACK}:{self._ports['hosting']}"

    def start(self, api: str) -> None:
        """`api`: where the function `api` answers."""
        config = json.loads((ROOT / "firebase.json").read_text())
        (self._folder / "firebase.json").write_text(json.dumps(with_services(config, self._ports)))
        (self._folder / "web").symlink_to(ROOT / "web")
        service = json.dumps({"status": {"url": api}}).encode()
        self._cloud_run = GoogleStandIn(lambda _body: (200, service))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(COMMAND), "emulators:start", "--only", "hosting,auth", "--project", self._project],
                cwd=self._folder,
                # A home of its own: no login, no settings, no word to Google about its use.
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self._folder),
                    "CI": "true",
                    "METADATA_SERVER_DETECTION": "none",  # It would look for a machine of Google's for most of a minute.
                    "CLOUD_RUN_API_URL": f"http://{self._cloud_run.host}",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_LIMIT_S
        while not (self._answers(self.console + "/console.json") and self._answers(f"http://{self.auth}/")):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(_POLL_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._cloud_run is not None:
            self._cloud_run.stop()

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            return requests.get(url, timeout=2, proxies={"http": ""}).ok
        except requests.ConnectionError:
            return False
