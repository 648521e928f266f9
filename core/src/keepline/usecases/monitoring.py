"""What is watched from outside the connectors: states that change, connectors that fall silent, leftovers that nobody clears.

Everything here may run twice, late, or beside itself: what it writes has an id of its own or a precondition.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from keepline.domain.events import EventKind, of_state_change
from keepline.domain.message import MessageState
from keepline.domain.pacing import FIRST_CONTACT_CODES, SLOW_CODES
from keepline.ports.clock import Clock
from keepline.ports.documents import SERVER_TIME, Delete, Document, DocumentStore, StoreConflict, Update, Write
from keepline.records import accounts, commands, connectors, monitoring, outbox
from keepline.records.accounts import Device
from keepline.records.connectors import ConnectorBeat
from keepline.records.monitoring import MessageTurn, Silence, StateChange
from keepline.usecases import pool
from keepline.usecases.deleting import clear_device
from keepline.usecases.withdrawing import expire

# Far beyond what a slow beat or a restart takes (the status page calls a connector silent after 6 s already).
CONNECTOR_SILENT_AFTER_S = 30.0
# An accepted message whose session is gone cannot have been in a clearing's reach only moments after its acceptance.
STRANDED_AFTER_S = 60.0
STRANDED_ROWS_MAX = 300
# The connector that holds the account expires its messages itself, to the second; this is for accounts that nobody holds.
OVERDUE_AFTER_S = 60.0
# What of a message's error is WhatsApp's word about the number's pace.
RATE_CODES = FIRST_CONTACT_CODES | SLOW_CODES
# In one commit of an account with its authority; the rest has its turn a minute later.
OVERDUE_ROWS_MAX = 300
COMMANDS_REMOVED_MAX = 400

_OF_MESSAGE = {MessageState.IN_DOUBT.value: EventKind.DOUBT, MessageState.FAILED.value: EventKind.DEAD_LETTER}

log = logging.getLogger(__name__)


async def record_state_change(store: DocumentStore, change: StateChange) -> None:
    """Put a change on record, and what it is besides; being told of it again changes nothing."""
    also = [
        monitoring.event(
            kind,
            change.told_as,
            at=change.at,
            subject=change.account,
            tenant=change.tenant,
            account=change.account,
            session_id=change.session_id,
            details={"code": change.code},
        )
        for kind in of_state_change(change.state_before, change.state)
    ]
    try:
        await store.commit([monitoring.state_changed(change), *also])
    except StoreConflict:
        return


async def record_message_turn(store: DocumentStore, turn: MessageTurn) -> None:
    """Put it on record that a message is in doubt or was given up, and what WhatsApp says with that of the number's pace."""
    subject = {"subject": turn.account, "tenant": turn.tenant, "account": turn.account, "session_id": turn.session_id}
    words = {"message_id": turn.message_id, "code": turn.code or turn.state}
    writes: list[Write] = []
    if (kind := _OF_MESSAGE.get(turn.state)) is not None:
        # A dead letter that was replayed can be given up again: that is another event.
        named = f"{turn.message_id} {turn.at.isoformat()}"
        writes.append(monitoring.event(kind, named, at=turn.at, details=words, **subject))
    if turn.code in RATE_CODES:
        # Of one flood many messages are refused: an hour's are one event.
        named = f"{turn.account} {turn.code} {turn.at:%Y-%m-%dT%H}"
        writes.append(
            monitoring.event(EventKind.RATE_SIGNAL, named, at=turn.at, details={"code": turn.code}, **subject)
        )
    if writes:
        await store.commit(writes)


class MinuteRound:
    """The round that is made every minute."""

    def __init__(self, store: DocumentStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def make(self) -> None:
        """Raises StoreUnavailable; what was done until then stays done."""
        await self._watch_connectors()
        await self._clear_deleted()
        await self._cancel_stranded()
        await self._expire_overdue()
        await pool.heal(self._store, self._clock)
        await self._remove_commands()

    async def _watch_connectors(self) -> None:
        documents = await self._store.query(connectors.all_connectors())
        beats = {beat.connector: beat for beat in map(ConnectorBeat.read, documents)}
        for document in await self._store.query(monitoring.open_silences()):
            silence = Silence.read(document)
            beat = beats.get(silence.connector)
            if beat is not None and beat.at != silence.beat_at:
                await self._note(
                    monitoring.connector_back(silence, beat), f"the connector {beat.connector} beats again"
                )
        silent_since = self._clock.now() - timedelta(seconds=CONNECTOR_SILENT_AFTER_S)
        for beat in beats.values():
            if beat.at < silent_since and not beat.stopping:
                await self._note([monitoring.connector_silent(beat)], f"the connector {beat.connector} has gone silent")

    async def _note(self, writes: list[Write], sentence: str) -> None:
        try:
            await self._store.commit(writes)
        except StoreConflict:
            return  # An earlier round or one beside us has it on record.
        log.warning("%s", sentence)

    async def _clear_deleted(self) -> None:
        """Sessions that were deleted while no connector held them: there is nothing to unlink, only documents to remove."""
        for document in await self._store.query(accounts.devices_of_connector("")):
            device = Device.read(document)
            if device.wanted:
                continue
            try:
                await clear_device(self._store, device.account, device.slot)
            except StoreConflict:
                log.info("%s is being cleared by somebody else as well", device.account)

    async def _cancel_stranded(self) -> None:
        """Messages accepted in the very moment in which their session was cleared: nobody else would ever end them."""
        due_before = self._clock.now() - timedelta(seconds=STRANDED_AFTER_S)
        rows = await self._store.query(outbox.longest_waiting_rows(due_before, STRANDED_ROWS_MAX))
        for account, stranded in _by_account(rows).items():
            if await self._store.get(accounts.account_path(account)) is None:
                await self._cancel(stranded)

    async def _cancel(self, rows: list[Document]) -> None:
        cancelled = {
            "state": MessageState.CANCELLED.value,
            "error_code": "session_deleted",
            "times.cancelled": SERVER_TIME,
        }
        try:
            await self._store.commit([Update(row.path, cancelled, row.version) for row in rows])
        except StoreConflict:
            log.info("a stranded message was changed by somebody else")

    async def _expire_overdue(self) -> None:
        """Messages whose time ran out while no connector was there to say so."""
        expired_before = self._clock.now() - timedelta(seconds=OVERDUE_AFTER_S)
        rows = await self._store.query(outbox.overdue_rows(expired_before, OVERDUE_ROWS_MAX))
        for account, overdue in _by_account(rows).items():
            try:
                await expire(self._store, account, overdue)
            except StoreConflict:
                log.info("the overdue messages of %s are left to the next round: its queue is busy", account)

    async def _remove_commands(self) -> None:
        """Commands whose asker died before it could take them away."""
        left = await self._store.query(commands.left_over(self._clock.now(), COMMANDS_REMOVED_MAX))
        if left:
            await self._store.commit([Delete(document.path) for document in left])


def _by_account(rows: Sequence[Document]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for row in rows:
        found.setdefault(row.fields["account"], []).append(row)
    return found
