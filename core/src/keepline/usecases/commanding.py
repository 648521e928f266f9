"""Both sides of a command: the API asks and waits, the connector's device carries it out and answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from keepline.domain.commands import Command, CommandOutcome, command_from_map
from keepline.domain.errors import KeeplineError, StateConflict, Unavailable
from keepline.domain.ids import account_id
from keepline.ports.clock import Clock
from keepline.ports.device_link import DeviceLink
from keepline.ports.documents import Document, DocumentStore, StoreConflict, StoreUnavailable
from keepline.records import commands
from keepline.records.commands import Order
from keepline.usecases.sessions import Entropy, own_account

# How long the one who asks waits: a device's own question to WhatsApp takes a second or two at most, a failover about five.
ANSWER_LIMIT_S = 10.0
_LOOK_MIN_S, _LOOK_MAX_S = 0.05, 0.5
_ID_ENTROPY_BYTES = 16
# While a device waits for its turn to send, how often it looks whether that has come.
_TURN_LOOK_S = 0.25
_STORE_RETRY_S = 0.5

log = logging.getLogger(__name__)


class Commands:
    """The asking side, for all tenants. `entropy(n)` gives n random bytes."""

    def __init__(self, store: DocumentStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    async def ask(self, tenant: str, session_id: str, command: Command) -> Mapping[str, Any]:
        """Have the session's device carry out a command, and return its result.

        Raises NotFound (`session_not_found`), StateConflict (`not_connected`) and Unavailable (`not_carried_out` when no device
        did it in time: then none will; `command_failed`).
        """
        account = account_id(tenant, session_id)
        await own_account(self._store, tenant, session_id)
        command_id = "c_" + b32encode(self._entropy(_ID_ENTROPY_BYTES)).decode().rstrip("=").lower()
        expires_at = self._clock.now() + timedelta(seconds=ANSWER_LIMIT_S)
        with contextlib.suppress(StoreConflict):  # Our own commit, whose answer was lost.
            await self._store.commit([commands.new_command(command_id, tenant, account, command, expires_at)])
        outcome = await self._answer(command_id)
        if outcome.error_code is not None:
            raise _refusal(outcome.error_code)
        return outcome.result

    async def _answer(self, command_id: str) -> CommandOutcome:
        began_s, pause_s = self._clock.monotonic_s(), _LOOK_MIN_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LOOK_MAX_S)
            document = await self._store.get(commands.command_path(command_id))
            if document is None:
                return CommandOutcome("not_carried_out")
            order = Order.read(document)
            late = self._clock.monotonic_s() - began_s >= ANSWER_LIMIT_S
            if order.outcome is None and not late:
                continue
            try:
                await self._store.commit([commands.remove(order)])
            except StoreConflict:
                continue  # Answered at this very moment.
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
        try:
            command = command_from_map(order.kind, order.arguments)
        except KeyError:
            outcome = CommandOutcome("unsupported_command")  # From an API that is newer than this connector.
        else:
            outcome = await self._link.carry_out(command)
        while True:
            try:
                await self._store.commit([commands.answer(order, self._slot, outcome)])
            except StoreConflict:
                log.info("nobody waits any more for the command %s, or it has this answer already", order.id)
            except StoreUnavailable as error:
                if order.expires_at > self._clock.now():
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


def _refusal(code: str) -> KeeplineError:
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
        case "unsupported_command":
            return Unavailable(
                "unsupported_command",
                "The connector is older than the API and does not know this.",
                "Deploy the connector anew.",
            )
    return Unavailable("command_failed", f"WhatsApp's library could not do this ({code}).", "Try again later.")
