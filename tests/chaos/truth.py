"""WhatsApp's side while faults come and go: what it accepted from whom, and which devices came and went."""

from __future__ import annotations

import threading
from collections import defaultdict

from simulator.client import SimulatorClient
from tests.chaos.gaps import Acceptance

LOOK_S = 0.1


class Truth:
    """From its making until `stop`. Numbers are the keys; times are the simulator's, which is this machine's clock."""

    def __init__(self, control: str) -> None:
        self.accepted: defaultdict[str, list[Acceptance]] = defaultdict(list)
        self.comings: defaultdict[tuple[str, int], list[tuple[float, str]]] = defaultdict(list)
        self.attempts: list[float] = []
        """When somebody tried to connect while that was refused, or did connect."""
        self._whatsapp = SimulatorClient(control)
        self._cursor = 0
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._reading = threading.Thread(target=self._read, name="truth", daemon=True)
        self._reading.start()

    def stop(self) -> None:
        self._stopping.set()
        self._reading.join()
        self.look()

    def look(self) -> None:
        """Read on, to the end."""
        with self._looking:
            while True:
                events, self._cursor = self._whatsapp.log(self._cursor)
                for event in events:
                    self._take(event)
                if not events:
                    return

    def is_here(self, number: str, device: int) -> bool:
        comings = self.comings[number, device]
        return bool(comings) and comings[-1][1] == "login"

    def came_at(self, number: str, device: int, since: float) -> float | None:
        """When the device logged in for the first time after `since`."""
        return next((at for at, kind in self.comings[number, device] if at > since and kind == "login"), None)

    def _read(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def _take(self, event: dict[str, object]) -> None:
        at, kind = float(str(event["at"])), str(event["kind"])
        if kind == "accepted" and event.get("from_device"):
            number, device = str(event["from"]), int(str(event["from_device"]))
            self.accepted[number].append(Acceptance(at, device, str(event["id"])))
        elif kind in ("login", "disconnected"):
            self.comings[str(event["number"]), int(str(event["device"]))].append((at, kind))
            if kind == "login":
                self.attempts.append(at)
        elif kind == "fault" and event.get("stanza") == "connect":
            self.attempts.append(at)
