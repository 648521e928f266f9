"""What a container platform does for the baseline gateway, and the person who scans its QR codes.

Docker's `restart: always` starts a process that ended again, on the same disk. A deploy is a new container: SIGTERM, ten seconds
at most, and an empty disk, as it is without a volume. The simulated phone scans a QR code at once; a person would have to notice
first that there is one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from keepline_local.ports import free_port
from simulator import trust
from simulator.client import SimulatorClient
from simulator.errors import SimulatorError

# Docker begins with a tenth of a second and doubles; the images of such gateways take a second and more to start besides.
RESTART_PAUSE_S = 1.0
STOP_LIMIT_S = 10.0
LOOK_S = 0.05


class Container:
    """One number's. `links`: how often a phone has scanned a code for it."""

    def __init__(self, phone: str, simulator: Path, control: str, folder: Path, webhook: str) -> None:
        self.phone = phone
        self.api = f"http://127.0.0.1:{(port := free_port())}"
        self.links = 0
        self._port = port
        self._simulator = simulator
        self._whatsapp = SimulatorClient(control)
        self._folder = folder
        self._webhook = webhook
        self._disks = 0
        self._process: subprocess.Popen[str] | None = None
        self._not_before_s = 0.0
        self._wanted = threading.Event()
        self._scanning = threading.Lock()
        self._changing = threading.RLock()

    def start(self) -> None:
        self._wanted.set()
        self._launch()
        threading.Thread(target=self._supervise, name=f"container {self.phone}", daemon=True).start()

    def stop(self) -> None:
        self._wanted.clear()
        with self._changing:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int | None:
        """None while it is away."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def signal(self, number: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, number)

    def lose(self, seconds: float) -> None:
        """Its machine is gone for so long."""
        with self._changing:
            self._not_before_s = time.monotonic() + seconds
            self.signal(signal.SIGKILL)

    def deploy(self) -> None:
        """A new container in the place of this one."""
        with self._changing:
            process = self._process
            assert process is not None
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._disks += 1
            self._launch()

    def _launch(self) -> None:
        script = Path(__file__).with_name("gateway.py")
        command = (
            *(sys.executable, str(script), "--simulator", str(self._simulator), "--port", str(self._port)),
            *("--disk", str(self._folder / f"disk-{self._disks}"), "--webhook", self._webhook),
        )
        with (self._folder / "gateway.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**os.environ, **trust.environment(self._simulator)},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._process = process
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        scanned = False
        for line in process.stdout:
            # The library prints lines of its own to the same place. One code is enough: the others are for who was too slow.
            if not scanned and line.startswith('{"qr"'):
                with self._scanning, contextlib.suppress(SimulatorError):
                    self._whatsapp.scan(self.phone, json.loads(line)["qr"])
                    self.links += 1
                    scanned = True

    def _supervise(self) -> None:
        while self._wanted.is_set():
            time.sleep(LOOK_S)
            with self._changing:
                if self.pid is None and self._wanted.is_set() and time.monotonic() >= self._not_before_s:
                    time.sleep(RESTART_PAUSE_S)
                    self._launch()
