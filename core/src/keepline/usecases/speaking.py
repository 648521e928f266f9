"""One device's part in who sends for its account: taking the right to, using it, and giving it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from random import Random

from keepline.domain.link_events import ReceiptHeard
from keepline.domain.pacing import Wait
from keepline.domain.send_queue import Outgoing
from keepline.domain.session import SessionState
from keepline.domain.voice import Holder, may_take_when_opening, may_take_when_ready
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import accounts
from keepline.records.accounts import FIRST_SLOT, Account, Device
from keepline.records.outbox import Authority
from keepline.usecases.sending import AuthorityLost, Sender, read_authority, take_authority, unsettled_rows
from keepline.usecases.session_keeping import Opened, SessionKeeper, SessionLost

# While its own link is down the holder looks this often whether the account's other device could take over.
_LOOK_S = 1.0
_STORE_RETRY_S = 0.5
# What is on its way is waited for this long when the connector stops: WhatsApp answers within some hundred milliseconds.
DRAIN_LIMIT_S = 6.0

# Both devices hear every receipt. The one that does not send keeps them for as long as it may take to find out that the other is
# gone; but no more of them, because they take room from what else is heard (the journal's window).
RECEIPTS_HELD_S = 60.0
RECEIPTS_HELD_MAX = 200

# Whether a connector, by its name, has fallen silent or said that it stops.
IsSilent = Callable[[str], bool]

log = logging.getLogger(__name__)


class Speaker:
    """For one device. Its runner tells it what happens; `run` does the rest."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        link: DeviceLink,
        session: SessionKeeper,
        account: Account,
        device: Device,
        connector: str,
        is_silent: IsSilent,
        on_cut: Callable[[], None],
        reconnect: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._link = link
        self._session = session
        self._account = account
        self._slot = device.slot
        self._known_since = device.restored_at
        self._connector = connector
        self._is_silent = is_silent
        self._on_cut = on_cut
        self._reconnect = reconnect
        self._sender: Sender | None = None
        self._offered: list[Outgoing] = []
        self._authority: Authority | None = None  # as it was last seen
        self._logged_in = self._caught_up = self._stalled = False
        self._fenced = False
        self._held: deque[tuple[float, ReceiptHeard]] = deque()
        self._changed = asyncio.Event()

    # What the runner tells

    def offer(self, rows: Iterable[Outgoing]) -> None:
        """The account's present waiting rows."""
        self._offered = list(rows)
        if self._sender is not None:
            self._sender.offer(_copies(self._offered))

    def authority_seen(self, authority: Authority) -> None:
        """The authority document, which anybody may have changed."""
        self._authority = authority
        self._changed.set()

    def look_again(self) -> None:
        """A connector has fallen silent, or is back."""
        self._changed.set()

    def fence(self) -> None:
        """Others may be acting already: when `run` is cancelled, nothing is settled any more."""
        self._fenced = True

    def connected(self) -> None:
        self._logged_in, self._stalled = True, False
        if self._sender is not None:
            self._sender.connected()
        self._changed.set()

    def caught_up(self) -> None:
        self._caught_up = True
        if self._sender is not None:
            self._sender.caught_up()
        self._changed.set()

    def stalled(self) -> None:
        """The socket stands but does not answer."""
        self._stalled = True
        if self._sender is not None:
            self._sender.paused()
        self._changed.set()

    def disconnected(self) -> None:
        self._logged_in = self._caught_up = self._stalled = False
        if self._sender is not None:
            self._sender.disconnected()
        self._changed.set()

    def heard(self, receipt: ReceiptHeard) -> None:
        """A receipt. The journal may forget it when it is durable, or when the sending device has had time to make it so."""
        if self._sender is not None:
            self._sender.heard(receipt)
        else:
            self._held.append((self._clock.monotonic_s(), receipt))
            self._changed.set()

    def met(self, chat: str) -> None:
        """Somebody wrote to us in this chat."""
        if self._sender is not None:
            self._sender.met(chat)

    def banned(self, code: int, lasts_s: float) -> None:
        """WhatsApp has banned the number, for so many seconds (0: it does not say)."""
        if self._sender is not None:
            self._sender.banned(code, lasts_s)

    @property
    def speaks(self) -> bool:
        return self._sender is not None

    def queue_depth(self) -> tuple[int, datetime | None]:
        """How many rows wait here, and since when the oldest does."""
        return self._sender.queue_depth() if self._sender is not None else (0, None)

    def held(self) -> Wait | None:
        """What holds back all that could be sent, if it is pacing."""
        return self._sender.held() if self._sender is not None else None

    # What it does

    async def open(self) -> Opened:
        """Take the session, and the right to send if it is this device's or nobody's. Call it before the device connects.

        What an earlier life claimed is judged from the device's own store, before its socket opens. Raises what
        `SessionKeeper.open` does, StoreConflict and AuthorityLost; and SessionLost if the device is another connector's.
        """
        device = await self._read_device()
        if device is not None and device.connector != self._connector:
            raise SessionLost(self._account.id)  # The right to send would stay with one that does not run.
        authority = await read_authority(self._store, self._account.id)
        taken = may_take_when_opening(_holder(authority), self._slot, first_slot=FIRST_SLOT)
        if taken:
            authority = await take_authority(self._store, authority, self._connector, self._slot)
        self._authority = authority
        unsettled = await unsettled_rows(self._store, authority)
        device = (
            await self._read_device()
        )  # Once more: until the right was taken, its chats could come under suspicion.
        opened = await self._session.open(
            max(device.session_sequence if device else 0, authority.sessions.get(self._slot, 0)),
            {*(row.chat for row in unsettled), *(device.suspect_chats if device else ())},
            restoring=[accounts.device_restored(self._account.id, self._slot)],
        )
        if opened.kind == "restored":
            self._known_since = self._clock.now()
        if taken:
            await self._begin(authority, unsettled)
        return opened

    async def _read_device(self) -> Device | None:
        document = await self._store.get(accounts.device_path(self._account.id, self._slot))
        return Device.read(document) if document is not None else None

    async def give_up_unopened(self) -> None:
        """The session cannot be used: another device of the account may send. Raises StoreUnavailable and StoreConflict."""
        authority = await read_authority(self._store, self._account.id)
        if authority.slot == self._slot and not authority.yielded and await self._another_could():
            await self._store.commit([authority.given_up().write()])

    async def run(self) -> None:
        """Until cancelled: send whenever the right is this device's. When cancelled, settle what is in flight and give it up."""
        try:
            while True:
                try:
                    await self._wait_for_the_right()
                    await self._send()
                except AuthorityLost:
                    log.warning("another device sends for %s now, not %s", self._account.id, self._slot)
                    self._drop()
                except (StoreConflict, StoreUnavailable) as error:
                    log.warning("who sends for %s could not be settled, trying again: %s", self._account.id, error)
                    self._drop()
                    await asyncio.sleep(_STORE_RETRY_S)
        except asyncio.CancelledError:
            if self._sender is not None and self._fenced:
                self._sender.stop()
            elif self._sender is not None:
                with contextlib.suppress(AuthorityLost, StoreUnavailable, StoreConflict):
                    await self._sender.drain(DRAIN_LIMIT_S)
                    if await self._another_could():
                        await self._give_up(self._sender)
            raise

    async def _wait_for_the_right(self) -> None:
        while self._sender is None:
            if self._is_ready and self._authority is not None and self._may_take(self._authority):
                authority = await read_authority(self._store, self._account.id)
                if self._may_take(authority):
                    await self._session.check()
                    authority = await take_authority(self._store, authority, self._connector, self._slot)
                    log.info("device %s sends for %s from now on", self._slot, self._account.id)
                    await self._begin(authority, await unsettled_rows(self._store, authority))
                    return
            next_s = await self._let_go_of_receipts()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next_s):
                    await self._changed.wait()
            self._changed.clear()

    async def _let_go_of_receipts(self) -> float | None:
        """Forget what the sending device has had its time for. Returns the seconds until there is more to forget."""
        now_s = self._clock.monotonic_s()
        due: list[int] = []
        while self._held and (now_s - self._held[0][0] >= RECEIPTS_HELD_S or len(self._held) > RECEIPTS_HELD_MAX):
            due.append(self._held.popleft()[1].seq)
        await self._link.acknowledge(due)
        return self._held[0][0] + RECEIPTS_HELD_S - now_s if self._held else None

    async def _begin(self, authority: Authority, unsettled: list[Outgoing]) -> None:
        sender = Sender(
            self._store,
            self._clock,
            self._random,
            self._link,
            self._session,
            authority,
            self._account,
            self._known_since,
        )
        await sender.settle_earlier_claims(unsettled)
        sender.offer(_copies(self._offered))
        if self._logged_in and not self._stalled:
            sender.connected()
        if self._caught_up:
            sender.caught_up()
        self._sender = sender
        while self._held:
            sender.heard(self._held.popleft()[1])

    async def _send(self) -> None:
        """Send until this device's link fails and another one could."""
        sender = self._sender
        assert sender is not None
        sending = asyncio.create_task(sender.run())
        try:
            while not sending.done():
                changed = asyncio.create_task(self._changed.wait())
                limit_s = None if self._is_ready else _LOOK_S
                await asyncio.wait([sending, changed], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()
                if not self._is_ready and not sending.done() and await self._another_could():
                    await _cancelled(sending)
                    log.warning("device %s of %s has no link: another one is to send", self._slot, self._account.id)
                    try:
                        await self._give_up(sender)
                    finally:
                        self._reconnect()  # It is cut, however the rest went.
                    return
            sending.result()
        finally:
            await _cancelled(sending)

    async def _give_up(self, sender: Sender) -> None:
        # Before anybody else speaks, nothing of ours can leave any more.
        self._on_cut()
        await self._link.cut()
        self._logged_in = self._caught_up = self._stalled = False
        await sender.give_up()
        self._drop()

    def _drop(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.stop()
            now_s = self._clock.monotonic_s()
            self._held.extend((now_s, receipt) for receipt in sender.unwritten_receipts())

    @property
    def _is_ready(self) -> bool:
        return self._logged_in and self._caught_up and not self._stalled

    def _may_take(self, authority: Authority) -> bool:
        holder = _holder(authority)
        silent = self._is_silent(holder.connector)
        return may_take_when_ready(holder, self._connector, self._slot, first_slot=FIRST_SLOT, holder_is_silent=silent)

    async def _another_could(self) -> bool:
        """Whether another device of the account is connected, by what its connector wrote lately."""
        try:
            documents = await self._store.query(accounts.devices_of_account(self._account.id))
        except StoreUnavailable:
            return False
        others = [device for device in map(Device.read, documents) if device.slot != self._slot]
        return any(
            device.wanted and device.state is SessionState.CONNECTED and not self._is_silent(device.connector)
            for device in others
        )


def _holder(authority: Authority) -> Holder:
    return Holder(authority.connector, authority.slot, authority.yielded)


def _copies(rows: Iterable[Outgoing]) -> list[Outgoing]:
    """What a sender writes on its rows, that it claimed them for one, is nothing to the next sender."""
    return [replace(row, times=dict(row.times)) for row in rows]


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
