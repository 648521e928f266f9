"""Ports on the loopback interface: which are free, and who holds one that is not."""

from __future__ import annotations

import random
import socket
from contextlib import closing
from pathlib import Path

from keepline_local.errors import LocalError

LOOPBACK = "127.0.0.1"

# Below the range from which the kernel takes ports for outgoing connections (32768 and up on Linux), so that no connection
# made between choosing a port and listening on it can take it away.
FREE_PORT_MIN = 20_000
FREE_PORT_MAX = 32_000
FREE_PORT_TRIES_MAX = 200

_given: set[int] = set()


def is_free(port: int) -> bool:
    """True if a server could listen on this loopback port now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        # As servers do: a port in TIME_WAIT counts as free, one with a listener does not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A loopback port that is free now and was not given out before in this process."""
    for _ in range(FREE_PORT_TRIES_MAX):
        port = random.randint(FREE_PORT_MIN, FREE_PORT_MAX)  # noqa: S311 - nothing is kept secret by it
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise LocalError(f"No free port between {FREE_PORT_MIN} and {FREE_PORT_MAX} after {FREE_PORT_TRIES_MAX} tries.")


def require_free(port: int, variable: str) -> None:
    """Raise `LocalError` naming the port, its owner if that can be seen, and the variable that chooses another."""
    if is_free(port):
        return
    owner = _owner(port)
    by = f" by {owner}" if owner else ""
    raise LocalError(f"port {port} is taken{by} ({variable}=… chooses another)")


def _owner(port: int) -> str:
    """`name (pid N)` of the process listening on a loopback port; empty where the system does not tell."""
    inode = _listener_inode(port)
    if inode is None:
        return ""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(fd.readlink()) == wanted for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # another user's process, or one that has just ended
    return ""


def _listener_inode(port: int) -> str | None:
    listening = "0A"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == listening and int(fields[1].rsplit(":", 1)[1], 16) == port:
                return fields[9]
    return None
