"""`make chaos-queue`: the durable queue under SIGKILL. `python -m tests.chaos.queue --help` tells the options.

The whole demo runs on free ports. Programs send through the API and people write from simulated phones, while cells and
connectors are killed at random instants. In the end what the API accepted is compared with what the recipients' phones have
shown, and what was said with what was recorded. Twice: with one linked device for each account, and with a standby.

The last line is JSON. The exit code is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from functools import partial

from tests.chaos import storm

KILLS = 200
MINUTES = 20.0
PHASES = ("single", "standby")


def progress(phase: str, text: str) -> None:
    """On a terminal, one line that renews itself."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{phase}: {text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"in all phases together (default {KILLS})")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of killing, in all (default {MINUTES:.0f})")
    parser.add_argument("--seed", type=int, default=None, help="decides load and kills; by default a new one each time")
    parser.add_argument("--phase", choices=PHASES, action="append", help="only this one (default: both)")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    phases = arguments.phase or list(PHASES)
    print(f"seed {seed}", flush=True)
    figures = {}
    broken = False
    for phase in phases:
        options = storm.Options(
            phase=phase,
            kills=arguments.kills // len(phases),
            seconds=arguments.minutes * 60 / len(phases),
            seed=seed,
        )
        outcome = storm.run(options, partial(progress, phase))
        if sys.stderr.isatty():
            print(file=sys.stderr)
        print(f"{phase}: {json.dumps(outcome.figures)}", flush=True)
        figures[phase] = outcome.figures
        broken = broken or bool(outcome.broken)
    print(json.dumps({phase: figures[phase] for phase in reversed(PHASES) if phase in figures}))
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
