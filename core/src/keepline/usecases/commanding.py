"""Both sides of a command: the API asks and waits, the connector's device carries it out and answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from keepline.domain.commands import OUTCOME_UNKNOWN, Command, CommandOutcome, command_from_map
from keepline.domain.errors import KeeplineError, StateConflict, TooMany, Unavailable
from keepline.domain.ids import account_id, command_id, command_id_for_key
from keepline.domain.rate_limits import Limit
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import commands
from keepline.records.commands import Order
from keepline.usecases.limiting import Charged, Limiter
from keepline.usecases.sessions import Entropy, own_account

# How long the one who asks waits: a device's own question to WhatsApp takes a second or two at most, a failover about five.
ANSWER_LIMIT_S = 10.0
_LOOK_MIN_S, _LOOK_MAX_S = 0.05, 0.5
_ID_ENTROPY_BYTES = 16
_ASK_TRIES_MAX = 4
# What was done once is worth writing down although nobody waits any more: a repeat of the caller's key asks for it.
_ANSWER_WORTH_S = 60.0
# For a while after WhatsApp said that it is asked too often.
_WA_REST_S = 60
# While a device waits for its turn to send, how often it looks whether that has come.
_TURN_LOOK_S = 0.25
_STORE_RETRY_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """What a command uses of one of the user's limits."""

    limit: Limit
    uses: int = 1


@dataclass(frozen=True)
class Carried:
    """What came of a command. `replayed`: an earlier request with the same key had it carried out."""

    outcome: CommandOutcome
    charged: Charged | None = None
    replayed: bool = False


class Commands:
    """The asking side, for all tenants. `entropy(n)` gives n random bytes."""

    def __init__(self, store: DocumentStore, clock: Clock, entropy: Entropy, limiter: Limiter) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._limiter = limiter

    async def ask(self, tenant: str, session_id: str, command: Command) -> Mapping[str, Any]:
        """Have the session's device carry out a command, and return its result.

        Raises NotFound (`session_not_found`) and what `refusal` makes of an outcome.
        """
        carried = await self.carry_out(tenant, session_id, command)
        if carried.outcome.error_code is not None:
            raise refusal(carried.outcome.error_code)
        return carried.outcome.result

    async def carry_out(
        self,
        tenant: str,
        session_id: str,
        command: Command,
        cost: Cost | None = None,
        idempotency_key: str | None = None,
    ) -> Carried:
        """Have the session's device carry out a command. An error code of its own is `not_carried_out`: then no device will.

        With a key a repeat within a day gets what came of the first request; another command StateConflict
        (`idempotency_mismatch`). Raises InvalidInput (`bad_idempotency_key`), NotFound (`session_not_found`), TooMany
        (`rate_limited`) and Unavailable (`busy`).
        """
        account = account_id(tenant, session_id)
        name = command_id(self._entropy(_ID_ENTROPY_BYTES))
        if idempotency_key is not None:
            name = command_id_for_key(account, idempotency_key)
        await own_account(self._store, tenant, session_id)
        for _ in range(_ASK_TRIES_MAX):
            earlier = await self._earlier(name, command) if idempotency_key is not None else None
            if earlier is not None:
                return Carried(await self._answer(earlier), replayed=True)
            expires_at = self._clock.now() + timedelta(seconds=ANSWER_LIMIT_S)
            kept = idempotency_key is not None
            new = commands.new_command(name, tenant, account, command, expires_at, kept=kept)
            charged = None
            try:
                if cost is None:
                    await self._store.commit([new])
                else:
                    _, charged = await self._limiter.commit(tenant, cost.limit, [new], cost.uses)
            except StoreConflict:
                if kept:
                    continue  # Somebody with the same key was faster, or it is our own write, whose answer was lost.
            return Carried(await self._answer(name, kept=kept), charged)
        raise Unavailable("busy", "Too many requests at this moment.", "Try again in a second.")

    async def _earlier(self, name: str, command: Command) -> str | None:
        """The name of the command that an earlier request with this key gave, unless nobody began it in its time."""
        document = await self._store.get(commands.command_path(name))
        if document is None:
            return None
        order = Order.read(document)
        if order.kind != command.kind or order.arguments != command.to_map():
            raise StateConflict(
                "idempotency_mismatch",
                "This Idempotency-Key was used with another request.",
                "Use a new key for each request, and the same one to repeat it.",
            )
        if order.outcome is None and not order.begun and order.expires_at <= self._clock.now():
            with contextlib.suppress(StoreConflict):
                await self._store.commit([commands.remove(order)])
                return None
        return name

    async def _answer(self, name: str, *, kept: bool = True) -> CommandOutcome:
        """Wait for the answer. One that is kept stays for repeats, if something was or may have been done; else it goes."""
        began_s, pause_s = self._clock.monotonic_s(), _LOOK_MIN_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LOOK_MAX_S)
            document = await self._store.get(commands.command_path(name))
            if document is None:
                return CommandOutcome("not_carried_out")
            order = Order.read(document)
            late = self._clock.monotonic_s() - began_s >= ANSWER_LIMIT_S or order.expires_at <= self._clock.now()
            if order.outcome is None and not late:
                continue
            if order.begun:
                return CommandOutcome(OUTCOME_UNKNOWN)
            # What was certainly not done is not kept: a repeat of the key may be done.
            if kept and order.outcome is not None and order.outcome.error_code in (None, OUTCOME_UNKNOWN):
                return order.outcome
            try:
                await self._store.commit([commands.remove(order)])
            except StoreConflict:
                continue  # Begun or answered at this very moment.
            return order.outcome or CommandOutcome("not_carried_out")


