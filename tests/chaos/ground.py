"""Where faults are done: the running system, who speaks for whom in it, and whether it is whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from google.cloud import firestore

from keepline_local.plan import CONNECTORS as REGIONS
from keepline_local.stack import Stack
from simulator.client import SimulatorClient
from tests.chaos.doubts import emulator
from tests.chaos.killer import CONNECTORS, cells, living
from tests.chaos.truth import Truth
from tests.chaos.watching import Watching, device_of

LOOK_S = 0.05
FLOWING_S = 1.5


@dataclass(frozen=True)
class Device:
    """A linked device, by Keepline's names and by WhatsApp's."""

    account: str
    slot: str
    phone: str

    @property
    def number(self) -> int:
        return device_of(self.slot)


class Ground:
    """`phones`: account → its number. `loaded`: the accounts that messages are sent for all the time."""

    def __init__(
        self, stack: Stack, truth: Truth, watching: Watching, phones: dict[str, str], loaded: list[str], random: Random
    ) -> None:
        assert stack.run.simulator is not None, "the demo has a simulator"
        self.stack = stack
        self.whatsapp = SimulatorClient(stack.run.simulator)
        self.truth = truth
        self.watching = watching
        self.phones = phones
        self.loaded = loaded
        self.random = random

    def devices(self) -> list[Device]:
        return [Device(account, slot, self.phones[account]) for account, slot in sorted(self.watching.devices)]

    def speaker(self, account: str) -> Device:
        """The device that sends for an account at present."""
        return Device(account, self.watching.speakers[account][1], self.phones[account])

    def connector_of(self, device: Device) -> str:
        return self.watching.connector(device.account, device.slot)

    def devices_on(self, connector: str) -> list[Device]:
        return [device for device in self.devices() if self.connector_of(device) == connector]

    def speaks_on(self, connector: str) -> list[str]:
        """The loaded accounts whose sending device is on a connector."""
        return [account for account in self.loaded if self.connector_of(self.speaker(account)) == connector]

    def process(self, connector: str) -> int:
        [pid] = living(self.stack, connector)
        return pid

    def cells(self, connector: str) -> list[int]:
        return cells(self.stack, connector)

    def is_whole(self, since: float, gone: list[Device]) -> bool:
        """Every device is connected, those that a fault has cut off have logged in after it, and messages flow."""
        if any(len(living(self.stack, connector)) != 1 for connector in CONNECTORS):
            return False
        for device in self.devices():
            if self.watching.state(device.account, device.slot) != "connected":
                return False
            if not self.truth.is_here(device.phone, device.number):
                return False
        if any(self.truth.came_at(device.phone, device.number, since) is None for device in gone):
            return False
        now = time.time()
        accepted = [self.truth.accepted[self.phones[account]] for account in self.loaded]
        return all(one and now - one[-1].at < FLOWING_S for one in accepted)

    def wait(self, look: Callable[[], bool], limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while not look():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return True

    def spread(self) -> None:
        """Put the two devices of an account on different connectors again, as an operator would who moves one."""
        holders = {device: self.connector_of(device) for device in self.devices()}
        with emulator(self.stack.run.firestore):
            client = firestore.Client(project=self.stack.run.project)
        for device, holder in holders.items():
            sibling = next((one for one in holders if one.account == device.account and one != device), None)
            if device.slot == "b" and sibling is not None and holders[sibling] == holder:
                other = next(name for name in CONNECTORS if name != holder)
                path = f"accounts/{device.account}/devices/{device.slot}"
                client.document(path).update({"connector": other, "region": REGIONS[other]})
        client.close()  # type: ignore[no-untyped-call]


def send_signal(pid: int, number: signal.Signals, *, group: bool = False) -> None:
    (os.killpg if group else os.kill)(pid, number)
