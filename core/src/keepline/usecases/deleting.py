"""Clearing what is kept of a deleted session, in batches that Firestore takes."""

from __future__ import annotations

from keepline.domain.message import MessageState
from keepline.ports.documents import SERVER_TIME, Delete, DocumentStore, Update, Write
from keepline.records import accounts, history, outbox

_BATCH_MAX = 400


async def clear_session(store: DocumentStore, account: str, slot: str) -> None:
    """Cancel what still waits, then remove the chats and the session's own documents. Can be repeated after any crash."""
    document = await store.get(accounts.account_path(account))
    if document is None:
        return
    while rows := [
        *await store.query(outbox.queued_rows(account, _BATCH_MAX)),
        *await store.query(outbox.doubtful_rows(account)),
    ][:_BATCH_MAX]:
        cancelled = {
            "state": MessageState.CANCELLED.value,
            "error_code": "session_deleted",
            "times.cancelled": SERVER_TIME,
        }
        await store.commit([Update(row.path, cancelled, row.version) for row in rows])
    while messages := await store.query(history.newest_of_account(account, _BATCH_MAX, None)):
        removals: list[Write] = [Delete(message.path) for message in messages]
        await store.commit(removals)
    # At the version that was read: two may clear at once, and the slower must not clear a session made anew in between.
    await store.commit(accounts.remove_account(account, slot, document.version))
