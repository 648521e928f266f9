"""What Keepline itself says while faults come and go: who may send, and the state of every device. Read where it is written."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.cloud import firestore

from keepline_local.run_file import Run
from tests.chaos.doubts import emulator
from tests.chaos.gaps import Take

CHECK_S = 1.0


@dataclass(frozen=True)
class DeviceSaid:
    """The state of a device at a moment, as Firestore has it. `at`: when it was heard here (Unix time)."""

    at: float
    state: str
    connector: str


class Watching:
    """From its making until `stop`. Accounts and slots are the keys, a slot's device number is the order of linking."""

    def __init__(self, run: Run) -> None:
        self.takes: defaultdict[str, list[Take]] = defaultdict(list)
        self.speakers: dict[str, tuple[str, str, bool]] = {}  # account → connector, slot, given up
        self.moves: defaultdict[str, list[float]] = defaultdict(list)  # when a right to send was given up or moved
        self.devices: defaultdict[tuple[str, str], list[DeviceSaid]] = defaultdict(list)
        self._last_seen: dict[str, float] = {}
        with emulator(run.firestore):
            self._client = firestore.Client(project=run.project)
        self._queries: list[tuple[Any, Callable[..., None]]] = [
            (self._client.collection("send_authority"), self._authorities),
            (self._client.collection_group("devices"), self._states),
        ]
        self._watches = [query.on_snapshot(heard) for query, heard in self._queries]
        self._stopping = threading.Event()
        self._keeping = threading.Thread(target=self._keep, name="watching", daemon=True)
        self._keeping.start()

    def stop(self) -> None:
        self._stopping.set()
        self._keeping.join()
        for watch in self._watches:
            watch.unsubscribe()
        self._client.close()  # type: ignore[no-untyped-call]

    def state(self, account: str, slot: str) -> str:
        said = self.devices.get((account, slot))
        return said[-1].state if said else ""

    def connector(self, account: str, slot: str) -> str:
        said = self.devices.get((account, slot))
        return said[-1].connector if said else ""

    def noticed_at(self, account: str, slot: str, since: float) -> float | None:
        """When Keepline first said, after `since`, that this device does not work, or that it is to send no more."""
        times = [one.at for one in self.devices[account, slot] if one.at > since and one.state != "connected"]
        times += [at for at in self.moves[account] if at > since]
        return min(times, default=None)

    def _authorities(self, documents: list[Any], *_: Any) -> None:
        for document in documents:
            account, fields = document.id, document.to_dict()
            known = self.takes[account]
            if not known or known[-1].generation < fields["generation"]:
                before = self._last_seen.get(account, 0.0)
                known.append(Take(fields["generation"], device_of(fields["slot"]), before))
            self._last_seen[account] = document.update_time.timestamp()
            holder = (fields["connector"], fields["slot"], fields["yielded"])
            if self.speakers.get(account) != holder:
                self.moves[account].append(time.time())
            self.speakers[account] = holder

    def _states(self, documents: list[Any], *_: Any) -> None:
        for document in documents:
            account, fields = document.reference.parent.parent.id, document.to_dict()
            said = self.devices[account, document.id]
            if not said or (said[-1].state, said[-1].connector) != (fields["state"], fields["connector"]):
                said.append(DeviceSaid(time.time(), fields["state"], fields["connector"]))

    def _keep(self) -> None:
        """The client's listener can end by itself; the next one is told at once what stands now."""
        while not self._stopping.wait(CHECK_S):
            for number, (query, heard) in enumerate(self._queries):
                if not self._watches[number].is_active:
                    self._watches[number] = query.on_snapshot(heard)


def device_of(slot: str) -> int:
    """The device number of a slot: the first that is linked is WhatsApp's first."""
    return {"a": 1, "b": 2}[slot]
