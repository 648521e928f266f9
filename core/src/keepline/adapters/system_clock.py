"""The clock of this machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime

# CLOCK_MONOTONIC goes on under SIGSTOP but stands still during a suspend; CLOCK_BOOTTIME counts that time as well (Linux,
# clock_gettime(2)). Both are one clock for all processes of a machine, so a supervisor's deadline means the same in its cells.
# A virtual machine that is frozen from outside may see neither go on; against that there is only the generation in Firestore.
MONOTONIC_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Real time. Leases are judged by `monotonic_s`: it goes on while the process is stopped or the machine suspended."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.clock_gettime(MONOTONIC_CLOCK)
