"""Running one linked device: its events become state, pairing codes, recorded messages and receipts.

One device of an account sends for it, as its `Speaker` and the other's settle it. The other hears the same and is its witness.
What changes in either's local store is replicated to Firestore (its session), with what its commits say or soon after.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from random import Random

from keepline.domain import link_events as link
from keepline.domain.reconnect import back_off_s
from keepline.domain.send_queue import Outgoing
from keepline.domain.session import STARTING, TERMINAL_STATES, next_status, refused_status
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore, StoreConflict, StoreUnavailable
from keepline.ports.keys import KeyUnavailable
from keepline.records import accounts
from keepline.records.accounts import Account, Device
from keepline.records.commands import Order
from keepline.records.connectors import DeviceBeat
from keepline.records.outbox import Authority
from keepline.records.witness import Question
from keepline.usecases.commanding import CommandDesk
from keepline.usecases.pairing import PairingDesk
from keepline.usecases.recording import Recorder
from keepline.usecases.sending import AuthorityLost
from keepline.usecases.session_keeping import SessionKeeper, SessionLost, SessionRefused
from keepline.usecases.session_openings import Openings
from keepline.usecases.speaking import IsSilent, Speaker
from keepline.usecases.status_keeping import StatusKeeper
from keepline.usecases.witnessing import Witness

_STORE_RETRY_S = 0.5
# What makes a stored session unusable does not pass by itself, but a person may mend it.
_REFUSED_RETRY_S = 60.0
# A connection that stands and does not answer is made anew after this. (Where another device can send, that is not waited for.)
_STALLED_LIMIT_S = 4.0
# How long a device that is to be unlinked may take to log in for it.
_UNLINK_LOGIN_LIMIT_S = 15.0

log = logging.getLogger(__name__)


class DeviceRunner:
    """One device of one account in one connector, from being assigned to being let go. `connected` hears of each login."""

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        device_link: DeviceLink,
        session: SessionKeeper,
        openings: Openings,
        account: Account,
        device: Device,
        connector: str,
        connected: Callable[[], None],
        is_silent: IsSilent,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._link = device_link
        self._session = session
        self._openings = openings
        self._account = account
        self._device = device
        self._connector = connector
        self._tell_connected = connected
        self._status = STARTING
        self._failures = 0
        self._leaving = False
        self._replaced = False  # once, since it was opened
        self._was_cut = False  # by the speaker: until a new connection is begun, what is heard is of the old one
        self._try_again = asyncio.Event()
        self._stalled = asyncio.Event()
        self._answering = asyncio.Event()
        self._evidence: tuple[str, float] | None = None
        self._keeper = StatusKeeper(store, session, account.id, device.slot)
        self._desk = PairingDesk(store, account.id, device.slot, account.tenant)
        self._recorder = Recorder(store, session, device_link, account)
        self._witness = Witness(store, device_link)
        self._commands = CommandDesk(store, clock, device_link, device.slot, lambda: self.speaks)
        self._speaker = Speaker(
            store,
            clock,
            random,
            device_link,
            session,
            account,
            device,
            connector,
            is_silent,
            self._cut_on_purpose,
            self._try_again.set,
        )

    def offer(self, rows: Iterable[Outgoing]) -> None:
        """The present waiting rows of this account."""
        self._speaker.offer(rows)

    def authority_seen(self, authority: Authority) -> None:
        """The present state of who sends for this account."""
        self._speaker.authority_seen(authority)

    def look_again(self) -> None:
        """A connector has fallen silent or is back."""
        self._speaker.look_again()

    def pairing_requested(self, requested: int) -> None:
        """How often somebody has asked for a QR code and found none."""
        if self._desk.wants_round(requested):
            self._status = STARTING
            self._keeper.show(STARTING)
            self._try_again.set()

    def asked(self, question: Question) -> None:
        """What the account's sending device asks of this one."""
        self._witness.asked(question)

    def ordered(self, orders: Iterable[Order]) -> None:
        """The open commands of this account."""
        self._commands.ordered(orders)

    def beat(self) -> DeviceBeat:
        """What the connector's heartbeat says of this device."""
        queued, oldest = self._speaker.queue_depth()
        held = self._speaker.held()
        because, held_s = (held.because, round(held.seconds, 1)) if held is not None else (None, None)
        if self._evidence is None:
            return DeviceBeat(None, None, queued, oldest, because, held_s)
        kind, at_s = self._evidence
        age_ms = max(0, round((self._clock.monotonic_s() - at_s) * 1000))
        return DeviceBeat(kind, age_ms, queued, oldest, because, held_s)

    async def run(self) -> None:
        """Run until cancelled; then settle what is in flight and cut the socket. Returns by itself when its session is lost."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keeper.run())
                await self._link.open()
                await self._open_session()
                tasks.create_task(self._session.run())
                tasks.create_task(self._desk.keep_shown())
                tasks.create_task(self._recorder.run())
                tasks.create_task(self._witness.run())
                tasks.create_task(self._commands.run())
                tasks.create_task(self._hear())
                tasks.create_task(self._reconnect())
                tasks.create_task(self._heal_stalls())
                tasks.create_task(self._speaker.run())
                await self._link.connect()
        except* SessionLost:
            log.warning(
                "another connector has device %s of %s now; this one falls silent", self._device.slot, self._account.id
            )
        finally:
            await (self._link.log_out() if self._leaving else self._link.close())

    @property
    def speaks(self) -> bool:
        """Whether this device sends for its account at present."""
        return self._speaker.speaks

    def fence(self) -> None:
        """The connector's lease is lost: when `run` is cancelled, cut the socket and say nothing more, to nobody."""
        self._speaker.fence()

    def leave(self) -> None:
        """The session was deleted: when `run` is cancelled, unlink the device instead of only cutting its socket."""
        self._leaving = True

    async def unlink(self) -> None:
        """In place of `run`: the device is to go and was not running. Log it in once more, if that works, to log it out.

        Raises StoreUnavailable and KeyUnavailable: then try again.
        """
        await self._link.open()
        try:
            await self._session.open(self._device.session_sequence, ())
        except SessionRefused as refusal:
            log.warning(
                "device %s of %s is removed without being restored: %s", self._device.slot, self._account.id, refusal
            )
        await self._link.connect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_UNLINK_LOGIN_LIMIT_S):
                async for event in self._link.events():
                    if isinstance(event, link.CaughtUp | link.PairingCode | link.LoggedOut):
                        break
        await self._link.log_out()

    async def _open_session(self) -> None:
        """Take the right to send and the session, until that succeeds."""
        while True:
            try:
                async with self._openings.turn():
                    await self._try_to_open()
                return
            except SessionRefused as refusal:
                self._openings.refused()
                log.error("%s %s", refusal, refusal.hint)
                self._status = refused_status(refusal.code)
                self._keeper.show(self._status)
                with contextlib.suppress(StoreConflict, StoreUnavailable):
                    await self._speaker.give_up_unopened()
                await asyncio.sleep(_REFUSED_RETRY_S)
            except (StoreConflict, StoreUnavailable, KeyUnavailable, AuthorityLost, SessionLost) as error:
                log.warning("the session of %s could not be opened, trying again: %s", self._account.id, error)
                await asyncio.sleep(_STORE_RETRY_S)
                if await self._is_anothers():
                    raise SessionLost(self._account.id) from error

    async def _is_anothers(self) -> bool:
        """Whether the device has been given to another connector, from which it must not be taken back."""
        with contextlib.suppress(StoreUnavailable):
            document = await self._store.get(accounts.device_path(self._account.id, self._device.slot))
            return document is None or Device.read(document).connector != self._connector
        return False  # Not known: opening it meets the same trouble.

    async def _try_to_open(self) -> None:
        opened = await self._speaker.open()
        self._openings.opened(opened)
        if self._status != STARTING:
            # After a refusal. Otherwise what was written last stands until the login: it claims nothing without fresh evidence.
            self._status = STARTING
            self._keeper.show(STARTING)
        if opened.behind:
            log.error(
                "device %s of %s goes on from a state that is %d steps old, as the restore policy allows",
                *(self._device.slot, self._account.id, opened.behind),
            )
        log.info(
            "session of %s, device %s: %s in %.2f s (step %d, %d bytes)",
            *(self._account.id, self._device.slot, opened.kind, opened.seconds, opened.sequence, opened.bytes),
        )

    async def _hear(self) -> None:
        async for event in self._link.events():
            if not isinstance(event, link.Evidence):
                self._session.poke()
            match event:
                case link.Evidence(kind=kind, age_ms=age_ms):
                    self._evidence = (kind, self._clock.monotonic_s() - age_ms / 1000)
                case link.MessageHeard() | link.MessageUnreadable():
                    self._recorder.heard(event)
                    self._speaker.met(event.chat)
                case link.ReceiptHeard():
                    self._speaker.heard(event)
                case _:
                    self._follow(event)
                    self._tell_roles(event)

    def _cut_on_purpose(self) -> None:
        self._was_cut = True

    def _tell_roles(self, event: link.StateEvent) -> None:
        """What a change of the connection means for sending and for bearing witness."""
        match event:
            case link.CaughtUp():
                self._witness.caught_up()
            case link.Connected() | link.Stalled() | link.Resumed() | link.Paired() | link.PairingCode():
                pass
            case _:
                self._witness.disconnected()
        match event:
            case link.Connected() | link.CaughtUp() | link.Resumed() if self._was_cut:
                pass
            case link.Connected() | link.Resumed():
                self._speaker.connected()
            case link.CaughtUp():
                self._speaker.caught_up()
            case link.Stalled():
                self._speaker.stalled()
            case link.PairingCode() | link.Paired() | link.PairingEnded():
                pass
            case link.Banned(code=code, expires_in_s=lasts_s):
                self._speaker.banned(code, lasts_s)
                self._speaker.disconnected()
            case _:
                self._speaker.disconnected()

    def _follow(self, event: link.StateEvent) -> None:
        """One change of the connection's state."""
        self._status = next_status(self._status, event)
        if isinstance(event, link.Stalled):
            self._answering.clear()
            self._stalled.set()
        else:
            self._stalled.clear()
            self._answering.set()
        match event:
            case link.PairingCode(qr=qr):
                self._desk.offer(qr)
            case link.Paired(phone=phone, lid=lid):
                self._desk.offer(None)
                self._keeper.show_number(phone, lid)
            case link.PairingEnded():
                self._desk.offer(None)
                if self._desk.may_start_round():
                    self._status = STARTING
                    self._try_again.set()
            case link.Connected(phone=phone, lid=lid):
                self._failures = 0
                if not self._was_cut:
                    # A try that was asked for meanwhile would end the connection that has just come about.
                    self._try_again.clear()
                self._evidence = ("login", self._clock.monotonic_s())
                self._keeper.show_number(phone, lid)
                self._tell_connected()
            case link.Replaced() if not self._replaced:
                # Perhaps by an earlier holder that was just connecting; it falls silent, for the session is ours. A second time
                # it is another program, and we do not fight.
                self._replaced = True
                self._failures += 1
                self._try_again.set()
            case link.LinkFailed() | link.CellLost() if self._status.state not in TERMINAL_STATES:
                self._failures += 1
                self._try_again.set()
        self._keeper.show(self._status)

    async def _reconnect(self) -> None:
        """Connect again when something asked for it; one loop, so there is never a second attempt beside the first."""
        while True:
            await self._try_again.wait()
            if self._failures:
                await asyncio.sleep(back_off_s(self._failures, self._random.random()))
            self._try_again.clear()
            if self._replaced:
                try:
                    await self._session.check()
                except StoreUnavailable:
                    self._try_again.set()
                    continue
            self._was_cut = False
            await self._link.connect()

    async def _heal_stalls(self) -> None:
        """A zombie, connected and mute, would else last until the library's own ping gives up, minutes later."""
        while True:
            await self._stalled.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STALLED_LIMIT_S):
                    await self._answering.wait()
            if self._stalled.is_set():
                log.warning(
                    "device %s of %s gets no answer: its connection is made anew", self._device.slot, self._account.id
                )
                self._stalled.clear()
                self._try_again.set()
