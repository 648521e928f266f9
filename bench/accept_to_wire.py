"""How long a message waits in an idle Keepline: from its 202 to its stanza at WhatsApp, beside neonize called directly.

Runs the whole demo on free ports, links one session and one bare neonize client, and sends by turns. Both times end when the
simulator has the stanza. Then both send as fast as they can: the bare client one after the other, which is how its call works,
Keepline from its API on, with receipts, while it is counted what a message costs in Firestore (store_costs.py). The last line is
JSON; compare the ratios, milliseconds and messages a second belong to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from demo import Keepline, arrivals
from store_costs import LOAD_MESSAGES, CostBench
from store_floor import floor_ms

from keepline_local.stack import Stack
from simulator.client import SimulatorClient

SAMPLES = 60
WARM_UP = 5
FRIEND = "14155550123"
BARE_PHONE = "14155550177"


class Bare:
    """The yardstick's process."""

    def __init__(self, whatsapp: SimulatorClient, simulator_dir: Path, folder: Path) -> None:
        script = Path(__file__).with_name("bare_neonize.py")
        arguments = ("--simulator", str(simulator_dir), "--store", str(folder / "bare.db"), "--to", FRIEND)
        environment = {"SSL_CERT_FILE": str(simulator_dir / "ca.pem"), "NEONIZE_BOT_TAG": "off"}
        self._process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        whatsapp.add_phone(BARE_PHONE, "Bare")
        whatsapp.scan(BARE_PHONE, self._hear("qr")["qr"])
        self._hear("connected")

    def send(self, text: str) -> tuple[str, float]:
        """Send one message, and return its WhatsApp id with the Unix time of the call."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        answer = self._hear("id")
        return answer["id"], answer["called_at"]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _hear(self, field: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # The library prints lines of its own to the same place.
            if line.startswith("{") and field in (answer := json.loads(line)):
                return dict(answer)
        raise SystemExit("the bare neonize client ended")


def per_second(arrived: dict[str, float], began_at: float, count: int) -> float:
    """Messages a second, from the first call until the last of so many was at WhatsApp."""
    came = sorted(at for at in arrived.values() if at >= began_at)[:count]
    return len(came) / (came[-1] - began_at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"messages each way (default {SAMPLES})")
    samples = parser.parse_args().samples
    print("starting the demo …", flush=True)
    with Stack("demo") as stack, tempfile.TemporaryDirectory(prefix="keepline-bench-") as folder:
        run = stack.run
        assert run.simulator is not None and run.simulator_dir is not None, "the demo has a simulator"
        whatsapp = SimulatorClient(run.simulator)
        keepline = Keepline(stack)
        session = keepline.link()["session_id"]
        bare = Bare(whatsapp, Path(run.simulator_dir), Path(folder))
        try:
            gateway_starts: dict[str, float] = {}
            bare_starts: dict[str, float] = {}
            for n in range(WARM_UP + samples):
                message_id = keepline.send(session, FRIEND, f"through Keepline {n}")
                accepted_at = time.time()
                # Once it is delivered the gateway is idle again.
                wa_message_id = keepline.until_message(message_id, "delivered")["wa_message_id"]
                bare_id, called_at = bare.send(f"bare {n}")
                if n >= WARM_UP:
                    gateway_starts[wa_message_id] = accepted_at
                    bare_starts[bare_id] = called_at
                if n % 10 == 0:
                    print(f"  {n} of {WARM_UP + samples}", flush=True)
            arrived = arrivals(whatsapp)
            store_ms = floor_ms(stack, samples)
            bare_began_at = time.time()
            for n in range(LOAD_MESSAGES):
                bare.send(f"bare at once {n}")
            bare_rate = per_second(arrivals(whatsapp), bare_began_at, LOAD_MESSAGES)
        finally:
            bare.stop()
        bench = CostBench(stack)
        costs = bench.measure()
        rate = per_second(arrivals(whatsapp), bench.load_began_at, LOAD_MESSAGES)
    gateway_ms = [(arrived[wa_id] - started) * 1000 for wa_id, started in gateway_starts.items()]
    bare_ms = [(arrived[wa_id] - started) * 1000 for wa_id, started in bare_starts.items()]
    gateway_p50, bare_p50 = median(gateway_ms), median(bare_ms)
    print(
        f"from the 202 to the wire: median {gateway_p50:.1f} ms, worst {max(gateway_ms):.1f} ms ({len(gateway_ms)} messages)"
    )
    print(f"neonize called directly:  median {bare_p50:.1f} ms, worst {max(bare_ms):.1f} ms ({len(bare_ms)} messages)")
    print(f"the store alone:          median {store_ms:.1f} ms (two commits and a listener)")
    print(f"at once: {rate:.0f} messages a second, neonize called directly: {bare_rate:.0f} ({LOAD_MESSAGES} messages)")
    figures = {
        "accept_to_wire_ms_p50": round(gateway_p50, 2),
        "bare_ms_p50": round(bare_p50, 2),
        "store_floor_ms_p50": store_ms,
        "ratio": round(gateway_p50 / bare_p50, 2),
        "messages_per_s": round(rate, 1),
        "bare_messages_per_s": round(bare_rate, 1),
        "throughput_ratio": round(rate / bare_rate, 3),
        **costs,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
