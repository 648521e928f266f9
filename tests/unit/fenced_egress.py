"""An egress in a process of its own, to be stopped and let go on. Arguments: upstream, seconds of lease, `last_resort`."""

from __future__ import annotations

import sys
import threading

from keepline.adapters.system_clock import SystemClock
from keepline_connector.cell.egress import Egress
from keepline_connector.cell.fence import Fence
from keepline_connector.cell.last_resort import LastResort

if __name__ == "__main__":
    upstream, seconds, *rest = sys.argv[1:]
    egress = Egress(Fence(SystemClock().monotonic_s() + float(seconds)), LastResort() if rest else None)
    proxy = egress.open("device", lambda kind, age_ms: None)
    egress.route("device", upstream, public_only=False)
    print(proxy, flush=True)
    threading.Event().wait()
