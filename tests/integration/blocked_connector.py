"""The demo's connector, whose event loop can be held up from outside: by SIGUSR1 for a moment, by SIGUSR2 for long.

Python runs a signal's handler in the main thread, wherever its event loop is: it does nothing else until the handler returns.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from keepline_connector import app

SHORT_S = 2.5
LONG_S = 14.0


def hold_up(number: int, _: FrameType | None) -> None:
    time.sleep(SHORT_S if number == signal.SIGUSR1 else LONG_S)


if __name__ == "__main__":
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, hold_up)
    app.main(cell_module="keepline_local.simulated_cell")
