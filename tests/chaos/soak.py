"""`make soak`: everything at once, for long. `python -m tests.chaos.soak --help` tells the options.

The whole demo runs on free ports, each account with a standby. While programs send and people write, connections are cut,
stalled and swallowed, cells and connectors killed, stopped and replaced, an account banned, WhatsApp and Firestore slowed down
or away, at random moments and on top of each other. In the end what the API accepted is compared with what the recipients'
phones have shown, and what was said with what was recorded. Memory and file descriptors of every process are watched throughout.

`--calm` (`make bench-sustained`) is without a fault, at half the peak: a burst shows how many messages a second this machine can
do, then half of that, or another `--share`, is sent for the whole time. It must be reached, and every part of ours must stay as
large as it is.

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
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from keepline_local.stack import ROOMY, Stack
from tests.chaos import footprint, peak
from tests.chaos.aftermath import Aftermath
from tests.chaos.blows import rain
from tests.chaos.checker import broken, check
from tests.chaos.expiring import Expiring, Noted
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
# that was ever sent: beyond this many messages it is the emulator that is soaked. A run of hours sends more slowly. A calm run
# has its finished messages taken away instead (expiring.py): with faults, a row that is late must find all as it was.
MESSAGES_MAX = 3_000
STEADY_S = 60.0
# Of a calm run. As many chats as make one person's share of the load a person's, and each reader's part small.
CALM_CHATS = 20
CALM_INBOUND_PER_S = 2.0
PEAK_MESSAGES, PEAK_MESSAGES_SHORT = 400, 200
SHORT_MINUTES = 1.0
# In a longer run the best of so many: the emulator is being compiled during the first.
PEAK_BURSTS = 2
SHARE = 0.5
# The emulator never forgets a document that was deleted, and goes through all of them at each change. It is started to be quick
# at once (keepline_local.emulators.commands) and would be what limits a long run; of a short one its compiler would take half.
LASTING_EMULATOR = {"_JAVA_OPTIONS": "-XX:TieredStopAtLevel=4 -Xmx1g"}
# What is reached of what was aimed at; the rest is a machine that does something else at times.
REACHED_MIN = 0.9
BACK_LIMIT_S = 180.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is done. `rate`: messages a second; None is this share of the peak, which is measured first."""

    minutes: float
    seed: int
    rate: float | None
    calm: bool
    share: float = SHARE

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def rate_of(self, peak_per_s: float) -> float:
        """What is sent a second, of a peak that was measured."""
        return peak_per_s * self.share

    @property
    def is_short(self) -> bool:
        return self.minutes <= SHORT_MINUTES


@dataclass
class Done:
    """What was done in the time, and how fast. Rates are messages a second at WhatsApp."""

    rate: float
    peak_per_s: float | None
    sent_per_s: float
    slowest_per_s: float
    faults: Counter[str]
    sizes: dict[str, footprint.Footprint]


