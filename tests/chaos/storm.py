"""One phase of chaos: start everything, link, load, kill, wait until all is settled, compare."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from keepline_local.stack import Stack
from simulator.client import SimulatorClient
from tests.chaos.checker import Said, Verdict, broken, check
from tests.chaos.doubts import Doubts
from tests.chaos.killer import CONNECTORS, Killer
from tests.chaos.load import Book, Chat, Load, chats_of
from tests.e2e.keepline import Api, eventually

LINK_LIMIT_S = 60.0
# Settling is over when nothing has moved for this long: longer than the pause of a doubt, the back-off of a connection and the
# pause before a restart together.
QUIET_S = 45.0
SETTLE_LIMIT_S = 600.0
SETTLE_LOOK_S = 0.5
# In a failure: how many messages are told in full.
TOLD_MAX = 10
CRASHES = ("panic: ", "fatal error: ", "SIG", "Fatal Python error")
KILL_NEAR_S = 1.0

Progress = Callable[[str], None]


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
    stack = Stack("demo", state_dir=folder, ports="free")
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

    def run(self) -> Outcome:
        options, run = self._options, self._stack.run
        assert run.simulator is not None
        chats = chats_of(self._link(), options.chats)
        seed = f"{options.seed} {options.phase}"
        doubts = Doubts(run)
        load = Load(run.api, run.api_key, run.simulator, chats, options.rate, seed)
        killer = Killer(self._stack, seed, load.accepted, lambda count: self._tell(count, load.book))
        load.start()
        killer.run(options.kills, options.seconds)
        book = load.stop()
        states = self._settle(book)
        recorded = {session: self._recorded(session) for session in {chat.session_id for chat in chats}}
        doubted = doubts.stop()
        shown = {chat.friend: self._shown(chat) for chat in chats}
        verdict = check(book.sent, shown, states, book.read, book.said, recorded)
        found = [*broken(options.phase, verdict, len(doubted)), *book.faults]
        self._keep(killer, book, verdict, doubted)
        crashes = self._crashes()
        gaps = bool(verdict.unheard or verdict.receipt_missing or crashes)
        if found or gaps:
            self._explain(found, killer, verdict)
            for crash in crashes:
                print(f"\na part ended by itself: {crash}")
        figures = self._figures(len(killer.kills), verdict, doubted) | {"crashes": len(crashes)}
        return Outcome(figures, found, gaps)

    def _link(self) -> dict[str, str]:
        """Sessions that are connected, with their numbers; in the standby phase each with two devices that are."""
        names = [f"account-{number}" for number in range(1, self._options.accounts + 1)]
        for name in names:
            self._api.create(name)
        phones = {name: self._api.wait_for_state(name, "connected", LINK_LIMIT_S)["phone"] for name in names}
        if self._options.phase == "standby":
            for name in names:
                self._api.json("POST", f"/api/sessions/{name}/standby", 202)
            for name in names:
                eventually(partial(self._has_standby, name), f"{name} has a standby", LINK_LIMIT_S)
        self._say(f"{len(names)} accounts are linked")
        return phones

    def _has_standby(self, name: str) -> bool:
        devices = self._api.status(name)["devices"]
        holders = {device["connector"] for device in devices if device["state"] == "connected"}
        return len(devices) == 2 and len(holders) == 2

    def _tell(self, kills: int, book: Book) -> None:
        self._say(f"{kills} of {self._options.kills} kills, {len(book.sent)} accepted, {len(book.said)} came in")

    # Afterwards

    def _settle(self, book: Book) -> dict[str, str]:
        """The last state of every message, when all have arrived and all was heard, or nothing moves any more."""
        expected = {one.message_id: "read" if one.text in set(book.read) else "delivered" for one in book.sent}
        states: dict[str, str] = {}
        unheard = set(book.said)
        began = moved = time.monotonic()
        while time.monotonic() - moved < QUIET_S and time.monotonic() - began < SETTLE_LIMIT_S:
            before = dict(states), len(unheard)
            for message_id in [one for one, wanted in expected.items() if states.get(one) != wanted]:
                states[message_id] = self._api.message(message_id)["state"]
            unheard = self._unheard(unheard)
            open_ = [one for one, wanted in expected.items() if states[one] != wanted]
            self._say(f"settling: {len(open_)} of {len(expected)} are open, {len(unheard)} of {len(book.said)} unheard")
            if not open_ and not unheard:
                break
            if (states, len(unheard)) != before:
                moved = time.monotonic()
            time.sleep(SETTLE_LOOK_S)
        return states

    def _unheard(self, messages: set[Said]) -> set[Said]:
        sessions = {message.session_id for message in messages}
        heard = {(session, wa_id) for session in sessions for wa_id in self._recorded(session)}
        return {message for message in messages if (message.session_id, message.wa_message_id) not in heard}

    def _recorded(self, session_id: str) -> list[str]:
        """WhatsApp's ids of all incoming messages of a session, page by page."""
        found: list[str] = []
        query = {"session_id": session_id, "limit": "100"}
        while True:
            page = self._api.json("GET", "/api/messages", params=query)
            found += [one["wa_message_id"] for one in page["messages"] if one["direction"] == "in"]
            if page["next_before"] is None:
                return found
            query["before"] = page["next_before"]

    def _shown(self, chat: Chat) -> list[str]:
        return [
            message["text"]
            for message in self._whatsapp.inbox(chat.friend)
            if message["from"] == chat.phone and not message["waiting"]
        ]

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

    def _crashes(self) -> list[str]:
        """Where in the connectors' logs the library's Go runtime tells of its end: a cell died that nobody had killed."""
        found = []
        for connector in CONNECTORS:
            log = self._stack.log(connector)
            for number, line in enumerate(log.read_text(errors="replace").splitlines(), start=1):
                if line.startswith(CRASHES):
                    found.append(f"{log}, line {number}: {line}")
        return found

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
            out.writelines(json.dumps(event) + "\n" for event in self._truth())

    def _truth(self) -> Iterable[dict[str, Any]]:
        cursor = 0
        while True:
            events, cursor = self._whatsapp.log(cursor)
            if not events:
                return
            yield from events

    def _explain(self, found: list[str], killer: Killer, verdict: Verdict) -> None:
        print(f"\n{self._options.phase}: {'promises are broken' if found else 'within its promises, but not whole'}")
        for sentence in found:
            print(f"  {sentence}")
        truth = list(self._truth())
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
