"""How a cell hears until when it may speak: over a socket pair of its own, a deadline a packet.

What else goes to a cell can be long, or have to wait for the event loop that writes it or the thread that reads it.
"""

from __future__ import annotations

import socket
import struct

_DEADLINE = struct.Struct("=d")  # seconds of the lease clock, which is one for all processes of a machine


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end, which never waits, and the cell's. Both keep packets apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def encode(deadline_s: float) -> bytes:
    return _DEADLINE.pack(deadline_s)


def receive(end: socket.socket) -> float | None:
    """The next deadline; None when the supervisor is gone."""
    packet = end.recv(_DEADLINE.size)
    return _DEADLINE.unpack(packet)[0] if packet else None
