"""Starting a cell's process. It needs next to nothing imported, so that the first cell loads the library while the supervisor
still loads its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class CellProcess:
    """A process that inherits one end of a socket pair, and ends when the other end (`socket`) closes."""

    def __init__(self, module: str) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, "--fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
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

    def rss_mb(self) -> float:
        """Its resident memory in MB (proc(5), statm: the second field, in pages); 0 when it is gone."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return 0.0
        return pages * _PAGE_BYTES / 1e6

    def kill(self) -> None:
        self._process.kill()
