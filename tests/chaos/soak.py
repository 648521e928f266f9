"""`make soak`: everything at once, for long. `python -m tests.chaos.soak --help` tells the options.

The whole demo runs on free ports, each account with a standby. While programs send and people write, connections are cut,
stalled and swallowed, cells and connectors killed, stopped and replaced, an account banned, WhatsApp and Firestore slowed down
or away, at random moments and on top of each other. In the end what the API accepted is compared with what the recipients'
phones have shown, and what was said with what was recorded. Memory and file descriptors of every process are watched throughout.

`--calm` (`make bench-sustained`) is the same without a fault: then every part of ours must stay as large as it is.

The last line is JSON. The exit code is 1 when a promise was broken, or a part grew in a calm run.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from keepline_local.stack import ROOMY, Stack
from tests.chaos import footprint
from tests.chaos.aftermath import Aftermath
from tests.chaos.blows import rain
from tests.chaos.checker import broken, check
from tests.chaos.footprint import Footprints
from tests.chaos.ground import Ground
from tests.chaos.linking import link
from tests.chaos.load import Load, chats_of
from tests.chaos.truth import Truth
from tests.chaos.watching import Watching
from tests.e2e.keepline import Api

MINUTES = 30.0
ACCOUNTS, LOADED, CHATS = 4, 3, 3
RATE_PER_S = 2.0
# The Firestore emulator sorts a whole collection for each change that somebody listens to, and what it takes grows with all
# that was ever sent: beyond this many messages it is the emulator that is soaked. A run of hours sends more slowly.
MESSAGES_MAX = 3_000
STEADY_S = 60.0
BACK_LIMIT_S = 180.0

Say = Callable[[str], None]


def run(minutes: float, seed: int, rate: float, *, calm: bool, say: Say) -> dict[str, Any]:
    """The last line. The run's folder is kept, and told, when something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="keepline-soak-"))
    stack = Stack("demo", state_dir=folder, env=ROOMY)
    try:
        with stack:
            figures = _run(stack, minutes, seed, rate, calm=calm, say=say)
    except BaseException:
        say(f"seed {seed}; logs are kept in {folder}")
        raise
    if figures["broken"] or figures["crashes"]:
        say(f"seed {seed}; logs are kept in {folder}")
    else:
        stack.remove()
    return figures


def _run(stack: Stack, minutes: float, seed: int, rate: float, *, calm: bool, say: Say) -> dict[str, Any]:
    run_file = stack.run
    assert run_file.simulator is not None, "the demo has a simulator"
    numbers = link(Api(run_file.api, run_file.api_key), ACCOUNTS, standby=True)
    phones = {f"{run_file.user_id}_{session}": phone for session, phone in numbers.items()}
    loaded = dict(list(numbers.items())[:LOADED])
    chats = chats_of(loaded, CHATS)
    truth, watching = Truth(run_file.simulator), Watching(run_file)
    load = Load(run_file.api, run_file.api_key, run_file.simulator, chats, rate, f"{seed} soak")
    ground = Ground(stack, truth, watching, phones, list(phones)[:LOADED], Random(f"{seed} soak blows"))
    footprints = Footprints(stack)
    load.start()
    ground.wait(lambda: all(truth.accepted[phones[one]] for one in ground.loaded), STEADY_S)
    say(f"{len(phones)} accounts are linked, messages flow")
    if calm:
        time.sleep(minutes * 60)
        struck: Counter[str] = Counter()
    else:
        struck = rain(ground, minutes * 60, say)
    sizes = footprints.stop()
    book = load.stop()
    say(f"over: {len(book.sent)} messages were accepted, {len(book.said)} came in; settling")
    after = Aftermath(stack, lambda _: None)
    states = after.settle(book)
    is_back = ground.wait(lambda: _all_connected(ground), BACK_LIMIT_S)
    recorded = {session: after.recorded(session) for session in loaded}
    shown = {chat.friend: after.shown(chat) for chat in chats}
    truth.stop()
    watching.stop()
    verdict = check(book.sent, shown, states, book.read, book.said, recorded)
    crashes = after.crashes()
    found = [*broken("standby", verdict, 0), *book.faults]
    if not is_back:
        found.append(f"not every device was connected again within {BACK_LIMIT_S:.0f} s")
    grown = footprint.growing(sizes)
    if calm:
        found += grown
    _keep(stack.state.root / "soak.json", {"book": asdict(book), "verdict": asdict(verdict)})
    return {
        "minutes": minutes,
        "seed": seed,
        "calm": calm,
        "rate": round(rate, 3),
        "accepted": verdict.accepted,
        "lost": len(verdict.lost),
        "duplicated": len(verdict.twice),
        "out_of_order": len(verdict.out_of_order),
        "receipts_missing": len(verdict.receipt_missing),
        "incoming": verdict.said,
        "incoming_lost": len(verdict.unheard),
        "faults": dict(sorted(struck.items())),
        "crashes": len(crashes),
        "broken": found,
        "processes": footprint.as_json(sizes),
        "flat": not grown if calm else None,  # with faults, devices move from one part to another
    }


def _all_connected(ground: Ground) -> bool:
    return all(
        ground.watching.state(one.account, one.slot) == "connected" and ground.truth.is_here(one.phone, one.number)
        for one in ground.devices()
    )


def _keep(path: Path, record: dict[str, Any]) -> None:
    """For whoever looks for a cause."""
    path.write_text(json.dumps(record, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"default {MINUTES:.0f}")
    parser.add_argument(
        "--seed", type=int, default=None, help="decides load and faults; by default a new one each time"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=None,
        help=f"messages a second (default {RATE_PER_S:g}, {MESSAGES_MAX} in all at most)",
    )
    parser.add_argument("--calm", action="store_true", help="no faults: the same load, sustained")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    rate = arguments.rate or min(RATE_PER_S, MESSAGES_MAX / (arguments.minutes * 60))
    print(f"seed {seed}", flush=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    figures = run(arguments.minutes, seed, rate, calm=arguments.calm, say=say)
    for sentence in figures["broken"]:
        print(f"BROKEN: {sentence}")
    print(json.dumps(figures))
    return int(bool(figures["broken"]))


if __name__ == "__main__":
    sys.exit(main())
