"""Running one linked device: its events become state, pairing codes, recorded messages and receipts.

One device of an account sends for it, as its `Speaker` and the other's settle it. The other hears the same and is its witness.
What changes in either's local store is replicated to Firestore (its session), with what its commits say or soon after.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any

from keepline.domain import link_events as link
from keepline.domain.send_queue import Outgoing
from keepline.domain.session import (
    RUNNER_FAILED,
    STARTING,
    TERMINAL_STATES,
    SessionState,
    SessionStatus,
    judged_status,
    next_status,
)
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import DocumentStore
from keepline.ports.keys import KeyWrapper
from keepline.records.accounts import FIRST_SLOT, Device, KeyedAccount, Pairing
from keepline.records.commands import Order
from keepline.records.connectors import DeviceBeat
from keepline.records.outbox import Authority
from keepline.records.witness import Question
from keepline.usecases.commanding import CommandDesk
from keepline.usecases.device_opening import DeviceOpening
from keepline.usecases.device_roles import DeviceRoles
from keepline.usecases.media_keeping import MediaKeeper
from keepline.usecases.offering import NumberCheck, StandbyOffer
from keepline.usecases.pairing import PairingDesk
from keepline.usecases.poor_connections import PoorConnections
from keepline.usecases.proving_life import ProofOfLife
from keepline.usecases.reconnecting import Pace, Reconnector
from keepline.usecases.recording import Recorder
from keepline.usecases.session_keeping import SessionKeeper, SessionLost
from keepline.usecases.session_openings import Openings
from keepline.usecases.settings_following import SettingsFollower
from keepline.usecases.speaking import IsSilent, Speaker
from keepline.usecases.stall_healing import StallHealer
from keepline.usecases.status_keeping import StatusKeeper
from keepline.usecases.unlinking import unlink
from keepline.usecases.witnessing import Witness

# When its socket is cut, a cell tells within some milliseconds what the library had read already, or more under load.
_LAST_WORDS_S = 0.1
# With the commits that write it down.
_LAST_WORDS_LIMIT_S = 3.0

# The causes of a loss (domain/reconnect.py) by the event that tells of it.
_CAUSES: dict[type[link.StateEvent], str] = {
    link.Disconnected: "socket_closed",
    link.CellLost: "cell_lost",
    link.LoggedOut: "logged_out",
    link.Outdated: "outdated",
    link.Replaced: "replaced",
}

log = logging.getLogger(__name__)


class DeviceRunner:
    """One device of one account in one connector, from being assigned to being let go.

    `connected` hears of each login, and whether it came after failed tries. `keep_alive_s` is how soon WhatsApp is asked for an
    answer when it is quiet.
    """

    def __init__(
        self,
        store: DocumentStore,
        clock: Clock,
        random: Random,
        device_link: DeviceLink,
        session: SessionKeeper,
        openings: Openings,
        account: KeyedAccount,
        device: Device,
        connector: str,
        connected: Callable[[bool], None],
        is_silent: IsSilent,
        pace: Pace,
        keep_alive_s: float,
        keys: KeyWrapper,
    ) -> None:
        self._clock = clock
        self._link = device_link
        self._session = session
        self._account = account
        self._device = device
        self._tell_connected = connected
        self._status = STARTING
        self._leaving = self._fenced = self._finishing = False
        self._speaking: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._heard_at_s = clock.monotonic_s()
        self._replaced = False  # once, since it was opened
        self._reconnects_seen = device.reconnects_asked
        self._reconnect_asked = asyncio.Event()
        self._quality: int | None = None
        self._proof = ProofOfLife(clock, random, device_link, keep_alive_s, self._mute)
        self._keeper = StatusKeeper(store, clock, session, account.id, device.slot, lambda: self._proof.newest)
        name = f"device {device.slot} of {account.id}"
        self._reconnector = Reconnector(
            name, clock, random, device_link, pace, self._may_connect, self._attempt_timed_out, self._show_tries
        )
        self._stalls = StallHealer(name, self._reconnector)
        self._offer = StandbyOffer(store, account.id)
        self._number = NumberCheck(store, account, device.slot)
        self._desk = PairingDesk(store, device_link, account.id, device.slot, account.tenant)
        self._recorder = Recorder(store, session, device_link, account)
        self._media = MediaKeeper(store, clock, device_link, account, lambda: self.speaks)
        self._witness = Witness(store, device_link)
        self._settings = SettingsFollower(keys, device_link, device, self._move)
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
            self._reconnector.go_on,
        )
        self._roles = DeviceRoles(self._speaker, self._witness, self._proof)
        self._poor_connections = PoorConnections(clock, self._speaker, self._leave_connection)
        self._opening = DeviceOpening(store, openings, self._speaker, device, connector, self._show)

    def offer(self, rows: Iterable[Outgoing]) -> None:
        """The present waiting rows of this account."""
        self._speaker.offer(rows)

    def authority_seen(self, authority: Authority) -> None:
        """The present state of who sends for this account."""
        self._speaker.authority_seen(authority)

    def look_again(self) -> None:
        """A connector has fallen silent or is back."""
        self._speaker.look_again()

    def seen(self, device: Device) -> None:
        """The device's document as it is now: its settings, and whether somebody wants it to connect."""
        self._settings.seen(device)
        self._speaker.pace(device.settings.pacing)
        if device.reconnects_asked > self._reconnects_seen:
            self._reconnects_seen = device.reconnects_asked
            self._reconnect_asked.set()

    def pairing_requested(self, pairing: Pairing) -> None:
        """The device's pairing document as it is now: somebody may ask for a code."""
        self._desk.look_for_code_request(pairing)
        if self._desk.wants_round(pairing):
            self._show(STARTING)
            self._reconnector.asked()

    def others_reached(self) -> None:
        """Another device of this connector is connected again after failed tries."""
        self._reconnector.others_reached()

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
        if self._proof.newest is None:
            return DeviceBeat(None, None, queued, oldest, because, held_s)
        kind, at_s = self._proof.newest
        age_ms = max(0, round((self._clock.monotonic_s() - at_s) * 1000))
        return DeviceBeat(kind, age_ms, queued, oldest, because, held_s, self._quality)

    async def run(self) -> None:
        """Run until cancelled; then settle what is in flight, cut the socket, and write down what was heard until then.

        Returns by itself when its session is lost.
        """
        living = asyncio.create_task(self._live())
        try:
            await asyncio.shield(living)
        except asyncio.CancelledError:
            if not (living.done() or self._fenced):
                try:
                    await self._finish()
                except Exception:  # Being cancelled is what counts: with another error it would be run again.
                    log.exception("device %s of %s could not finish", self._device.slot, self._account.id)
            raise
        finally:
            await _to_its_end(self._let_go(living))

    async def _let_go(self, living: asyncio.Task[None]) -> None:
        living.cancel()
        await asyncio.wait([living])
        await (self._link.log_out() if self._leaving else self._link.close())

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keeper.run())
                await self._link.open()
                await self._opening.open()
                await self._settings.begin(self._show)
                tasks.create_task(self._settings.run())
                tasks.create_task(self._session.run())
                tasks.create_task(self._desk.keep_shown())
                tasks.create_task(self._desk.give_codes())
                if self._device.slot == FIRST_SLOT:
                    tasks.create_task(self._offer.run())
                tasks.create_task(self._number.run())
                tasks.create_task(self._recorder.run())
                tasks.create_task(self._media.run())
                tasks.create_task(self._witness.run())
                tasks.create_task(self._commands.run())
                tasks.create_task(self._hear())
                self._connecting = tasks.create_task(self._reconnector.run())
                tasks.create_task(self._proof.run())
                tasks.create_task(self._reconnect_when_asked())
                tasks.create_task(self._stalls.run())
                tasks.create_task(self._poor_connections.run())
                self._speaking = tasks.create_task(self._speaker.run())
        except* SessionLost:
            log.warning(
                "another connector has device %s of %s now; this one falls silent", self._device.slot, self._account.id
            )

    async def _finish(self) -> None:
        """What the library has taken WhatsApp does not tell again, and whoever has the device next may have another disk.

        So this device hears and writes while its sends are settled, and then until its cut socket is empty.
        """
        if self._speaking is None or self._connecting is None:
            return  # It has not got as far as to hear anything.
        for task in (self._connecting, self._speaking):
            task.cancel()
        await asyncio.wait([self._connecting, self._speaking])
        if self._leaving:
            return  # Nobody has it next, and the socket is needed to unlink it.
        self._finishing = True
        self._reconnector.about_to_cut()
        # Where no cell holds the device (RuntimeError) there is nothing to hear.
        with contextlib.suppress(TimeoutError, RuntimeError, SessionLost):
            async with asyncio.timeout(_LAST_WORDS_LIMIT_S):
                await self._link.cut()
                await self._until_nothing_is_heard()
                await self._recorder.written()
                await self._speaker.settle_receipts()

    async def _until_nothing_is_heard(self) -> None:
        left_s = _LAST_WORDS_S
        while left_s > 0:
            await asyncio.sleep(left_s)
            left_s = self._heard_at_s + _LAST_WORDS_S - self._clock.monotonic_s()

    @property
    def speaks(self) -> bool:
        """Whether this device sends for its account at present."""
        return self._speaker.speaks

    async def step_aside(self) -> None:
        """The connection is about to be made anew, on purpose: see `Speaker.step_aside`."""
        await self._speaker.step_aside()

    def fence(self) -> None:
        """The connector's lease is lost: when `run` is cancelled, cut the socket and say nothing more, to nobody."""
        self._fenced = True
        self._speaker.fence()

    async def tell_failed(self) -> None:
        """`run` has ended with an error that nobody foresaw: say so in the device's state."""
        await self._keeper.write_last(RUNNER_FAILED)

    def leave(self) -> None:
        """The session was deleted: when `run` is cancelled, unlink the device instead of only cutting its socket."""
        self._leaving = True

    async def unlink(self) -> None:
        """In place of `run`: the device is to go and was not running. Log it in once more, if that works, to log it out.

        Raises StoreUnavailable and KeyUnavailable: then try again.
        """
        await unlink(self._link, self._session, self._settings, self._device)

    def _show(self, status: SessionStatus) -> None:
        self._status = status
        self._keeper.show(status)

    async def _hear(self) -> None:
        async for event in self._link.events():
            if not self._number.passes(event):
                continue
            if not isinstance(event, link.Evidence | link.RateSignal | link.PhoneSeen):
                self._session.poke()
            match event:
                case link.Evidence(kind=kind, age_ms=age_ms, quality=quality):
                    self._proof.heard(kind, age_ms)
                    self._quality = quality
                case link.PhoneSeen(at=at):
                    self._keeper.show_phone(at)
                case link.RateSignal():
                    self._proof.rate_signal()
                case link.QualityChanged():
                    self._judge(event)
                case link.MessageHeard() | link.MessageUnreadable():
                    self._heard_at_s = self._clock.monotonic_s()
                    self._recorder.heard(event)
                    self._speaker.met(event.chat)
                case link.NoticeHeard():
                    self._heard_at_s = self._clock.monotonic_s()
                    self._recorder.heard(event)
                case link.MediaWaiting():
                    self._media.waiting(event)
                case link.ReceiptHeard():
                    self._heard_at_s = self._clock.monotonic_s()
                    self._speaker.heard(event)
                case link.Connected() | link.CaughtUp() | link.Resumed() if self._reconnector.is_cut:
                    pass  # It is of the connection that was cut.
                case _ if self._finishing:
                    pass  # The state is told by whoever has the device next.
                case _:
                    self._changed(event)

    def _changed(self, event: link.StateEvent) -> None:
        """The connection's state has changed."""
        self._follow(event)
        self._tell_reconnector(event)
        self._roles.tell(event)
        self._keeper.show(self._status)
        self._offer.follow(self._status)

    def _mute(self) -> None:
        """WhatsApp did not answer a question."""
        self._changed(link.Stalled())

    def _attempt_timed_out(self) -> None:
        self._changed(link.LinkFailed("unreachable"))

    def _show_tries(self) -> None:
        self._keeper.show_tries(self._reconnector.failures, self._reconnector.breaker)

    async def _may_connect(self) -> None:
        """A device that was replaced may be another connector's by now. Raises SessionLost and StoreUnavailable."""
        if self._replaced:
            await self._session.check()

    def _tell_reconnector(self, event: link.StateEvent) -> None:
        """What a change of the connection means for the tries."""
        tries = self._reconnector
        match event:
            case link.Connected():
                self._proof.heard("login")
                self._tell_connected(tries.failures > 0)
                tries.connected()
            case link.PairingCode():
                tries.connected()
            case link.Paired():
                tries.linked()
            case link.PairingEnded():
                tries.lost("pairing_timed_out")
                if self._desk.may_start_round():
                    self._status = STARTING
                    tries.asked()
            case link.Replaced() if not self._replaced:
                # Perhaps by an earlier holder that was just connecting; it falls silent, for the session is ours. A second time
                # it is another program, and we do not fight.
                self._replaced = True
                tries.lost("replaced_once")
            case link.Banned(expires_in_s=expires_in_s):
                self._proof.rate_signal()
                tries.lost("banned", expires_in_s)
            case link.LinkFailed(cause=cause):
                if cause == "login_refused":  # 429 is among what the library does not name.
                    self._proof.rate_signal()
                tries.lost(cause)
            case link.Moved() if self._status.state not in TERMINAL_STATES:
                tries.connect_anew()
            case link.Disconnected() | link.CellLost() | link.LoggedOut() | link.Outdated() | link.Replaced():
                tries.lost(_CAUSES[type(event)])

    async def _move(self) -> None:
        """Connect anew, another way: after what is on its way has been answered, and without a pause for earlier failures."""
        if self._status.state not in TERMINAL_STATES:
            self._reconnector.about_to_cut()
            await self._speaker.pause()
            self._reconnector.connect_anew()

    def _judge(self, event: link.QualityChanged) -> None:
        """The connection has become poor, or good again."""
        if self._reconnector.is_cut:
            return
        log.warning(
            "the connection of device %s of %s is %s now: score %d%s",
            *(self._device.slot, self._account.id, "poor" if event.is_poor else "good", event.score),
            f" ({event.because})" if event.because else "",
        )
        self._status = judged_status(self._status, is_poor=event.is_poor)
        self._keeper.show(self._status)
        self._poor_connections.judged(is_poor=event.is_poor)

    def _cut_on_purpose(self) -> None:
        self._reconnector.about_to_cut()
        self._poor_connections.cut()

    def _leave_connection(self) -> None:
        """It works badly, and this device does not send: make another one."""
        self._reconnector.about_to_cut()
        self._reconnector.connect_anew()

    def _follow(self, event: link.StateEvent) -> None:
        """One change of the connection's state."""
        if isinstance(event, (link.CellLost, link.LinkFailed)):
            self._desk.withdraw_code()
        self._status = next_status(self._status, event)
        if not isinstance(event, link.CaughtUp):
            self._poor_connections.judged(is_poor=False)
        if isinstance(event, link.Stalled):
            self._stalls.stalled()
        else:
            self._stalls.changed()
        match event:
            case link.PairingCode(qr=qr):
                self._desk.offer(qr)
            case link.Paired(phone=phone, lid=lid):
                self._desk.offer(None)
                self._keeper.show_number(phone, lid)
                self._keeper.show_phone(self._clock.now())
            case link.PairingEnded():
                self._desk.offer(None)
            case link.Connected(phone=phone, lid=lid):
                self._keeper.show_number(phone, lid)

    async def _reconnect_when_asked(self) -> None:
        """Try now, or when WhatsApp allows; make a connection that works badly anew, and leave one that works alone."""
        while True:
            await self._reconnect_asked.wait()
            self._reconnect_asked.clear()
            if self._status.state is SessionState.DEGRADED:
                await self._move()
            elif self._status.state is not SessionState.CONNECTED:
                # Until a ban is over there is no try, and nothing else to show.
                if self._status.state in TERMINAL_STATES - {SessionState.BANNED}:
                    self._show(STARTING)
                self._reconnector.asked()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Also when whoever waits for it is cancelled once more: a device that is not let go of can never be opened again."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    await task
