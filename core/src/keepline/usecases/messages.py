"""Messages as programs see them: accept one for sending, look at one, read a chat backwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keepline.domain.addresses import parse_chat
from keepline.domain.errors import InvalidInput, NotFound, StateConflict, TooLarge, Unavailable
from keepline.domain.ids import account_id, is_message_id, message_id_for_key, new_message_id
from keepline.domain.message import MessageState
from keepline.domain.session import SessionState, SessionStatus
from keepline.ports.documents import Document, DocumentStore, Query, StoreConflict, Where
from keepline.records import history, outbox
from keepline.records.outbox import Authority
from keepline.usecases.sessions import Entropy, own_account

# WhatsApp's own limit for a text message.
TEXT_CHARACTERS_MAX = 65_536
MESSAGE_ID_ENTROPY_BYTES = 16
PAGE_MESSAGES_MAX = 100
# As many messages of one instant as a page takes beyond its limit, rather than cut them apart.
SAME_INSTANT_MESSAGES_MAX = 500

_MILLISECOND = timedelta(milliseconds=1)

# A person has to act before anything can leave again: accepting would be a promise with no end in sight.
_CANNOT_SEND = frozenset({SessionState.LOGGED_OUT, SessionState.BANNED, SessionState.OUTDATED, SessionState.FAILED})


@dataclass(frozen=True)
class MessageView:
    """One message, in or out. `at` orders it among the others, to the millisecond."""

    message_id: str
    session_id: str
    chat: str
    direction: str
    kind: str
    text: str | None
    state: MessageState
    wa_message_id: str | None
    times: Mapping[str, datetime]
    error_code: str | None
    at: datetime


@dataclass(frozen=True)
class Accepted:
    """A message that is durable. `replayed` says that an earlier request with the same key had it accepted."""

    message: MessageView
    replayed: bool


@dataclass(frozen=True)
class Page:
    """Messages, newest first. `next_before` asks for the page behind this one; None when there is none."""

    messages: list[MessageView]
    next_before: datetime | None


class Messages:
    """The messages of all tenants. `entropy(n)` gives n random bytes."""

    def __init__(self, store: DocumentStore, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy

    async def send(self, tenant: str, session_id: str, to: str, text: str, idempotency_key: str | None) -> Accepted:
        """Accept a text message. After this it ends as sent, failed, expired or cancelled, whatever breaks.

        With a key, the first request decides: a repeat gets the message as it is now, another body StateConflict
        (`idempotency_mismatch`). Raises InvalidInput, TooLarge, NotFound (`session_not_found`) and StateConflict
        (`session_cannot_send`), with nothing written.
        """
        account = account_id(tenant, session_id)
        chat = parse_chat(to)
        check_text(text)
        body_hash = _body_hash(chat, text)
        if idempotency_key is None:
            message_id = new_message_id(self._entropy(MESSAGE_ID_ENTROPY_BYTES))
            await self._check_can_send(tenant, session_id)
        else:
            message_id = message_id_for_key(account, idempotency_key)
            earlier = await self._store.get(outbox.row_path(message_id))
            if earlier is not None:
                return await self._replay(earlier, body_hash)
            await self._check_can_send(tenant, session_id)
        row = outbox.new_row(
            message_id=message_id,
            tenant=tenant,
            account=account,
            session_id=session_id,
            chat=chat,
            text=text,
            body_hash=body_hash,
        )
        try:
            [accepted_at] = await self._store.commit([row])
        except StoreConflict:
            # Somebody with the same key was faster, or it is our own write whose first answer was lost on its way.
            found = await self._store.get(outbox.row_path(message_id))
            if found is None:
                raise Unavailable("busy", "The message could not be accepted at this moment.", "Send again.") from None
            return await self._replay(found, body_hash, replayed=idempotency_key is not None)
        fields = {**row.fields, "accepted_at": accepted_at, "times": {"accepted": accepted_at}}
        return Accepted(_row_view(Document(row.path, fields, accepted_at, accepted_at), frozenset()), replayed=False)

    async def get(self, tenant: str, message_id: str) -> MessageView:
        """One message by its id. Raises NotFound (`message_not_found`), also for what belongs to others."""
        if not is_message_id(message_id):
            raise _not_found()
        if message_id.startswith("m_"):
            row = await self._store.get(outbox.row_path(message_id))
            if row is None or row.fields["tenant"] != tenant:
                raise _not_found()
            return _row_view(row, await self._claimed([row]))
        heard = await self._store.query(history.message_by_id(tenant, message_id))
        if not heard:
            raise _not_found()
        return _heard_view(heard[0])

    async def page(self, tenant: str, session_id: str, chat: str | None, limit: int, before: datetime | None) -> Page:
        """The newest messages of a session, or of one of its chats, older than `before`; in and out together.

        Messages of one instant are never divided between two pages, so that `next_before` loses none of them: a page may be
        shorter than `limit`, and longer when one instant alone has more.
        """
        account = await own_account(self._store, tenant, session_id)
        source = _Source(account.id, parse_chat(chat) if chat else None)
        limit = max(1, min(limit, PAGE_MESSAGES_MAX))
        rows, heard = await asyncio.gather(
            self._store.query(source.sent(limit + 1, before)), self._store.query(source.heard(limit + 1, before))
        )
        found = _newest_first(rows, heard)
        kept = _whole_instants(found, limit)
        if not kept and found:
            since = _instant(found[0])
            rows, heard = await asyncio.gather(
                self._store.query(_in_instant(source.sent(1, None), since)),
                self._store.query(_in_instant(source.heard(1, None), since)),
            )
            kept, more = _newest_first(rows, heard), True
        else:
            more = len(kept) < len(found)
        next_before = _instant(kept[-1]) if more and kept else None
        return Page(await self._views(account.id, kept), next_before)

    async def _check_can_send(self, tenant: str, session_id: str) -> None:
        account = await own_account(self._store, tenant, session_id)
        if account.status.state in _CANNOT_SEND:
            raise _cannot_send(account.status)

    async def _replay(self, row: Document, body_hash: str, *, replayed: bool = True) -> Accepted:
        if row.fields["body_hash"] != body_hash:
            raise StateConflict(
                "idempotency_mismatch",
                "This Idempotency-Key has been used for another message.",
                "Use a new key for each message; repeat a key only with the same recipient and text.",
            )
        return Accepted(_row_view(row, await self._claimed([row])), replayed)

    async def _views(self, account: str, found: Sequence[Document]) -> list[MessageView]:
        rows = [document for document in found if _is_row(document)]
        claimed, copies = await asyncio.gather(self._claimed(rows), self._copies(account, found))
        return [
            _row_view(document, claimed) if _is_row(document) else _heard_view(document)
            for document in found
            if document.path not in copies
        ]

    async def _claimed(self, rows: Sequence[Document]) -> frozenset[str]:
        """Which of an account's rows are named in an open claim, so that they may be on the wire right now."""
        queued = [row for row in rows if row.fields["state"] == MessageState.QUEUED.value]
        if not queued:
            return frozenset()
        document = await self._store.get(outbox.authority_path(queued[0].fields["account"]))
        return frozenset(Authority.read(document).message_ids()) if document is not None else frozenset()

    async def _copies(self, account: str, found: Sequence[Document]) -> frozenset[str]:
        """Heard messages that are other devices' copies of what the outbox sent: shown once, as the outbox has them."""
        heard = {
            document.fields["wa_message_id"]: document.path
            for document in found
            if not _is_row(document) and document.fields["direction"] == "out"
        }
        ids = list(heard)
        groups = [ids[start : start + outbox.RECEIPT_IDS_MAX] for start in range(0, len(ids), outbox.RECEIPT_IDS_MAX)]
        results = await asyncio.gather(*(self._store.query(outbox.rows_by_wa_id(account, group)) for group in groups))
        return frozenset(heard[row.fields["wa_message_id"]] for rows in results for row in rows)


