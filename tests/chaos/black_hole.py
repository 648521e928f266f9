"""A network that has swallowed connections without a word: no reset, no acknowledgement, nothing.

The kernel drops whatever arrives for a socket that has a filter which lets nothing through, before TCP sees it. Filters are set
on the sockets of our own child processes, through copies of their descriptors. It takes no privileges. New connections work, as
after a NAT router has forgotten what it knew.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# linux/filter.h: one instruction, "return 0 bytes of it".
_RETURN_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)
_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_PIDFD_GETFD = 438
_ESTABLISHED = "01"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Connection:
    """An established TCP connection of a process, by its ports on this machine."""

    pid: int
    descriptor: int
    local: int
    remote: int


def connections(pid: int) -> list[Connection]:
    """The established TCP connections of a process; none if it has ended."""
    try:
        descriptors = {_link(entry): int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        ]
    except OSError:
        return []
    found = []
    for fields in lines:
        descriptor = descriptors.get(f"socket:[{fields[9]}]")
        if descriptor is not None and fields[3] == _ESTABLISHED:
            local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            found.append(Connection(pid, descriptor, local, remote))
    return found


def swallow(pids: Iterable[int], far_end: int, which: Callable[[Connection], bool] = lambda _: True) -> int:
    """Make the connections between these processes and another one dead on both sides. How many there were."""
    near = [one for pid in pids for one in connections(pid)]
    far = {(one.local, one.remote): one for one in connections(far_end)}
    pairs = [(one, far[one.remote, one.local]) for one in near if (one.remote, one.local) in far and which(one)]
    for ends in pairs:
        for end in ends:
            with _copy(end) as copy:
                let_nothing_through(copy)
    return len(pairs)


def _link(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


@contextmanager
def _copy(connection: Connection) -> Iterator[socket.socket]:
    """Closed at once: while a copy is open, the process cannot end the connection."""
    process = os.pidfd_open(connection.pid)
    try:
        descriptor = _libc.syscall(_PIDFD_GETFD, process, connection.descriptor, 0)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        with socket.socket(fileno=descriptor) as copy:
            yield copy
    finally:
        os.close(process)


def let_nothing_through(copy: socket.socket) -> None:
    """From now on nothing that arrives for this socket reaches it."""
    instruction = ctypes.create_string_buffer(_RETURN_NOTHING)
    program = struct.pack("@HxxxxxxP", 1, ctypes.addressof(instruction))
    copy.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def let_everything_through(copy: socket.socket) -> None:
    copy.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
