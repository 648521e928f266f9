"""One phase of chaos: start everything, link, load, kill, wait until all is settled, compare."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keepline_local.stack import ROOMY, Stack
from simulator.client import SimulatorClient
from tests.chaos.aftermath import Aftermath, Progress
from tests.chaos.checker import Verdict, broken, check
from tests.chaos.doubts import Doubts
from tests.chaos.killer import Killer
from tests.chaos.linking import link
from tests.chaos.load import Book, Load, chats_of
from tests.e2e.keepline import Api

# In a failure: how many messages are told in full.
TOLD_MAX = 10
KILL_NEAR_S = 1.0


@dataclass(frozen=True)
class Options:
    phase: str  # `single` or `standby`
    kills: int
    seconds: float
    seed: int
    accounts: int = 4
    chats: int = 3
    rate: float = 10.0


@dataclass
class Outcome:
    figures: dict[str, Any]
    broken: list[str]
    gaps: bool
    """Something is missing, or crashed, be it within what this phase promises."""


def run(options: Options, progress: Progress) -> Outcome:
    """One phase. The run's folder is kept, and told, when a promise was broken or anything went wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f"keepline-chaos-{options.phase}-"))
    stack = Stack("demo", state_dir=folder, ports="free", env=ROOMY)
    try:
        with stack:
            outcome = _Storm(options, stack, progress).run()
    except BaseException:
        print(f"{options.phase}: seed {options.seed}; logs are kept in {folder}")
        raise
    if outcome.broken or outcome.gaps:
        print(f"{options.phase}: seed {options.seed}; logs, and what everybody did, are kept in {folder}")
    else:
        stack.remove()
    return outcome


class _Storm:
    def __init__(self, options: Options, stack: Stack, progress: Progress) -> None:
        self._options = options
        self._stack = stack
        self._say = progress
        self._api = Api(stack.run.api, stack.run.api_key)
        assert stack.run.simulator is not None, "the demo has a simulator"
        self._whatsapp = SimulatorClient(stack.run.simulator)
        self._after = Aftermath(stack, progress)

    def run(self) -> Outcome:
        options, run = self._options, self._stack.run
        assert run.simulator is not None
        phones = link(self._api, options.accounts, standby=options.phase == "standby")
        self._say(f"{len(phones)} accounts are linked")
        chats = chats_of(phones, options.chats)
        seed = f"{options.seed} {options.phase}"
        doubts = Doubts(run)
        load = Load(run.api, run.api_key, run.simulator, chats, options.rate, seed)
        killer = Killer(self._stack, seed, load.accepted, lambda count: self._tell(count, load.book))
        load.start()
        killer.run(options.kills, options.seconds)
        book = load.stop()
        states = self._after.settle(book)
        recorded = {session: self._after.recorded(session) for session in {chat.session_id for chat in chats}}
        doubted = doubts.stop()
        shown = {chat.friend: self._after.shown(chat) for chat in chats}
        verdict = check(book.sent, shown, states, book.read, book.said, recorded)
        found = [*broken(options.phase, verdict, len(doubted)), *book.faults]
        self._keep(killer, book, verdict, doubted)
        crashes = self._after.crashes()
        gaps = bool(verdict.unheard or verdict.receipt_missing or crashes)
        if found or gaps:
            self._explain(found, killer, verdict)
            for crash in crashes:
                print(f"\na part ended by itself: {crash}")
        figures = self._figures(len(killer.kills), verdict, doubted) | {"crashes": len(crashes)}
        return Outcome(figures, found, gaps)

    def _tell(self, kills: int, book: Book) -> None:
        self._say(f"{kills} of {self._options.kills} kills, {len(book.sent)} accepted, {len(book.said)} came in")

    # Afterwards

    def _figures(self, kills: int, verdict: Verdict, doubted: set[str]) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "kills": kills,
            "accepted": verdict.accepted,
            "shown": verdict.shown,
            "lost": len(verdict.lost),
            "twice": len(verdict.twice),
            "out_of_order": len(verdict.out_of_order),
        }
        if self._options.phase == "single":
            figures["doubts"] = len(doubted)
        figures["receipts_missing"] = len(verdict.receipt_missing)
        figures["inbound"] = {
            "said": verdict.said,
            "recorded": verdict.recorded,
            "lost": len(verdict.unheard),
            "twice": len(verdict.heard_twice),
        }
        return figures

    # For whoever looks for the cause

    def _keep(self, killer: Killer, book: Book, verdict: Verdict, doubted: set[str]) -> None:
        record = {
            "options": asdict(self._options),
            "kills": [asdict(kill) for kill in killer.kills],
            "book": asdict(book),
            "verdict": asdict(verdict),
            "doubted": sorted(doubted),
        }
        (self._stack.state.root / "chaos.json").write_text(json.dumps(record, indent=1))
        with (self._stack.state.root / "truth.jsonl").open("w") as out:
            out.writelines(json.dumps(event) + "\n" for event in self._after.truth())

    def _explain(self, found: list[str], killer: Killer, verdict: Verdict) -> None:
        print(f"\n{self._options.phase}: {'promises are broken' if found else 'within its promises, but not whole'}")
        for sentence in found:
            print(f"  {sentence}")
        truth = list(self._after.truth())
        for kind in ("lost", "twice", "out_of_order", "wrong_state", "receipt_missing"):
            for sent in getattr(verdict, kind)[:TOLD_MAX]:
                row = self._api.message(sent.message_id)
                inbox = self._whatsapp.inbox(sent.chat)
                ids = {row["wa_message_id"], *(message["id"] for message in inbox if message["text"] == sent.text)}
                print(f"\n{kind}: {sent.message_id} {sent.text!r}\n  row: {json.dumps(row)}")
                _tell(ids, truth, killer)
        for said in verdict.unheard[:TOLD_MAX]:
            print(f"\nunheard: {said.wa_message_id} {said.text!r}")
            _tell({said.wa_message_id}, truth, killer)


def _tell(ids: set[str], truth: list[dict[str, Any]], killer: Killer) -> None:
    """What the simulator knows of a message, and the kills near it, in the order of time."""
    events = [event for event in truth if not ids.isdisjoint({event.get("id"), *event.get("ids", ())})]
    lines = [(event["at"], f"truth: {json.dumps(event)}") for event in events]
    for kill in killer.kills:
        if any(abs(kill.at - event["at"]) < KILL_NEAR_S for event in events):
            lines.append((kill.at, f"kill: {kill.at:.6f} {kill.part} of {kill.connector}, process {kill.pid}"))
    for _, line in sorted(lines):
        print(f"  {line}")
