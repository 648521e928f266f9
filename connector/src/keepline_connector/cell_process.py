"""Starting a cell's process. It needs next to nothing imported, so that the first cell loads the library while the supervisor
still loads its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from keepline_connector import lease_wire

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class CellProcess:
    """A process that inherits one end of a socket pair, and ends when the other end (`socket`) closes.

    How long the lease holds it hears over another pair, so that no command or answer is ever in the way of that.
    """

    def __init__(self, module: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._lease_socket, their_lease = lease_wire.pair()
        self._renewing = threading.Lock()
        with theirs, their_lease:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, "--fd", str(theirs.fileno()), "--lease-fd", str(their_lease.fileno())],
                pass_fds=(theirs.fileno(), their_lease.fileno()),
                stdin=subprocess.DEVNULL,
                # The library prints QR texts and numbers to stdout; nothing of ours goes there.
                stdout=subprocess.DEVNULL,
                env={**os.environ, "NEONIZE_BOT_TAG": "off"},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def renew(self, deadline_s: float) -> None:
        """Move the moment after which nothing leaves the process. Never waits; from any thread."""
        with (
            self._renewing,
            contextlib.suppress(OSError),
        ):  # It has ended, or takes nothing any more, and its fence falls.
            self._lease_socket.send(lease_wire.encode(deadline_s))

    def forget(self) -> None:
        """It has ended, and is told nothing any more."""
        with self._renewing:
            self._lease_socket.close()

    def rss_mb(self) -> float:
        """Its resident memory in MB (proc(5), statm: the second field, in pages); 0 when it is gone."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return 0.0
        return pages * _PAGE_BYTES / 1e6

    def kill(self) -> None:
        self._process.kill()
