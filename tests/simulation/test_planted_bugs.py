"""A checker that finds nothing may be blind. Each of these breaks one defence; the worlds that are well without it must not be.

What is planted into is the real code; the worlds are those of the long run, from the first seed on until one complains.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from keepline.domain import send_queue
from keepline.domain.link_events import SendOutcome
from keepline.domain.message import Cause, MessageState, next_state
from keepline.domain.send_queue import Outgoing, SendQueue
from keepline.domain.tag import message_tag
from keepline.ports.documents import Create, Put, Update, Version
from keepline.ports.session_file import Position
from keepline.records.accounts import Device
from keepline.records.outbox import Authority
from keepline.testing.session_file import MemorySessionFile
from keepline.testing.whatsapp_link import FakeLink
from keepline.usecases import session_chain, session_keeping
from keepline.usecases.authority import AuthorityLost
from keepline.usecases.recording import Recorder
from keepline.usecases.sending import Sender
from keepline.usecases.session_keeping import SessionKeeper
from keepline.usecases.witnessing import Witness, WitnessDesk
from tests.simulation.long_run import live

WORLDS_MAX = 24
HOURS = 60
# Worlds with a standby whose recipients' phones are off: no receipt proves anything.
STANDBY_ALONE_KNOWS = range(3, 4 * WORLDS_MAX, 4)
SEEDS = len({*range(WORLDS_MAX), *STANDBY_ALONE_KNOWS})


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Broken worlds complain a lot."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def caught(*kinds: str, seeds: range = range(WORLDS_MAX)) -> bool:
    """Whether a world complains in one of these words."""
    return any(any(kind in told for told in live(seed, HOURS).complaints for kind in kinds) for seed in seeds)


def test_nothing_planted_nothing_found() -> None:
    assert [live(seed, HOURS).complaints for seed in {*range(WORLDS_MAX), *STANDBY_ALONE_KNOWS}] == [[]] * SEEDS


# Fencing


def test_an_authority_that_is_written_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Authority.write

    def blind(self: Authority) -> Create | Update:
        write = honest(self)
        return replace(write, version=None) if isinstance(write, Update) else write

    monkeypatch.setattr(Authority, "write", blind)
    assert caught("settled by somebody who may not", "times")


def test_a_sender_that_goes_on_when_its_authority_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sender._reconcile

    async def stubborn(self: Sender, plan: Any) -> None:
        try:
            await honest(self, plan)
        except AuthorityLost:
            document = await self._store.get(f"send_authority/{self._authority.account}")
            assert document is not None
            self._authority = Authority.read(document)

    monkeypatch.setattr(Sender, "_reconcile", stubborn)
    assert caught("settled by somebody who may not", "times")


def test_a_session_that_is_appended_to_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = session_chain.payload_link

    def blind(*arguments: Any) -> Put:
        link = honest(*arguments)
        return Put(link.path, link.fields)

    monkeypatch.setattr(session_chain, "payload_link", blind)
    monkeypatch.setattr(session_keeping, "payload_link", blind)
    assert caught("settled by somebody who may not")


def test_a_connector_that_was_replaced_has_the_last_word_on_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unaware(self: SessionKeeper) -> None:
        return

    monkeypatch.setattr(SessionKeeper, "check", unaware)
    assert caught("devices shown as")


# Sending


def test_messages_are_handed_over_before_their_claim_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sender._commit

    async def hasty(self: Sender, plan: Any) -> None:
        for row in plan.claim:
            await self._link.send(row.chat, row.content, self._tag(row, row.attempts))
        await honest(self, plan)

    monkeypatch.setattr(Sender, "_commit", hasty)
    assert caught("times")


def test_the_try_is_left_out_of_the_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    def always_the_first(self: Sender, row: Outgoing, attempt: int) -> bytes:
        return message_tag(self._key, row.message_id, 0)

    monkeypatch.setattr(Sender, "_tag", always_the_first)
    assert caught("lost", "is sent", "is delivered")


def test_a_message_is_settled_before_the_ratchet_that_sent_it_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SessionKeeper._try_commit

    async def hasty(self: SessionKeeper, writes: Sequence[Any], acknowledging: Any) -> list[Version]:
        if not writes and acknowledging is None:
            return await honest(self, writes, acknowledging)
        return await self._commit_plainly(writes, acknowledging)

    monkeypatch.setattr(SessionKeeper, "_try_commit", hasty)
    assert caught("message key used twice")


def test_one_that_fails_does_not_hold_back_its_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sender._hand_over_chat

    async def hasty(self: Sender, rows: list[Outgoing]) -> None:
        for row in rows:
            await honest(self, [row])

    monkeypatch.setattr(Sender, "_hand_over_chat", hasty)
    assert caught("out of order")


def test_a_doubt_does_not_block_its_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SendQueue.waiting

    def without_doubts(self: SendQueue) -> list[Outgoing]:
        return [row for row in honest(self) if row.state is MessageState.QUEUED]

    monkeypatch.setattr(SendQueue, "waiting", without_doubts)
    assert caught("out of order")


# Evidence


def test_the_evidence_of_the_store_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_was_tried(self: FakeLink, tags: Any) -> dict[bytes, Any]:
        return {}

    monkeypatch.setattr(FakeLink, "find_tried", nothing_was_tried)
    assert caught("times")


def test_a_doubt_is_taken_for_a_failure_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sender._hand_over

    async def forgetful(self: Sender, row: Any) -> SendOutcome:
        outcome = await honest(self, row)
        return SendOutcome("unknown") if outcome.result == "unknown" else outcome

    monkeypatch.setattr(Sender, "_hand_over", forgetful)
    assert caught("times")


def test_the_witness_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(self: WitnessDesk) -> None:
        return None

    monkeypatch.setattr(WitnessDesk, "witness", nobody)
    assert caught("times")


def test_a_witness_answers_before_it_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Witness.asked

    def hasty(self: Witness, question: Any) -> None:
        self._caught_up.set()
        honest(self, question)

    async def at_once(self: FakeLink) -> bool:
        return True

    monkeypatch.setattr(Witness, "asked", hasty)
    monkeypatch.setattr(Witness, "disconnected", lambda self: None)
    monkeypatch.setattr(FakeLink, "probe", at_once)
    assert caught("times", seeds=STANDBY_ALONE_KNOWS)


def test_a_witness_that_lost_its_disk_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = WitnessDesk.witness

    async def trusted(self: WitnessDesk) -> Device | None:
        device = await honest(self)
        return replace(device, restored_at=None) if device is not None else None

    monkeypatch.setattr(WitnessDesk, "witness", trusted)
    assert caught("times", seeds=STANDBY_ALONE_KNOWS)


def test_what_a_rebuilt_store_does_not_know_is_taken_for_never_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sender.settle_earlier_claims

    async def trusting(self: Sender, unsettled: list[Outgoing]) -> None:
        self._authority = replace(self._authority, incarnation=self._session.step.incarnation)
        await honest(self, unsettled)

    monkeypatch.setattr(Sender, "settle_earlier_claims", trusting)
    assert caught("times")


# Hearing


def test_what_was_heard_is_forgotten_before_it_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Recorder._record_batch

    async def hasty(self: Recorder) -> None:
        await self._journal.acknowledge([message.seq for message in self._heard])
        await honest(self)

    monkeypatch.setattr(Recorder, "_record_batch", hasty)
    assert caught("unheard")


def test_a_receipt_is_forgotten_before_what_it_says_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SendQueue, "is_durable", lambda self, wa_message_id: True)
    assert caught("is sent", "lost")


def test_a_late_proof_moves_a_message_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_last_word(state: MessageState, cause: Cause) -> MessageState | None:
        return MessageState.DELIVERED if cause is Cause.DELIVERED else next_state(state, cause)

    monkeypatch.setattr(send_queue, "next_state", by_the_last_word)
    assert caught("is delivered")


def test_a_complaint_of_a_phone_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SendQueue, "_repair", lambda self, row, unreadable: None)
    assert caught("lost")


# Sessions


def test_a_rebuilt_store_goes_on_with_the_ratchets_of_doubted_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = MemorySessionFile.rebuild

    async def unaware(
        self: MemorySessionFile, snapshot: bytes, changes: Sequence[bytes], forget_chats: Collection[str]
    ) -> Position:
        return await honest(self, snapshot, changes, ())

    monkeypatch.setattr(MemorySessionFile, "rebuild", unaware)
    assert caught("message key used twice")
