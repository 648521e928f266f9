"""What must hold at the end of a simulated world, in Jepsen's sense: what went in must have come out, once and in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

from keepline.domain.message import OnDoubt
from keepline.testing.whatsapp import FakeWhatsApp


@dataclass
class Verdict:
    """Each complaint is a promise broken; the counters say how much there was to break."""

    COUNTERS: ClassVar = (
        *("lost", "twice", "twice_in_doubt", "out_of_order", "stale_settles", "reused_keys"),
        *("unheard", "unheard_with_disk", "doubts", "held"),
    )

    complaints: list[str] = field(default_factory=list)
    lost: int = 0
    twice: int = 0  # without a doubt, or although there was a standby
    twice_in_doubt: int = 0  # what the choice `resend` costs an account without a standby
    out_of_order: int = 0
    stale_settles: int = 0
    reused_keys: int = 0
    unheard: int = 0
    unheard_with_disk: int = 0  # without a standby, what a lost or left disk had not told anybody
    doubts: int = 0
    held: int = 0  # in doubt for good, by the choice `hold`: arrived once or not at all

    @classmethod
    def of(
        cls,
        accepted: Mapping[str, str],
        said: Mapping[str, str],
        rows: Mapping[str, Mapping[str, Any]],
        recorded: Mapping[str, str],
        whatsapp: FakeWhatsApp,
        *,
        standby: bool,
        forgotten: Collection[str],
        stale_settles: Collection[str],
        errors: Collection[str],
    ) -> Verdict:
        """`accepted` are texts by message id, in order; `said` and `recorded` texts by WhatsApp id."""
        verdict = cls()
        doubted = {text for message_id, text in accepted.items() if "in_doubt" in rows[message_id]["times"]}
        verdict.doubts = len(doubted)
        held = {message_id for message_id in accepted if _is_held(rows[message_id])}
        verdict.held = len(held)
        kept = {message_id: text for message_id, text in accepted.items() if message_id not in held}
        verdict._look_at_phones(accepted, {accepted[m] for m in held}, whatsapp, set() if standby else doubted)
        verdict._look_at_rows(kept, rows, whatsapp, forgotten)
        verdict._look_at_history(said, recorded, set() if standby else set(forgotten))
        verdict.stale_settles = len(stale_settles)
        verdict.reused_keys = len(whatsapp.reused)
        verdict.complaints += [f"settled by somebody who may not: {stale}" for stale in stale_settles]
        verdict.complaints += [f"message key used twice: {text}" for text in whatsapp.reused]
        verdict.complaints += errors
        return verdict

    def counts(self) -> Counter[str]:
        return Counter({name: getattr(self, name) for name in self.COUNTERS})

    def _look_at_phones(
        self, accepted: Mapping[str, str], held: Collection[str], whatsapp: FakeWhatsApp, excused: Collection[str]
    ) -> None:
        kept = [message for message in whatsapp.shown if message.wa_message_id not in whatsapp.revoked]
        shown = Counter(message.text for message in kept)
        for text in accepted.values():
            if not shown[text] and text in held:
                continue
            if not shown[text]:
                self.lost += 1
                self.complaints.append(f"lost: {text}")
            elif shown[text] > 1 and text in excused:
                self.twice_in_doubt += 1
            elif shown[text] > 1:
                self.twice += 1
                self.complaints.append(f"shown {shown[text]} times: {text}")
        by_chat: dict[str, list[str]] = {}
        for message in kept:
            by_chat.setdefault(message.chat, []).append(message.text)
        order = {text: n for n, text in enumerate(accepted.values())}
        for chat, texts in by_chat.items():
            places = [order[text] for text in dict.fromkeys(texts)]
            breaks = sum(later < earlier for earlier, later in pairwise(places))
            if breaks:
                self.out_of_order += breaks
                self.complaints.append(f"out of order in {chat}: {texts}")

    def _look_at_rows(
        self,
        accepted: Mapping[str, str],
        rows: Mapping[str, Mapping[str, Any]],
        whatsapp: FakeWhatsApp,
        forgotten: Collection[str],
    ) -> None:
        for message_id in accepted:
            state, wa_message_id = rows[message_id]["state"], rows[message_id]["wa_message_id"]
            end = "sent" if whatsapp.recipients_are_off else "read" if wa_message_id in whatsapp.read else "delivered"
            # A receipt that was in a lost journal is gone; that the message was sent is known.
            excused = wa_message_id in forgotten and state in ("sent", "delivered")
            if state != end and not excused:
                self.complaints.append(f"{accepted[message_id]} is {state}")

    def _look_at_history(
        self, said: Mapping[str, str], recorded: Mapping[str, str], forgotten: Collection[str]
    ) -> None:
        for wa_message_id, text in said.items():
            if recorded.get(wa_message_id) == text:
                continue
            if wa_message_id in forgotten:
                self.unheard_with_disk += 1
            else:
                self.unheard += 1
                self.complaints.append(f"unheard: {text}")


def _is_held(row: Mapping[str, Any]) -> bool:
    return (row["state"], row["error_code"], row["on_doubt"]) == ("failed", "outcome_unknown", OnDoubt.HOLD.value)
