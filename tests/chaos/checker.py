"""What must hold after the storm, in Jepsen's sense: accepted against shown, said against recorded.

Pure, so that planted faults can show that it would see real ones (test_checker.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SENT = frozenset({"sent", "delivered", "read"})


@dataclass(frozen=True)
class Sent:
    """A message that the API has accepted. `number` counts the messages of its chat, in the order of acceptance."""

    message_id: str
    chat: str
    number: int
    text: str


@dataclass(frozen=True)
class Said:
    """A message that somebody's phone has written to an account."""

    wa_message_id: str
    session_id: str
    chat: str
    text: str


@dataclass
class Verdict:
    """What was found: texts for people, by kind of fault."""

    accepted: int = 0
    shown: int = 0
    lost: list[Sent] = field(default_factory=list)
    twice: list[Sent] = field(default_factory=list)
    out_of_order: list[Sent] = field(default_factory=list)
    wrong_state: list[Sent] = field(default_factory=list)
    """Shown, but for the API it was not even sent."""
    receipt_missing: list[Sent] = field(default_factory=list)
    """Shown, or even read, but for the API it was only sent, or only delivered."""
    strangers: list[str] = field(default_factory=list)
    """Shown, but never accepted."""
    said: int = 0
    recorded: int = 0
    unheard: list[Said] = field(default_factory=list)
    heard_twice: list[Said] = field(default_factory=list)


def check(
    sent: Sequence[Sent],
    shown: Mapping[str, Sequence[str]],
    states: Mapping[str, str],
    read: Iterable[str],
    said: Sequence[Said],
    recorded: Mapping[str, Sequence[str]],
) -> Verdict:
    """Compare both sides.

    shown: chat → the texts that its recipient's phone has shown, in order. states: message id → the API's state.
    read: texts that a recipient has read. recorded: session → WhatsApp ids that the API lists as incoming.
    """
    verdict = Verdict(accepted=len(sent), said=len(said))
    _check_sent(verdict, sent, shown)
    seen = {text for texts in shown.values() for text in texts}
    was_read = set(read)
    for one in sent:
        state = states.get(one.message_id, "")
        if one.text not in seen or state == ("read" if one.text in was_read else "delivered"):
            continue
        (verdict.receipt_missing if state in SENT else verdict.wrong_state).append(one)
    counts = {session: Counter(ids) for session, ids in recorded.items()}
    for message in said:
        count = counts.get(message.session_id, Counter())[message.wa_message_id]
        verdict.recorded += bool(count)
        if count != 1:
            (verdict.heard_twice if count else verdict.unheard).append(message)
    return verdict


def _check_sent(verdict: Verdict, sent: Sequence[Sent], shown: Mapping[str, Sequence[str]]) -> None:
    by_chat: defaultdict[str, dict[str, Sent]] = defaultdict(dict)
    for one in sent:
        by_chat[one.chat][one.text] = one
    for chat, texts in shown.items():
        known = by_chat[chat]
        verdict.strangers += [text for text in texts if text not in known]
        counts = Counter(text for text in texts if text in known)
        verdict.shown += len(counts)
        verdict.twice += [known[text] for text, count in counts.items() if count > 1]
        newest = -1
        for text in counts:  # first appearances, in order
            if known[text].number < newest:
                verdict.out_of_order.append(known[text])
            newest = max(newest, known[text].number)
    on_screen = {chat: set(texts) for chat, texts in shown.items()}
    verdict.lost += [one for one in sent if one.text not in on_screen.get(one.chat, ())]


def broken(phase: str, verdict: Verdict, doubts: int) -> list[str]:
    """The promises that this verdict breaks, as sentences. `phase` is `single` or `standby`.

    With one linked device, what it had heard and not yet written down when it was killed is gone: messages and receipts of that
    moment are counted, and not held against it (docs/limits.md). With a standby nothing may be missing.
    """
    faults: list[tuple[str, Sequence[Any]]] = [
        ("accepted messages were never shown", verdict.lost),
        ("messages were shown out of order", verdict.out_of_order),
        ("messages were shown that nobody had the API send", verdict.strangers),
        ("messages were shown, but for the API they were not even sent", verdict.wrong_state),
        ("incoming messages are recorded twice", verdict.heard_twice),
    ]
    if phase == "standby":
        faults += [
            ("messages were shown twice", verdict.twice),
            ("messages lack a receipt that their recipient sent", verdict.receipt_missing),
            ("incoming messages are not recorded", verdict.unheard),
        ]
    found = [f"{len(which)} {what}" for what, which in faults if which]
    if phase == "single" and len(verdict.twice) > doubts:
        found.append(f"{len(verdict.twice)} messages were shown twice, but only {doubts} were ever in doubt")
    return found
