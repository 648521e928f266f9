"""Clearing what is kept of a deleted session or standby, in batches that Firestore takes."""

from __future__ import annotations

from keepline.domain.message import MessageState
from keepline.ports.documents import SERVER_TIME, Delete, DocumentStore, Update, Write
from keepline.records import accounts, history, notices, outbox, witness
from keepline.records.accounts import Account
from keepline.usecases import pool
from keepline.usecases.session_store import delete_session

_BATCH_MAX = 400


async def clear_device(store: DocumentStore, account: str, slot: str) -> None:
    """Remove the documents of one device, and those of its session if that is deleted and this was its last device.

    The last, because the others are still to be unlinked by the connectors that hold them. Can be repeated after any crash.
    Nobody may be running the device any more.
    """
    await delete_session(store, account, slot)
    if await _has_others(store, account, slot):
        await store.commit([*accounts.remove_device(account, slot), witness.remove_questions(account, slot)])
        if await _has_others(store, account, slot):
            return
        # Another connector did the same at the same moment; one of the two at least sees that nobody is left.
    document = await store.get(accounts.account_path(account))
    if document is not None and not Account.read(document).wanted:
        await _clear_session(store, Account.read(document))
    else:
        await store.commit([*accounts.remove_device(account, slot), witness.remove_questions(account, slot)])


async def _has_others(store: DocumentStore, account: str, slot: str) -> bool:
    return any(device.id != slot for device in await store.query(accounts.devices_of_account(account)))


async def _clear_session(store: DocumentStore, account: Account) -> None:
    """Cancel what still waits, then remove the chats, the notices and the session's own documents."""
    while rows := [
        *await store.query(outbox.queued_rows(account.id, _BATCH_MAX)),
        *await store.query(outbox.doubtful_rows(account.id)),
    ][:_BATCH_MAX]:
        cancelled = {
            "state": MessageState.CANCELLED.value,
            "error_code": "session_deleted",
            "times.cancelled": SERVER_TIME,
        }
        await store.commit([Update(row.path, cancelled, row.version) for row in rows])
    while messages := await store.query(history.newest_of_account(account.id, _BATCH_MAX, None)):
        removals: list[Write] = [Delete(message.path) for message in messages]
        await store.commit(removals)
    while told := await store.query(notices.notices_of_account(account.id, _BATCH_MAX)):
        await store.commit([Delete(notice.path) for notice in told])
    questions = [witness.remove_questions(account.id, slot) for slot in accounts.SLOTS]
    place = await pool.give_back(store, account.id)
    # At the version that was read: two may clear at once, and the slower must not clear a session made anew in between.
    await store.commit([*questions, *place, *accounts.remove_account(account.id, account.version)])
