"""The right to send for an account: whose it is, how it is taken, and what its earlier holder has left open."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from keepline.domain.events import EventKind
from keepline.domain.message import MessageState
from keepline.domain.send_queue import Outgoing
from keepline.ports.documents import DocumentStore, Write
from keepline.records import monitoring, outbox
from keepline.records.outbox import Authority


class AuthorityLost(Exception):
    """Somebody else may send for this account now. Whoever gets this must fall silent at once."""


async def read_authority(store: DocumentStore, account: str) -> Authority:
    """Who may send for `account` at present."""
    document = await store.get(outbox.authority_path(account))
    return Authority.read(document) if document is not None else Authority.nobodys(account)


async def take_authority(
    store: DocumentStore, before: Authority, connector: str, slot: str, now: datetime
) -> Authority:
    """Become the one that sends for an account. Raises StoreConflict when the authority is not as it was `before`.

    The earlier holder's claims stay in the document until they are settled, so a crash in between forgets none of them.
    """
    authority = before.taken_by(connector, slot)
    version, *_ = await store.commit([authority.write(), *_moved(before, authority, now)])
    return replace(authority, version=version)


def _moved(before: Authority, after: Authority, now: datetime) -> list[Write]:
    """The event of a right that had another holder. A device that takes its own right again is no news."""
    if not before.connector or (before.connector, before.slot) == (after.connector, after.slot):
        return []
    details = {
        "slot": after.slot,
        "to": after.connector,
        "from": f"{before.connector} ({before.slot})",
        "generation": after.generation,
    }
    named = str(after.generation)
    return [monitoring.of_session(EventKind.SEND_RIGHT_MOVED, named, at=now, account=after.account, details=details)]


async def unsettled_rows(store: DocumentStore, authority: Authority) -> list[Outgoing]:
    """The rows whose outcome an earlier holder left open: those that its claims name, and those in doubt."""
    claimed = [await store.get(outbox.row_path(message_id)) for message_id in authority.message_ids()]
    doubted = await store.query(outbox.doubtful_rows(authority.account))
    rows = {document.id: outbox.to_outgoing(document) for document in [*claimed, *doubted] if document is not None}
    return [row for row in rows.values() if row.state in (MessageState.QUEUED, MessageState.IN_DOUBT)]
