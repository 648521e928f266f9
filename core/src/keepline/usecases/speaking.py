"""One device's part in who sends for its account: taking the right to, using it, and giving it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
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
from keepline.records.accounts import FIRST_SLOT, Device, KeyedAccount
from keepline.records.outbox import Authority
from keepline.usecases.authority import AuthorityLost, read_authority, take_authority, unsettled_rows
from keepline.usecases.held_receipts import HeldReceipts
from keepline.usecases.sending import Sender
from keepline.usecases.session_keeping import Opened, SessionKeeper, SessionLost

# While its own link is down the holder looks this often whether the account's other device could take over.
_LOOK_S = 1.0
_STORE_RETRY_S = 0.5
# While its link is only poor. Each look reads the account's devices, and this can last.
_POOR_LOOK_S = 15.0
# What is on its way is waited for this long when the connector stops, or leaves a poor link: WhatsApp answers within some hundred
# milliseconds, or seconds.
DRAIN_LIMIT_S = 6.0
# Where another device waits to send, no longer than this: what has no answer by then that one will find as a copy, or not.
HAND_OVER_LIMIT_S = 1.0
# Receipts are a commit or two.
LAST_RECEIPTS_LIMIT_S = 1.0
# With the commits that come after it.
STEP_ASIDE_LIMIT_S = 8.0

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
        account: KeyedAccount,
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
        self._pacing = device.settings.pacing
        self._connector = connector
        self._is_silent = is_silent
        self._on_cut = on_cut
        self._reconnect = reconnect
        self._sender: Sender | None = None
        self._offered: list[Outgoing] = []
        self._authority: Authority | None = None  # as it was last seen
        self._logged_in = self._caught_up = self._stalled = False
        self._poor = False
        self._fenced = False
        self._stepping_aside = False
        self._silent = asyncio.Event()  # while there is no sender
        self._silent.set()
        self._held = HeldReceipts(clock, link)
        self._changed = asyncio.Event()

    # What the runner tells

    def offer(self, rows: Iterable[Outgoing]) -> None:
        """The account's present waiting rows."""
        self._offered = list(rows)
        if self._sender is not None:
            self._sender.offer(self._offered)

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

    def judged(self, *, is_poor: bool) -> None:
        """The link works, and badly: another device with a good one is to send. Or it is good again."""
        if is_poor != self._poor:
            self._poor = is_poor
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
            self._held.hold([receipt])
            self._changed.set()

    def met(self, chat: str) -> None:
        """Somebody wrote to us in this chat."""
        if self._sender is not None:
            self._sender.met(chat)

    def pace(self, pacing: str) -> None:
        """The name of the profile that says how fast to send."""
        self._pacing = pacing
        if self._sender is not None:
            self._sender.pace(pacing)

    def banned(self, code: int, lasts_s: float) -> None:
        """WhatsApp has banned the number, for so many seconds (0: it does not say)."""
        if self._sender is not None:
            self._sender.banned(code, lasts_s)

    async def pause(self) -> None:
        """Begin nothing until the next login, and wait until what is on its way is answered, for as long as a stop would."""
        if self._sender is not None:
            await self._sender.quiet(DRAIN_LIMIT_S)

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
            authority = await take_authority(self._store, authority, self._connector, self._slot, self._clock.now())
        self._authority = authority
        unsettled = await unsettled_rows(self._store, authority)
        # Once more: until the right was taken, its chats could come under suspicion.
        device = await self._read_device()
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

    async def step_aside(self) -> None:
        """The connection is about to be made anew, on purpose: let another device send, if one can, and else pause.

        Returns when what was on its way is settled (or has had its time). This device does not send before its next connection.
        """
        self._stepping_aside = self._sender is not None
        self._changed.set()
        try:
            async with asyncio.timeout(STEP_ASIDE_LIMIT_S):
                await self._silent.wait()
        except TimeoutError:
            self._stepping_aside = False

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
                    await self._hand_over(self._sender)
            raise

    async def settle_receipts(self) -> None:
        """After `run`, when nothing more can be heard: make durable what receipts have said.

        Where another device sends, that one does it.
        """
        if self._sender is not None:
            with contextlib.suppress(AuthorityLost, StoreUnavailable, StoreConflict):
                await self._sender.drain(LAST_RECEIPTS_LIMIT_S)

    async def _wait_for_the_right(self) -> None:
        while self._sender is None:
            if self._is_ready and self._authority is not None and self._may_take(self._authority):
                authority, _ = await asyncio.gather(
                    read_authority(self._store, self._account.id), self._session.check()
                )
                if self._may_take(authority):
                    # What is unsettled changes only with the document whose version the taking presupposes.
                    taken, unsettled = await asyncio.gather(
                        take_authority(self._store, authority, self._connector, self._slot, self._clock.now()),
                        unsettled_rows(self._store, authority),
                    )
                    log.info("device %s sends for %s from now on", self._slot, self._account.id)
                    await self._begin(taken, unsettled)
                    return
            next_s = await self._held.let_go()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next_s):
                    await self._changed.wait()
            self._changed.clear()

    async def _begin(self, authority: Authority, unsettled: list[Outgoing]) -> None:
        sender = Sender(
            self._store,
            self._clock,
            self._random,
            self._link,
            self._session,
            authority,
            self._account,
            self._pacing,
            self._known_since,
        )
        await sender.settle_earlier_claims(unsettled)
        sender.offer(self._offered)
        if self._logged_in and not self._stalled:
            sender.connected()
        if self._caught_up:
            sender.caught_up()
        self._sender = sender
        self._silent.clear()
        self._stepping_aside = False
        for receipt in self._held.take():
            sender.heard(receipt)

    async def _send(self) -> None:
        """Send until this device's link fails or is poor and another one could."""
        sender = self._sender
        assert sender is not None
        sending = asyncio.create_task(sender.run())
        try:
            while not sending.done():
                changed = asyncio.create_task(self._changed.wait())
                limit_s = _LOOK_S if not self._is_ready else _POOR_LOOK_S if self._poor else None
                await asyncio.wait([sending, changed], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()
                if self._stepping_aside and not sending.done():
                    await _cancelled(sending)
                    await self._let_go(sender)
                    return
                if (
                    (self._poor or not self._is_ready)
                    and not sending.done()
                    and await self._another_could(better=self._is_ready)
                ):
                    await _cancelled(sending)
                    await self._leave_link(sender)
                    return
            sending.result()
        finally:
            await _cancelled(sending)

    async def _leave_link(self, sender: Sender) -> None:
        link = "a poor link" if self._is_ready else "no link"
        log.warning("device %s of %s has %s: another one is to send", self._slot, self._account.id, link)
        limit_s = DRAIN_LIMIT_S if self._is_ready else 0.0
        try:
            if not self._is_ready:
                await self._cut()  # It may come back to life at any moment, with all that it still holds.
            await self._give_up(sender, limit_s)
        finally:
            await self._cut()
            self._reconnect()  # Also if that could not be written: the socket is cut.

    async def _hand_over(self, sender: Sender) -> None:
        sender.paused()
        if await self._another_could():
            await self._give_up(sender, HAND_OVER_LIMIT_S)
        else:
            await sender.drain(DRAIN_LIMIT_S)

    async def _let_go(self, sender: Sender) -> None:
        # Until the next connection; should that come before this is over, it counts.
        self._logged_in = self._caught_up = False
        sender.paused()
        if not await self._another_could():
            await sender.drain(DRAIN_LIMIT_S)
            self._drop()  # It takes the right anew when it is connected again.
            return
        log.info("device %s of %s lets another one send", self._slot, self._account.id)
        try:
            await self._give_up(sender, DRAIN_LIMIT_S)
        finally:
            if not self._stepping_aside:  # Nobody waits any more, and this connection was not to send again.
                await self._cut()
                self._reconnect()

    async def _give_up(self, sender: Sender, limit_s: float) -> None:
        # Not to be taken back by this device, before its next connection.
        self._logged_in = self._caught_up = self._stalled = False
        await sender.give_up(limit_s, self._cut)
        self._drop()

    async def _cut(self) -> None:
        self._on_cut()
        await self._link.cut()
        self._logged_in = self._caught_up = self._stalled = False

    def _drop(self) -> None:
        sender, self._sender = self._sender, None
        self._silent.set()
        if sender is not None:
            sender.stop()
            self._held.hold(sender.unwritten_receipts())

    @property
    def _is_ready(self) -> bool:
        return self._logged_in and self._caught_up and not self._stalled

    def _may_take(self, authority: Authority) -> bool:
        holder = _holder(authority)
        silent = self._is_silent(holder.connector)
        return may_take_when_ready(holder, self._connector, self._slot, first_slot=FIRST_SLOT, holder_is_silent=silent)

    async def _another_could(self, *, better: bool = False) -> bool:
        """Whether another device of the account is connected, by what its connector wrote lately.

        `better`: and its connection is not a poor one.
        """
        try:
            documents = await self._store.query(accounts.devices_of_account(self._account.id))
        except StoreUnavailable:
            return False
        others = [device for device in map(Device.read, documents) if device.slot != self._slot]
        return any(
            device.wanted
            and (device.state is SessionState.CONNECTED or (not better and device.status.code == "poor_connection"))
            and not self._is_silent(device.connector)
            for device in others
        )


def _holder(authority: Authority) -> Holder:
    return Holder(authority.connector, authority.slot, authority.yielded)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