def run(plan: Plan, say: Say) -> dict[str, Any]:
    """The last line. The run's folder is kept, and told, when something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="keepline-soak-"))
    stack = Stack("demo", state_dir=folder, env=ROOMY | (LASTING_EMULATOR if plan.calm and not plan.is_short else {}))
    try:
        with stack:
            figures = _run(stack, plan, say)
    except BaseException:
        say(f"seed {plan.seed}; logs are kept in {folder}")
        raise
    if figures["broken"] or figures["crashes"]:
        say(f"seed {plan.seed}; logs are kept in {folder}")
    else:
        stack.remove()
    return figures


def _run(stack: Stack, plan: Plan, say: Say) -> dict[str, Any]:
    run_file = stack.run
    assert run_file.simulator is not None, "the demo has a simulator"
    numbers = link(Api(run_file.api, run_file.api_key), ACCOUNTS, standby=True)
    phones = {f"{run_file.user_id}_{session}": phone for session, phone in numbers.items()}
    loaded = dict(list(numbers.items())[:LOADED])
    chats = chats_of(loaded, CALM_CHATS if plan.calm else CHATS)
    truth = Truth(run_file.simulator)
    arrivals = peak.Arrivals(truth, loaded.values())
    say(f"{len(phones)} accounts are linked")
    load = Load(
        run_file.api,
        run_file.api_key,
        run_file.simulator,
        chats,
        None if plan.calm else plan.rate,
        f"{plan.seed} soak",
        inbound_rate=CALM_INBOUND_PER_S if plan.calm else None,
        steady=plan.calm,
    )
    expiring = Expiring(run_file, load.book) if plan.calm else None
    load.start()
    calm = _calm(stack, load, arrivals, plan, say) if plan.calm else None
    watching = Watching(run_file)  # after a calm run: it costs the emulator a part of each message
    ground = Ground(stack, truth, watching, phones, list(phones)[:LOADED], Random(f"{plan.seed} soak blows"))
    done = calm or _rain(ground, arrivals, plan, say)
    book = load.stop()
    noted = expiring.stop() if expiring is not None else Noted()
    say(f"over: {len(book.sent)} messages were accepted, {len(book.said)} came in; settling")
    after = Aftermath(stack, lambda _: None, noted)
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
    grown = footprint.growing(done.sizes)
    if plan.calm:
        found += grown
        if done.sent_per_s < REACHED_MIN * done.rate:
            found.append(f"{done.sent_per_s:.1f} messages a second were sent, not {done.rate:.1f}")
    _keep(stack.state.root / "soak.json", {"book": asdict(book), "verdict": asdict(verdict)})
    return {
        "minutes": plan.minutes,
        "seed": plan.seed,
        "calm": plan.calm,
        "share": plan.share if done.peak_per_s is not None else None,
        "peak_per_s": _rounded(done.peak_per_s),
        "rate": _rounded(done.rate),
        "sent_per_s": _rounded(done.sent_per_s),
        "slowest_tenth_per_s": _rounded(done.slowest_per_s),
        "accepted": verdict.accepted,
        "lost": len(verdict.lost),
        "duplicated": len(verdict.twice),
        "out_of_order": len(verdict.out_of_order),
        "receipts_missing": len(verdict.receipt_missing),
        "incoming": verdict.said,
        "incoming_lost": len(verdict.unheard),
        "faults": dict(sorted(done.faults.items())),
        "crashes": len(crashes),
        "broken": found,
        "processes": footprint.as_json(done.sizes),
        "flat": not grown if plan.calm else None,  # with faults, devices move from one part to another
    }


def _rain(ground: Ground, arrivals: peak.Arrivals, plan: Plan, say: Say) -> Done:
    """Faults of all kinds while messages flow."""
    assert plan.rate is not None
    footprints = Footprints(ground.stack)
    ground.wait(lambda: all(ground.truth.accepted[ground.phones[one]] for one in ground.loaded), STEADY_S)
    say("messages flow")
    began_at = time.time()
    struck = rain(ground, plan.seconds, say)
    sent, slowest = peak.steadiness(arrivals.times(), began_at, time.time())
    return Done(plan.rate, None, sent, slowest, struck, footprints.stop())


def _calm(stack: Stack, load: Load, arrivals: peak.Arrivals, plan: Plan, say: Say) -> Done:
    """A share of the peak, or the rate that was asked for, and nothing else."""
    peak_per_s, rate = None, plan.rate
    if rate is None:
        count = PEAK_MESSAGES_SHORT if plan.is_short else PEAK_MESSAGES
        bursts = 1 if plan.is_short else PEAK_BURSTS
        peak_per_s = max(peak.measure(load, arrivals, count) for _ in range(bursts))
        rate = plan.rate_of(peak_per_s)
        say(f"the peak is {peak_per_s:.1f} messages a second; {plan.share:g} of it for {plan.seconds:.0f} s")
    footprints = Footprints(stack)
    began_at = time.time()
    load.write(rate)
    time.sleep(plan.seconds)
    sent, slowest = peak.steadiness(arrivals.times(), began_at, time.time())
    return Done(rate, peak_per_s, sent, slowest, Counter(), footprints.stop())


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 2)


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
        help=f"messages a second (default {RATE_PER_S:g}, {MESSAGES_MAX} in all at most; with --calm a share of the peak)",
    )
    parser.add_argument(
        "--calm", action="store_true", help="no faults: a share of the peak, which is measured first, sustained"
    )
    parser.add_argument("--share", type=float, default=SHARE, help=f"with --calm, of the peak (default {SHARE:g})")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    rate = arguments.rate
    if rate is None and not arguments.calm:
        rate = min(RATE_PER_S, MESSAGES_MAX / (arguments.minutes * 60))
    print(f"seed {seed}", flush=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    figures = run(Plan(arguments.minutes, seed, rate, arguments.calm, arguments.share), say)
    for sentence in figures["broken"]:
        print(f"BROKEN: {sentence}")
    print(json.dumps(figures))
    return int(bool(figures["broken"]))


if __name__ == "__main__":
    sys.exit(main())
