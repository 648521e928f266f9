"""The demo's hands: a simulated phone for each account, which scans every QR code that appears."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

from keepline_local import loopback_http

FIRST_NUMBER = 14155550100
ACCOUNTS_MAX = 10_000  # numbers up to 14155560099, all of one made-up exchange
LISTEN_CHECK_S = 1.0
SWEEP_EVERY_CHECKS = 5
QUERY_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scan:
    """A phone is to scan a code."""

    number: str
    account: str
    qr: str


class Hands:
    """Decides which phone scans what. Pure: documents go in, scans come out."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}
        self._seen: dict[str, str] = {}

    def look_at(self, document: str, fields: dict[str, Any]) -> Scan | None:
        """The scan that a pairing document asks for: each code once, the same number for all of an account's devices."""
        account, qr = fields.get("account"), fields.get("qr")
        if not isinstance(account, str) or not isinstance(qr, str) or not qr or self._seen.get(document) == qr:
            return None
        if account not in self._numbers and len(self._numbers) >= ACCOUNTS_MAX:
            return None
        self._seen[document] = qr
        number = self._numbers.setdefault(account, str(FIRST_NUMBER + len(self._numbers)))
        return Scan(number, account, qr)


class Scanner:
    """Does the scans through the simulator's control API."""

    def __init__(self, control: str) -> None:
        self._control = control
        self._phones: set[str] = set()
        self._failing: set[str] = set()

    def scan(self, scan: Scan) -> None:
        """Scan once; a failure is said once per account, and the account's next code is the next try."""
        try:
            self._phone(scan.number)
            answer = loopback_http.request("POST", f"{self._control}/phones/{scan.number}/scan", {"qr": scan.qr})
            problem = "" if answer.status < 300 else f"{answer.status} {answer.text}"
        except loopback_http.NoAnswerError as error:
            problem = str(error)
        if problem:
            if scan.account not in self._failing:
                _log.warning("%s: phone %s could not scan: %s", scan.account, scan.number, problem)
            self._failing.add(scan.account)
        else:
            _log.info("%s: phone %s scanned", scan.account, scan.number)
            self._failing.discard(scan.account)

    def _phone(self, number: str) -> None:
        if number in self._phones:
            return
        answer = loopback_http.request(
            "POST", f"{self._control}/phones", {"number": number, "name": f"Demo {int(number) - FIRST_NUMBER + 1}"}
        )
        if answer.status < 300 or answer.status == 409:  # 409: it is there, from before this task was restarted
            self._phones.add(number)


def run(project: str, control: str, stop: threading.Event) -> None:
    """Scan until `stop` is set. The Firestore client finds the emulator by FIRESTORE_EMULATOR_HOST."""
    from google.cloud import firestore  # half a second to import: while the emulator starts, not before

    db = firestore.Client(project=project)
    pairing = db.collection("pairing")
    hands, scanner = Hands(), Scanner(control)
    changed = threading.Event()
    checks = 0
    # The callback only wakes this thread: a listener whose callback raises is dead without a word.
    watch = pairing.on_snapshot(lambda *_: changed.set())
    try:
        while not stop.is_set():
            woken = changed.wait(LISTEN_CHECK_S)
            changed.clear()
            checks += 1
            if not watch.is_active:
                watch = pairing.on_snapshot(lambda *_: changed.set())
            if not woken and checks % SWEEP_EVERY_CHECKS:
                continue
            for snapshot in pairing.stream(timeout=QUERY_TIMEOUT_S):
                scan = hands.look_at(snapshot.id, snapshot.to_dict() or {})
                if scan is not None and not stop.is_set():
                    scanner.scan(scan)
    finally:
        watch.unsubscribe()  # type: ignore[no-untyped-call]
        db.close()  # type: ignore[no-untyped-call]
