"""A small synchronous client of the control API, for tests and scripts in other processes. Standard library only."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from simulator.client_content import ContentClient
from simulator.errors import SimulatorError
from simulator.faults.model import Fault, Kind

T = TypeVar("T")


class SimulatorClient(ContentClient):
    """Speaks to a simulator's control API; errors of the API are raised as `SimulatorError` with its code."""

    def __init__(self, control: str = "http://127.0.0.1:8090", timeout: float = 30.0) -> None:
        self.control = control
        self._address = urlsplit(control).netloc
        self._timeout = timeout
        # One connection per thread: http.client's may not be shared.
        self._local = threading.local()

    @classmethod
    def from_folder(cls, folder: str | Path, timeout: float = 30.0) -> SimulatorClient:
        """The simulator that wrote `simulator.json` into a folder; waits until it is ready."""
        path = Path(folder, "simulator.json")
        about = wait_for(lambda: json.loads(path.read_text()) if path.exists() else None, timeout, f"{path} to appear")
        return cls(about["control"], timeout)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, path, data, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                payload: dict[str, Any] = json.loads(reply.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # A kept connection may have been closed while idle; a fresh one is tried once.
                self.close()
                if attempt == 2 or method != "GET":
                    raise
                continue
            except Exception:
                self.close()
                raise
            if reply.status >= 400:
                error = payload["error"]
                raise SimulatorError(error["code"], error["message"], error["hint"], reply.status)
            return payload
        raise AssertionError("unreachable")

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._address, timeout=self._timeout)
        return connection

    def close(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    # The service

    def health(self) -> dict[str, Any]:
        return self.call("GET", "/health")

    def stats(self) -> dict[str, Any]:
        return self.call("GET", "/stats")

    def log(self, since: int = 0, kind: str | None = None) -> tuple[list[dict[str, Any]], int]:
        """Events after a cursor, and the cursor for the next call."""
        query = {"since": str(since)} | ({"kind": kind} if kind else {})
        answer = self.call("GET", f"/log?{urlencode(query)}")
        return answer["events"], answer["cursor"]

    def drop_connections(self, number: str | None = None, device: int | None = None) -> int:
        body = {key: value for key, value in (("number", number), ("device", device)) if value is not None}
        return int(self.call("POST", "/connections/drop", body)["dropped"])

    # Faults

    def add_fault(
        self,
        kind: Fault | Kind | str,
        target: dict[str, Any] | None = None,
        when: dict[str, Any] | None = None,
        **options: Any,
    ) -> int:
        """Lets a fault stand; gives its id. Either a `Fault`, or its parts in the words of `POST /faults`."""
        if isinstance(kind, Fault):
            body = kind.as_json()
        else:
            body = {"kind": str(kind), "target": target or {}, "when": when or {}, **options}
        return int(self.call("POST", "/faults", body)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Every fault with its id, state and hits."""
        return list(self.call("GET", "/faults")["faults"])

    def clear_faults(self, fault_id: int | None = None) -> int:
        return int(self.call("DELETE", "/faults" if fault_id is None else f"/faults/{fault_id}")["cleared"])

    def rates(self) -> dict[str, Any]:
        """The rate policy (`policy` None: there is none), each account's counts, and the totals."""
        return self.call("GET", "/rates")

    def set_rates(self, **policy: Any) -> dict[str, Any]:
        """Judges accounts by a rate policy from now on; what is not named keeps its default."""
        return self.call("POST", "/rates", policy)

    def end_rates(self) -> None:
        self.call("DELETE", "/rates")

    def bans(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/bans")["bans"])

    def lift_bans(self, number: str | None = None) -> int:
        return int(self.call("DELETE", "/bans" if number is None else f"/bans/{quote(number)}")["lifted"])

    # Phones

    def phones(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/phones")["phones"])

    def add_phone(self, number: str, name: str = "") -> dict[str, Any]:
        return self.call("POST", "/phones", {"number": number, "name": name})

    def scan(self, number: str, qr: str) -> dict[str, Any]:
        """Links the device that shows a QR code; gives its jid, lid and device number."""
        return self.call("POST", f"/phones/{quote(number)}/scan", {"qr": qr})

    def inbox(self, number: str, ids: list[str] | None = None) -> list[dict[str, Any]]:
        """What a phone received and decrypted; with `ids` only those messages, as far as they are there."""
        query = "" if ids is None else "?" + urlencode({"ids": ",".join(ids)})
        return list(self.call("GET", f"/phones/{quote(number)}/inbox{query}")["messages"])

    def sent_copies(self, number: str) -> list[dict[str, Any]]:
        """What a phone knows of messages that its number's linked devices sent."""
        return list(self.call("GET", f"/phones/{quote(number)}/inbox")["sent"])

    def send(self, number: str, to: str, text: str, **fields: Any) -> str:
        """A phone sends a text (`quote`: the id of the message it answers, `mentions`: numbers, …); gives the message's id."""
        return self.post(number, "text", to=to, text=text, **fields)

    def send_receipts(self, number: str, message_ids: list[str], kind: str = "read") -> None:
        self.call("POST", f"/phones/{quote(number)}/receipts", {"message_ids": message_ids, "type": kind})

    def receipts(self, number: str) -> list[dict[str, Any]]:
        """Receipts that came to a phone for its number's messages."""
        return list(self.call("GET", f"/phones/{quote(number)}/receipts")["receipts"])

    def devices(self, number: str) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/phones/{quote(number)}/devices")["devices"])

    def unlink(self, number: str, device: int) -> None:
        self.call("DELETE", f"/phones/{quote(number)}/devices/{device}")


def wait_for(probe: Callable[[], T | None], timeout: float = 10.0, what: str = "a condition") -> T:
    """The first truthy value of a probe, tried every 10 ms; TimeoutError says what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.01)
