"""Starting a cell's process. It needs next to nothing imported, so that the first cell loads the library while the supervisor
still loads its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys


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

    def kill(self) -> None:
        self._process.kill()
