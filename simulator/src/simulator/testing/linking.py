"""What nearly every test with a neonize client begins with."""

from __future__ import annotations

from typing import Any

from simulator.client import SimulatorClient
from simulator.testing.neonize_client import Handle


def link(control: SimulatorClient, client: Handle, number: str, name: str = "") -> dict[str, Any]:
    """Makes the phone if need be, scans the code that a client shows, and waits until the client is connected and has what
    a new device gets (history, the key of the app state); gives the device's jid, lid and device number."""
    if number not in {phone["number"] for phone in control.phones()}:
        control.add_phone(number, name)
    mark = client.mark()
    linked = control.scan(number, client.wait("qr")["qr"])
    client.wait("connected", after=mark)
    client.wait("offline_done", after=mark)
    client.wait("history", after=mark)
    return linked