class CommandDesk:
    """The answering side, for one device. `speaks` tells whether it sends for its account at this moment."""

    def __init__(
        self, store: DocumentStore, clock: Clock, link: DeviceLink, slot: str, speaks: Callable[[], bool]
    ) -> None:
        self._store = store
        self._clock = clock
        self._link = link
        self._slot = slot
        self._speaks = speaks
        self._orders: dict[str, Order] = {}
        self._begun: set[str] = set()
        self._wake = asyncio.Event()

    def ordered(self, orders: Iterable[Order]) -> None:
        """All open commands of this account."""
        offered = {order.id: order for order in orders}
        # What is being carried out, or was a moment ago, can stand in a result that another command brought about.
        self._begun &= offered.keys()
        self._orders = {name: order for name, order in offered.items() if name not in self._begun}
        self._wake.set()

    async def run(self) -> None:
        """Carry out commands until cancelled, one after another as they were given."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._orders:
                if not self._speaks():
                    self._forget_late()
                    await asyncio.sleep(_TURN_LOOK_S)
                    continue
                order = self._orders.pop(next(iter(self._orders)))
                self._begun.add(order.id)
                await self._carry_out(order)

    async def _carry_out(self, order: Order) -> None:
        if order.expires_at <= self._clock.now():
            return
        worth_until = order.expires_at
        try:
            command = command_from_map(order.kind, order.arguments)
        except KeyError:
            outcome = CommandOutcome("unsupported_command")  # From an API that is newer than this connector.
        else:
            if command.once:
                try:
                    [begun] = await self._store.commit([commands.begin(order, self._slot)])
                except (StoreConflict, StoreUnavailable) as error:
                    # Somebody else has begun it, nobody waits any more, or nobody knows whether this was written. So it is not
                    # done here, and if it was written, the answer is that nobody knows.
                    log.info("the command %s is not begun here: %s", order.id, error)
                    return
                order = replace(order, version=begun)
                worth_until += timedelta(seconds=_ANSWER_WORTH_S)
            outcome = await self._link.carry_out(command)
        while True:
            try:
                await self._store.commit([commands.answer(order, self._slot, outcome)])
            except StoreConflict:
                log.info("nobody waits any more for the command %s, or it has this answer already", order.id)
            except StoreUnavailable as error:
                if worth_until > self._clock.now():
                    await asyncio.sleep(_STORE_RETRY_S)
                    continue
                log.warning("the answer to the command %s could not be written: %s", order.id, error)
            return

    def _forget_late(self) -> None:
        now = self._clock.now()
        self._orders = {order.id: order for order in self._orders.values() if order.expires_at > now}


def by_account(documents: Iterable[Document], accounts: Iterable[str]) -> dict[str, list[Order]]:
    """Open commands by the account that they are for, those given first first."""
    found: dict[str, list[Order]] = {account: [] for account in accounts}
    for document in sorted(documents, key=lambda document: document.created):
        order = Order.read(document)
        found[order.account].append(order)
    return found


def refusal(code: str) -> KeeplineError:
    """The error that a command's error code stands for, whatever the command."""
    match code:
        case "not_connected":
            return StateConflict(
                "not_connected",
                "The session is not connected to WhatsApp.",
                "Look at the session's status; try again when it is connected.",
            )
        case "not_carried_out":
            return Unavailable(
                "not_carried_out",
                "No connector carried this out in time, and none will.",
                "Look at the session's status, then try again.",
            )
        case "outcome_unknown":
            return Unavailable(
                "outcome_unknown",
                "It was begun, and WhatsApp's answer has not come. It may have been done, and is not tried again by itself.",
                "Repeat it with the same Idempotency-Key to ask again, or look whether it was done.",
            )
        case "unsupported_command":
            return Unavailable(
                "unsupported_command",
                "The connector is older than the API and does not know this.",
                "Deploy the connector anew.",
            )
        case "wa_429":
            return TooMany(
                "wa_rate_limited",
                "WhatsApp says that it is asked for this too often.",
                "Leave it alone for some minutes.",
                _WA_REST_S,
            )
    return Unavailable("command_failed", f"WhatsApp's library could not do this ({code}).", "Try again later.")
