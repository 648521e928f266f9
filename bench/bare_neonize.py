"""neonize called directly, as a program without a gateway would: the yardstick of `make bench`.

Started by accept_to_wire.py in a process of its own (neonize starts a Go runtime). Links by the QR code it prints as a JSON line,
then sends a text for every line on its standard input and answers `{"id", "called_at"}`, the time in Unix seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from neonize._binder import ProxySettings
from neonize.client import NewClient
from neonize.events import ConnectedEv
from neonize.utils.jid import build_jid

from simulator import trust

CONNECT_LIMIT_S = 30.0


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulator", type=Path, required=True, help="the simulator's folder")
    parser.add_argument("--store", type=Path, required=True, help="the SQLite file of the client")
    parser.add_argument("--to", required=True, help="the number to write to")
    arguments = parser.parse_args()
    about = json.loads((arguments.simulator / "simulator.json").read_text())
    trust.trust_this_simulator((arguments.simulator / "noise_root.hex").read_text())

    connected = threading.Event()
    # The same store settings as the connector's (connector/…/cell/store.py), so that only the gateway makes the difference.
    dsn = f"{arguments.store}?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_foreign_keys=on&z="
    client = NewClient(dsn, uuid="bare")
    client.qr(lambda _, qr: say(qr=qr.decode()))
    client.event(ConnectedEv)(lambda _, __: connected.set())
    proxy = ProxySettings(proxy_address=about["proxy"])
    threading.Thread(target=lambda: client.connect(proxy), daemon=True).start()
    if not connected.wait(CONNECT_LIMIT_S):
        say(error="not connected in time")
        os._exit(1)
    say(connected=True)
    for line in sys.stdin:
        called_at = time.time()
        response = client.send_message(build_jid(arguments.to), line.rstrip("\n"))
        say(id=response.ID, called_at=called_at)
    os._exit(0)  # The library's threads are not daemons.


main()
