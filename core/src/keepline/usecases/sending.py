"""Sending for one account: claim, hand over, settle, with one commit carrying both the settles and the next claims.

One task (`run`) is the only writer of the account's authority document but for withdrawals, so preconditions fail only when the
authority has changed hands, somebody withdrew a row, or an earlier commit of our own was applied although its answer was lost.

Every commit goes through the device's session keeper, which adds the ratchet rows that have changed: a message is `sent` in the
same instant in which the state that sent it is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime
from random import Random

from keepline.domain.content.bodies import Content, Edit, Revoke
from keepline.domain.content.references import MessageRef
from keepline.domain.link_events import ReceiptHeard, SendOutcome
from keepline.domain.message import FACTS, MessageState
from keepline.domain.pacing import BAN_PREFIX, PROFILES, Pacing, Wait
from keepline.domain.send_queue import WITH_WHATSAPP, Outgoing, Plan, SendQueue
from keepline.domain.tag import message_tag
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable, Write
from keepline.records import accounts, changes, outbox
from keepline.records.accounts import Device, KeyedAccount
from keepline.records.outbox import Authority
from keepline.usecases import message_steps
from keepline.usecases.authority import AuthorityLost, read_authority
from keepline.usecases.doubting import DoubtJudge
from keepline.usecases.receipts import Receipts
from keepline.usecases.session_keeping import SessionKeeper, Step
from keepline.usecases.strangers import look_up_strangers
from keepline.usecases.witnessing import WitnessDesk

IN_FLIGHT_MAX = 10
_STORE_RETRY_S = 0.5
_TICK_S = 1.0
_SUSPECT_TRIES_MAX = 10

log = logging.getLogger(__name__)


class Sender:
    """The sending side of one account, for as long as its authority lasts.

    `known_since`: when the local store was rebuilt, if it was. Copies of what other devices sent before may be missing in it.
    """

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        link: DeviceLink,
        session: SessionKeeper,
        authority: Authority,
        account: KeyedAccount,
        pacing: str,
        known_since: datetime | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._link = link
        self._session = session
        self._authority = authority
        self._key = account.tag_key
        self._session_id = account.session_id
        self._slot = authority.slot
        profile, now, now_s = PROFILES[pacing], clock.now(), clock.monotonic_s()
        self._pacing = Pacing.resumed(profile, authority.pacing, now, now_s, linked_at=account.created_at)
        self._queue = SendQueue(IN_FLIGHT_MAX, authority.slot, self._pacing)
        self._receipts = Receipts(store, link, authority.account, self._queue)
        desk = WitnessDesk(store, authority.account, authority.slot, str(authority.generation))
        self._wake = asyncio.Event()
        self._doubts = DoubtJudge(
            clock, link, self._queue, desk, self._tag, self._is_anothers, self._wake.set, known_since
        )
        self._connected = False
        self._leaving = False
        self._pending_since_s: float | None = None  # since when there has been something to commit
        self._commit_at_s: float | None = None
        self._hand_overs: set[asyncio.Task[None]] = set()
        self._stepping: asyncio.Task[None] | None = None

    def offer(self, rows: Iterable[Outgoing]) -> None:
        """The present result of the outbox watch for this account.

        What is written on a row here, that it was claimed for one, is nothing to the next sender: the queue gets copies. Of a
        long result few rows are new to it, and only those are copied.
        """
        self._queue.offer(
            row if self._queue.has(row.message_id) else replace(row, times=dict(row.times)) for row in rows
        )
        self._wake.set()

    def connected(self) -> None:
        self._connected = True
        self._wake.set()

    def paused(self) -> None:
        """The socket stands but does not answer: claim nothing new until it does."""
        self._connected = False

    async def quiet(self, timeout_s: float) -> None:
        """As `paused`, and wait until what was handed over before has been answered."""
        self.paused()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if self._stepping is not None:
                    await asyncio.wait([self._stepping])
                while self._hand_overs:
                    await asyncio.wait(self._hand_overs)

    def caught_up(self) -> None:
        """The receipts of the time away have been heard: from now on their absence means something."""
        self._doubts.caught_up()
        self._wake.set()

    def disconnected(self) -> None:
        self._connected = False
        self._doubts.disconnected()

    async def settle_earlier_claims(self, unsettled: list[Outgoing]) -> None:
        """Decide about rows that an earlier holder had claimed. If that was this device, call it before the device connects.

        A row whose tag the device's store does not know was never handed to WhatsApp: it is simply still queued. A row whose
        tag is known is sent, if the journal has WhatsApp's answer, or else in doubt. A store that was rebuilt since the claim
        may have forgotten the tag with its disk: there nothing counts as not handed over. Nor in the store of another device than
        the one that tried; but what that has is a copy, so WhatsApp took it.
        """
        # Where neither names a life of the store, nothing says that it is the same one.
        incarnation = self._session.step.incarnation
        store_is_whole = incarnation != "" and self._authority.incarnation == incarnation
        tags = {row.message_id: self._tag(row, _open_attempt(row)) for row in unsettled}
        tried = await self._link.find_tried(list(tags.values()))
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        for row in unsettled:
            row.tried_at = self._authority.claim_time(row.message_id) or row.tried_at
            found = tried.get(tags[row.message_id])
            outcome = None if store_is_whole else SendOutcome("unknown")
            if found is not None:
                taken = found.acknowledged or self._is_anothers(row)
                outcome = SendOutcome("sent" if taken else "unknown", wa_message_id=found.wa_message_id)
            self._queue.adopt(row, outcome, self._authority.claim_slot or self._slot, now, now_s)
        await self._suspect({row.chat for row in unsettled if self._is_anothers(row)})
        self._queue.release_unknown(self._authority.message_ids())
        while plan := self._queue.plan(now, now_s, may_send=False):
            await self._commit(plan)

    async def _suspect(self, chats: set[str]) -> None:
        """Before the other device's claims are settled: once they are, nothing else would tell it of them."""
        if not chats:
            return
        for _ in range(_SUSPECT_TRIES_MAX):
            document = await self._store.get(accounts.device_path(self._authority.account, self._authority.claim_slot))
            if document is None:
                return
            with contextlib.suppress(StoreConflict):
                await self._store.commit([accounts.suspect(Device.read(document), chats)])
                return
        raise StoreUnavailable(f"the other device of {self._authority.account} is being written without a pause")

    def heard(self, receipt: ReceiptHeard) -> None:
        """A receipt. The device's journal may forget it once what it says is durable."""
        self._receipts.heard(receipt)
        self._wake.set()

    def unwritten_receipts(self) -> list[ReceiptHeard]:
        """Receipts that were heard here and are not durable: for whoever keeps them when this sender ends."""
        return self._receipts.unwritten()

    def met(self, chat: str) -> None:
        """Somebody wrote to us in this chat: what we send there is no first contact."""
        self._queue.met(chat)
        self._wake.set()

    def pace(self, pacing: str) -> None:
        """The name of the profile that holds from now on."""
        self._pacing.follow(PROFILES[pacing])
        self._wake.set()

    def banned(self, code: int, lasts_s: float) -> None:
        """WhatsApp has banned the number for a while (0: it does not say for how long)."""
        self._pacing.signal(f"{BAN_PREFIX}{code}", self._clock.monotonic_s(), lasts_s)

    def held(self) -> Wait | None:
        """What holds back all that could be sent, if it is pacing."""
        return self._queue.held(self._clock.monotonic_s())

    def queue_depth(self) -> tuple[int, datetime | None]:
        """How many rows wait, and since when the oldest does."""
        waiting = self._queue.waiting()
        return len(waiting), waiting[0].due_at if waiting else None

    async def run(self) -> None:
        """Send until cancelled. Raises AuthorityLost."""
        while True:
            await self._wait()
            # Whole steps only: a cancellation in the middle of a commit would leave us not knowing whether it was applied.
            self._stepping = asyncio.create_task(self._step())
            await asyncio.shield(self._stepping)

    async def drain(self, timeout_s: float) -> None:
        """Claim nothing more, and settle what is in flight as far as the time allows. Call it after `run` was cancelled."""
        self._connected = False
        self._leaving = True
        try:
            async with asyncio.timeout(timeout_s):
                if self._stepping is not None:
                    await asyncio.wait([self._stepping])
                while self._queue.claimed() or self._receipts.unwritten():
                    await self._wait()
                    await self._step()
        except TimeoutError:
            log.warning(
                "stopping with claims of %s unsettled; the next holder decides about them", self._authority.account
            )
        finally:
            self.stop()

    async def give_up(self, timeout_s: float, cut: Callable[[], Awaitable[None]]) -> None:
        """Settle what is known and let another device take over, in one commit. Call it after `run` was cancelled.

        What is on its way is waited for. If something is without an answer then, or in doubt, it may leave yet: first the socket
        is `cut`. Raises AuthorityLost when another device has taken over already, and StoreUnavailable.
        """
        self._connected = False
        self._leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if self._stepping is not None:
                    await asyncio.wait([self._stepping])
                if self._hand_overs:
                    await asyncio.wait(self._hand_overs)
        if any(not task.done() for task in self._hand_overs) or self._queue.has_doubts:
            await cut()
        self.stop()
        if self._stepping is not None:
            await asyncio.wait([self._stepping])
        while not self._authority.yielded:
            plan = self._queue.plan(self._clock.now(), self._clock.monotonic_s(), may_send=False)
            await self._commit(plan, yielding=True)

    def stop(self) -> None:
        """Hand over nothing more, also not what a step that is on its way claims, and look for nothing."""
        self._leaving = True
        for task in self._hand_overs:
            task.cancel()
        self._doubts.stop()

    async def _wait(self) -> None:
        """Until there is something to do; a tick only while time itself decides something."""
        next_s = self._queue.next_change_s(self._clock.now(), self._clock.monotonic_s())
        if self._queue.doubts() or self._receipts.has_early:
            next_s = min(next_s or _TICK_S, _TICK_S)
        if self._commit_at_s is not None:
            linger_s = max(0.0, self._commit_at_s - self._clock.monotonic_s())
            next_s = linger_s if next_s is None else min(next_s, linger_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(next_s):
                await self._wake.wait()
        self._wake.clear()

    async def _step(self) -> None:
        try:
            if await self._receipts.look_up_early(in_flight=bool(self._hand_overs)):
                self._wake.set()
            await self._doubts.judge()
            await look_up_strangers(self._store, self._clock, self._authority.account, self._queue)
            now, now_s = self._clock.now(), self._clock.monotonic_s()
            plan = self._queue.plan(now, now_s, may_send=self._connected and not self._leaving)
            if not plan:
                self._pending_since_s = self._commit_at_s = None
            elif self._is_time_for(plan, now_s):
                await self._commit(plan)
                self._wake.set()  # There may be more than one commit holds.
        except StoreUnavailable as error:
            log.warning("Firestore did not answer for %s: %s", self._authority.account, error)
            self._wake.set()
            await asyncio.sleep(_STORE_RETRY_S)
            return
        await self._receipts.acknowledge()

    def _is_time_for(self, plan: Plan, now_s: float) -> bool:
        """Whether to commit now, or to wait for what else is about to come."""
        if self._pending_since_s is None:
            self._pending_since_s = now_s
        self._commit_at_s = self._pending_since_s + self._queue.linger_s(plan)
        if now_s < self._commit_at_s and not self._leaving:
            return False
        self._pending_since_s = self._commit_at_s = None
        return True

    def _is_anothers(self, row: Outgoing) -> bool:
        """Whether another device than this one made the row's last try, or holds it claimed."""
        tried_by = row.tried_by if row.state is MessageState.IN_DOUBT else self._authority.claim_slot
        return tried_by not in (None, "", self._slot)

    async def _commit(self, plan: Plan, *, yielding: bool = False) -> None:
        """Make the plan durable and hand over what it claims. On a conflict nothing was applied: look, and plan anew.

        `yielding`: with it goes the right to send, to whoever takes it.
        """
        authority = self._authority
        began_s = now_s = self._clock.monotonic_s()
        self._queue.claiming(plan, now_s, self._random.random())
        writes: list[Write] = [outbox.settle_row(row) for row in plan.write]
        writes += [change for row in plan.write if (change := _change_of_another(authority.account, row)) is not None]
        try:
            # What phones say is true whoever writes it. All else is the voice's alone, and proves with each commit to be it.
            if yielding or plan.changes_claims or any(row.state not in FACTS for row in plan.write):
                claimed = authority.after([row.message_id for row in plan.claim], plan.release)
                claimed = claimed.paced(self._pacing.memory(self._clock.now(), now_s))
                if yielding:
                    claimed = claimed.given_up()

                def acknowledging(step: Step) -> Write:
                    nonlocal authority
                    authority = claimed.at(step.sequence, step.incarnation)
                    return authority.write()

                *versions, version = await self._session.commit(writes, acknowledging=acknowledging)
                self._authority = authority.written(version)
                for row in plan.claim:
                    row.tried_at = version
            else:
                versions = await self._session.commit(writes)
        except StoreConflict:
            await self._reconcile(plan)
            return
        message_steps.committed(self._session_id, plan, self._clock.monotonic_s() - began_s)
        self._queue.committed(plan, authority.attempt, versions[: len(plan.write)])
        if self._leaving:
            for row in plan.claim:
                self._queue.put_back(row)
            return
        for _, rows in itertools.groupby(
            sorted(plan.claim, key=lambda row: (row.chat, row.order)), lambda row: row.chat
        ):
            self._start_hand_over(list(rows))

    async def _reconcile(self, plan: Plan) -> None:
        await self._read_own_authority()
        self._queue.release_unknown(self._authority.message_ids())
        for row in (*plan.write, *plan.claim):
            found = await self._store.get(outbox.row_path(row.message_id))
            self._queue.refresh(row, outbox.to_outgoing(found) if found is not None else None)
        self._wake.set()

    async def _read_own_authority(self) -> None:
        current = await read_authority(self._store, self._authority.account)
        if current.generation != self._authority.generation:
            raise AuthorityLost(self._authority.account)
        self._authority = current

    def _start_hand_over(self, rows: list[Outgoing]) -> None:
        task = asyncio.create_task(self._hand_over_chat(rows))
        self._hand_overs.add(task)
        task.add_done_callback(self._hand_overs.discard)

    async def _hand_over_chat(self, rows: list[Outgoing]) -> None:
        """One chat's claimed rows, one after another; the first that is not settled for good holds the others back.

        So does a pause, and leaving: what is waited for then is the one answer that is under way, not those of a whole chat.
        """
        for tried, row in enumerate(rows):
            if self._leaving or not self._connected:
                for later in rows[tried:]:
                    self._queue.put_back(later)
                break
            outcome = await self._hand_over(row)
            self._queue.outcome(row, outcome, self._clock.now(), self._clock.monotonic_s())
            self._receipts.answered(outcome.wa_message_id or "")
            if row.state in (MessageState.QUEUED, MessageState.IN_DOUBT):
                for later in rows[tried + 1 :]:
                    self._queue.put_back(later)
                break
            self._wake.set()
        self._wake.set()

    async def _hand_over(self, row: Outgoing) -> SendOutcome:
        if row.repair_of is not None and not row.content.can_come_twice:
            # First the copy that cannot be read, so that at no time two can be. Whether that worked does not decide anything.
            copy = MessageRef(row.message_id, row.repair_of, row.chat, from_me=True)
            # Under the tag of the try that it takes back, which nobody asks for any more: the other device knows it for ours.
            await self._link.send(row.chat, Content(Revoke(copy)), self._tag(row, row.doubtful_attempt))
        tag = self._tag(row, row.attempts)
        began_s = self._clock.monotonic_s()
        outcome = await self._link.send(row.chat, row.content, tag)
        message_steps.handed_over(self._session_id, row, outcome, self._clock.monotonic_s() - began_s)
        if outcome.result == "unknown":
            found = (await self._link.find_tried([tag])).get(tag)
            if found is not None and found.acknowledged:
                return SendOutcome("sent", wa_message_id=found.wa_message_id)
            return replace(outcome, wa_message_id=found.wa_message_id if found is not None else None)
        return outcome

    def _tag(self, row: Outgoing, attempt: int) -> bytes:
        return message_tag(self._key, row.message_id, attempt)


def _change_of_another(account: str, row: Outgoing) -> Write | None:
    """What a row that is with WhatsApp did to an earlier message. Said with each of its settles: it comes to the same."""
    sent_at = row.times.get(MessageState.SENT.value) or row.times.get(row.state.value)
    if row.state not in WITH_WHATSAPP or sent_at is None:
        return None
    match row.content.body:
        case Edit(message=message, text=text):
            return changes.edited(account, message, row.message_id, text, sent_at)
        case Revoke(message=message):
            return changes.revoked(account, message, sent_at)
    return None


def _open_attempt(row: Outgoing) -> int:
    """The number of the try whose outcome is open: of a claimed row the next one, of a row in doubt the last."""
    return row.doubtful_attempt if row.state is MessageState.IN_DOUBT else row.attempts
