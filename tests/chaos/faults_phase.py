"""One phase of `make chaos`. In each round: start everything, link, load, do the faults, wait until all is settled, compare."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from keepline_local.stack import NOBODY_RECOVERS, ROOMY, Stack
from tests.chaos.aftermath import Aftermath
from tests.chaos.catalogue import FAULTS
from tests.chaos.checker import Sent, Verdict, broken, check
from tests.chaos.doubts import Doubts
from tests.chaos.gaps import Acceptance, two_voices
from tests.chaos.ground import Ground
from tests.chaos.injecting import Figures, Injector
from tests.chaos.linking import link
from tests.chaos.load import Book, Load, chats_of
from tests.chaos.outage import OutageFigures, outage
from tests.chaos.truth import Truth
from tests.chaos.watching import Watching
from tests.e2e.keepline import Api

ACCOUNTS = 4
LOADED = 2
CHATS = 4
RATE_PER_S = 10.0
INBOUND_PER_S = 2.0
OUTAGE_RATE_PER_S = 0.5
STEADY_S = 8.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    phase: str  # `single` or `standby`
    repeat: int
    faults: tuple[str, ...]
    seed: int
    outage_s: float
    outage_accounts: int
    rate_per_s: float = RATE_PER_S


@dataclass
class Result:
    """What a phase has shown, all rounds together. `broken` are sentences about promises."""

    figures: defaultdict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    outages: list[OutageFigures] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    lost: list[Sent] = field(default_factory=list)
    twice: list[Sent] = field(default_factory=list)
    voices: list[tuple[str, Acceptance]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def run(options: Options, say: Say) -> Result:
    """Each round has an installation of its own: the Firestore emulator sorts a whole collection for each change that somebody
    listens to, so that after some hundred messages it is the emulator that is measured.

    The folder of a round is kept, and told, when a promise was broken or the round failed.
    """
    result = Result()
    if "outage" in options.faults:
        say(f"an outage for {options.outage_accounts} accounts")
        _round(options, 0, [], result, say, with_outage=True)
    for turn in range(options.repeat):
        # Those that take long are done in some of the rounds only.
        names = [
            fault.name
            for fault in FAULTS
            if fault.name in options.faults
            and options.phase in fault.phases
            and turn < max(1, round(options.repeat * fault.share))
        ]
        if names:
            say(f"round {turn + 1} of {options.repeat}")
            _round(options, turn, names, result, say, with_outage=False)
    return result


def _round(options: Options, turn: int, names: list[str], result: Result, say: Say, *, with_outage: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"keepline-faults-{options.phase}-"))
    # A hundred accounts that all change their state keep the emulator busy for longer than a lease of 3 s.
    profile = "normal" if with_outage else "extreme"
    stack = Stack("demo", state_dir=folder, ports="free", env={"KEEPLINE_PROFILE": profile, **ROOMY, **NOBODY_RECOVERS})
    say(f"logs are in {folder}")
    try:
        with stack:
            found = run_on(stack, options, turn, names, result, say, with_outage=with_outage)
    except BaseException:
        say(f"seed {options.seed}; logs are kept in {folder}")
        raise
    result.broken += found
    if found:
        say(f"seed {options.seed}; logs are kept in {folder}")
    else:
        stack.remove()


def run_on(
    stack: Stack, options: Options, turn: int, names: list[str], result: Result, say: Say, *, with_outage: bool = False
) -> list[str]:
    """One round on a system that runs already; its figures go into `result`. Returns what was broken."""
    run = stack.run
    assert run.simulator is not None, "the demo has a simulator"
    api = Api(run.api, run.api_key)
    numbers = link(api, options.outage_accounts if with_outage else ACCOUNTS, standby=options.phase == "standby")
    say(f"{len(numbers)} accounts are linked")
    phones = {f"{run.user_id}_{session}": phone for session, phone in numbers.items()}
    loaded = dict(list(numbers.items())[:LOADED])
    # In turns, so that each account's messages are evenly spaced.
    chats = sorted(chats_of(loaded, CHATS), key=lambda chat: int(chat.friend) % CHATS)
    seed = f"{options.seed} {options.phase} {turn}"
    doubts, truth, watching = Doubts(run), Truth(run.simulator), Watching(run)
    # What is accepted during an outage waits until its end: few messages, for it is the connections that are looked at.
    rate, inbound = (OUTAGE_RATE_PER_S, OUTAGE_RATE_PER_S) if with_outage else (options.rate_per_s, INBOUND_PER_S)
    load = Load(run.api, run.api_key, run.simulator, chats, rate, seed, inbound_rate=inbound, steady=True)
    ground = Ground(stack, truth, watching, phones, list(phones)[:LOADED], Random(f"{seed} faults"))
    injector = Injector(ground, options.phase, result.figures, say)
    load.start()
    ground.wait(lambda: ground.is_whole(0.0, []), STEADY_S)
    for fault in FAULTS:
        if fault.name in names:
            injector.inject(fault)
    if with_outage:
        say(f"WhatsApp is away for {options.outage_s:.0f} s, with {len(phones)} accounts")
        result.outages.append(outage(ground, options.outage_s))
        say(str(result.outages[-1]))
    book = load.stop()
    say(f"the faults are over, {len(book.sent)} messages were accepted, {len(book.said)} came in; settling")
    after = Aftermath(stack, lambda _: None)
    states = after.settle(book)
    recorded = {session: after.recorded(session) for session in loaded}
    doubted = doubts.stop()
    truth.stop()
    watching.stop()
    shown = {chat.friend: after.shown(chat) for chat in chats}
    verdict = check(book.sent, shown, states, book.read, book.said, recorded)
    voices = [
        (account, one)
        for account, phone in phones.items()
        for one in two_voices(truth.accepted[phone], watching.takes[account])
    ]
    found = [*broken(options.phase, verdict, len(doubted)), *book.faults, *after.crashes()]
    found += [
        f"{account}: device {one.device} spoke without the right to, {one.id} at {one.at}" for account, one in voices
    ]
    for sentence in found:
        say(f"BROKEN: {sentence}")
    _keep(stack, book, verdict, watching, truth, after)
    result.verdicts.append(verdict)
    result.lost += verdict.lost
    result.twice += verdict.twice
    result.voices += voices
    return found


def _keep(stack: Stack, book: Book, verdict: Verdict, watching: Watching, truth: Truth, after: Aftermath) -> None:
    """For whoever looks for a cause."""
    record = {
        "book": asdict(book),
        "verdict": asdict(verdict),
        "takes": {account: [asdict(take) for take in takes] for account, takes in watching.takes.items()},
        "devices": {"_".join(name): [asdict(one) for one in said] for name, said in watching.devices.items()},
        "accepted": {number: [asdict(one) for one in accepted] for number, accepted in truth.accepted.items()},
    }
    (stack.state.root / "faults.json").write_text(json.dumps(record, indent=1))
    with (stack.state.root / "truth.jsonl").open("w") as out:
        out.writelines(json.dumps(event) + "\n" for event in after.truth())