@dataclass(frozen=True)
class _Source:
    """Where the messages of one page are."""

    account: str
    chat: str | None

    def sent(self, limit: int, before: datetime | None) -> Query:
        return outbox.newest_rows(self.account, self.chat, limit, before)

    def heard(self, limit: int, before: datetime | None) -> Query:
        if self.chat is None:
            return history.newest_of_account(self.account, limit, before)
        return history.newest_in_chat(self.account, self.chat, limit, before)


def check_text(text: str) -> None:
    """Raise InvalidInput or TooLarge unless WhatsApp takes this text."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise TooLarge(
            "text_too_long",
            f"The text has {len(text)} characters; WhatsApp takes {TEXT_CHARACTERS_MAX}.",
            "Divide it into several messages.",
        )
    if not text.strip():
        raise InvalidInput("empty_text", "The text is empty.", "Write something that can be seen.")
    if "\0" in text or not _is_unicode(text):
        raise InvalidInput(
            "bad_text", "The text has a character that cannot be sent.", "Leave out NUL and unpaired surrogates."
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _body_hash(chat: str, text: str) -> str:
    # Of the chat as we keep it: the same number written in another way is the same message.
    return hashlib.sha256(json.dumps(["text", chat, text]).encode()).hexdigest()


def _is_row(document: Document) -> bool:
    return document.path.startswith(f"{outbox.OUTBOX}/")


def _instant(document: Document) -> datetime:
    """When a message happened, to the millisecond: what is shown, and what `before` can say."""
    fields = document.fields
    at: datetime = fields["accepted_at"] if _is_row(document) else fields["at"]
    # Field by field: what Firestore's client gives is a kind of datetime with nanoseconds.
    whole = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    return datetime(*whole, at.microsecond // 1000 * 1000, tzinfo=at.tzinfo)


def _newest_first(rows: Sequence[Document], heard: Sequence[Document]) -> list[Document]:
    return sorted((*rows, *heard), key=lambda document: (_instant(document), document.id), reverse=True)


def _whole_instants(found: Sequence[Document], limit: int) -> list[Document]:
    """The newest messages, up to `limit`, without the last instant if it goes on beyond them.

    Each source was asked for one more than `limit`, so whatever it kept back is as old as that last instant, or older.
    """
    if len(found) <= limit:
        return list(found)
    divided = _instant(found[limit])
    return [document for document in found[:limit] if _instant(document) > divided]


def _in_instant(query: Query, since: datetime) -> Query:
    """The query for the messages of one millisecond."""
    assert query.order_by is not None
    within = (Where(query.order_by, ">=", since), Where(query.order_by, "<", since + _MILLISECOND))
    return replace(query, where=query.where + within, limit=SAME_INSTANT_MESSAGES_MAX)


def _row_view(row: Document, claimed: frozenset[str]) -> MessageView:
    fields = row.fields
    state = MessageState(fields["state"])
    if state is MessageState.QUEUED and row.id in claimed:
        state = MessageState.SENDING
    return MessageView(
        message_id=row.id,
        session_id=fields["session_id"],
        chat=fields["chat"],
        direction="out",
        kind=fields["kind"],
        text=fields["text"],
        state=state,
        wa_message_id=fields["wa_message_id"],
        times=fields["times"],
        error_code=fields["error_code"],
        at=_instant(row),
    )


def _heard_view(document: Document) -> MessageView:
    fields = document.fields
    return MessageView(
        message_id=fields["message_id"],
        session_id=fields["session_id"],
        chat=fields["chat"],
        direction=fields["direction"],
        kind=fields["kind"],
        text=fields["text"],
        state=MessageState(fields["state"]),
        wa_message_id=fields["wa_message_id"],
        times=fields["times"],
        error_code=None,
        at=_instant(document),
    )


def _cannot_send(status: SessionStatus) -> StateConflict:
    return StateConflict("session_cannot_send", status.reason.sentence, status.reason.next_step)


def _not_found() -> NotFound:
    return NotFound("message_not_found", "There is no such message.", "Use the message_id that an answer named.")
