"""`make chaos`: every kind of fault under a steady load, with figures. `python -m tests.chaos.faults --help` tells the options.

The whole demo runs on free ports, with the profile `extreme`. While programs send through the API at an even pace and people
write, one fault after the other is done to it, many times; each time the gap in sending, or the time until Keepline noticed, is
measured (gaps.py says how). In the end what the API accepted is compared with what the recipients' phones have shown, and
WhatsApp's log with the generations of the right to send. Twice: with one linked device for each account, and with a standby.

The last line is JSON. The exit code is 1 when a promise was broken; a figure beyond its goal is marked in the table.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time

from tests.chaos import faults_phase
from tests.chaos.catalogue import FAULTS
from tests.chaos.faults_table import as_json, show

PHASES = ("standby", "single")
REPEAT = 6
OUTAGE_S = 20.0
OUTAGE_ACCOUNTS = 10


def main() -> int:
    names = [*(fault.name for fault in FAULTS), "outage"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"how often each fault is done (default {REPEAT})")
    parser.add_argument("--only", choices=names, action="append", metavar="FAULT", help=f"one of {', '.join(names)}")
    parser.add_argument(
        "--seed", type=int, default=None, help="decides load and targets; by default a new one each time"
    )
    parser.add_argument("--phase", choices=PHASES, action="append", help="only this one (default: both)")
    parser.add_argument("--outage-s", type=float, default=OUTAGE_S, help=f"default {OUTAGE_S:.0f}")
    parser.add_argument(
        "--outage-accounts", type=int, default=OUTAGE_ACCOUNTS, help=f"in the outage (default {OUTAGE_ACCOUNTS})"
    )
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    results = {}
    for phase in arguments.phase or PHASES:
        options = faults_phase.Options(
            phase=phase,
            repeat=arguments.repeat,
            faults=tuple(arguments.only or names),
            seed=seed,
            outage_s=arguments.outage_s,
            outage_accounts=arguments.outage_accounts,
        )
        results[phase] = faults_phase.run(options, lambda text, phase=phase: say(began, phase, text))
    show(results)
    print(json.dumps(as_json(results)))
    return int(any(result.broken for result in results.values()))


def say(began: float, phase: str, text: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {phase}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
