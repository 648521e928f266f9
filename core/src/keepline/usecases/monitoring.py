"""What is watched from outside the connectors: states that change, connectors that fall silent, leftovers that nobody clears.

Everything here may run twice, late, or beside itself: what it writes has an id of its own or a precondition.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from keepline.domain.message import MessageState
from keepline.ports.clock import Clock
from keepline.ports.documents import SERVER_TIME, Delete, Document, DocumentStore, StoreConflict, Update, Write
from keepline.records import accounts, commands, connectors, monitoring, outbox
from keepline.records.accounts import Device
from keepline.records.connectors import ConnectorBeat
from keepline.records.monitoring import Silence, StateChange
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
# In one commit of an account with its authority; the rest has its turn a minute later.
OVERDUE_ROWS_MAX = 300
COMMANDS_REMOVED_MAX = 400

log = logging.getLogger(__name__)


async def record_state_change(store: DocumentStore, change: StateChange) -> None:
    """Put a change on record; being told of it again changes nothing."""
    try:
        await store.commit([monitoring.state_changed(change)])
    except StoreConflict:
        return


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
