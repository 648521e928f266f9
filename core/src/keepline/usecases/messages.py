"""Messages as programs send them: accept one, look at one, take one back, send a dead letter again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime

from keepline.domain.addresses import STATUS_CHAT, parse_chat
from keepline.domain.content import maps
from keepline.domain.content.bodies import Addition, Content, Text
from keepline.domain.content.checks import check
from keepline.domain.errors import InvalidInput, NotFound, StateConflict, Unavailable
from keepline.domain.ids import account_id, is_message_id, message_id_for_key, new_message_id
from keepline.domain.message import Cause, MessageState, next_state
from keepline.domain.reconnect import PROBE_INTERVAL_S, Breaker
from keepline.domain.send_options import SendOptions
from keepline.domain.send_queue import ATTEMPTS_MAX
from keepline.domain.session import SessionState, SessionStatus
from keepline.domain.tag import TRIES_MAX as TAGGED_TRIES_MAX
from keepline.domain.trace_context import Origin
from keepline.ports.clock import Clock
from keepline.ports.documents import Create, Document, DocumentStore, StoreConflict
from keepline.records import accounts, history, outbox
from keepline.records.accounts import FIRST_SLOT, Account, Device
from keepline.records.outbox import NewMessage
from keepline.usecases.limiting import MESSAGES, Charged, Limiter
from keepline.usecases.media import MediaDesk
from keepline.usecases.message_views import MessageView, MessageViewer
from keepline.usecases.queue_room import QueueRoom
from keepline.usecases.referring import References
from keepline.usecases.sessions import Entropy, owned
from keepline.usecases.withdrawing import TRIES_MAX, authority_of, is_repair, withdraw

MESSAGE_ID_ENTROPY_BYTES = 16

# A person has to act before anything can leave again: accepting would be a promise with no end in sight.
_CANNOT_SEND = frozenset({SessionState.LOGGED_OUT, SessionState.BANNED, SessionState.OUTDATED, SessionState.FAILED})

# Where the first device is while its tries may have failed so often that its breaker is open.
_TRYING = frozenset({SessionState.RECONNECTING})


@dataclass(frozen=True)
class Accepted:
    """A message that is durable. `replayed` says that an earlier request with the same key had it accepted.

    `charged` is what is left of the user's limit; None where this request has not used it.
    """

    message: MessageView
    replayed: bool
    charged: Charged | None


NO_ORIGIN = Origin()


class Messages:
    """The messages of all tenants. `entropy(n)` gives n random bytes."""

    def __init__(
        self, store: DocumentStore, clock: Clock, entropy: Entropy, limiter: Limiter, media: MediaDesk | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._limiter = limiter
        self._room = QueueRoom(store, clock)
        self._viewer = MessageViewer(store, clock)
        self._references = References(store, clock)
        self._media = media or MediaDesk(store, clock, entropy, limiter, None)

    async def send(
        self,
        tenant: str,
        session_id: str,
        to: str | None,
        content: Content,
        idempotency_key: str | None,
        options: SendOptions,
        origin: Origin = NO_ORIGIN,
    ) -> Accepted:
        """Accept a message. After this it ends as sent, failed, expired or cancelled, whatever breaks.

        `to` is None for what is about an earlier message and goes where that is; the content names it by our id. With a key the
        first request decides: a repeat gets the message as it is now, another body StateConflict (`idempotency_mismatch`).
        Raises, with nothing sent, InvalidInput, TooLarge, NotFound (`session_not_found`), StateConflict
        (`session_cannot_send`), Unavailable (`whatsapp_unreachable`), what `References.resolve` and `MediaDesk.resolve` raise,
        and TooMany (`queue_full`, `rate_limited`).
        """
        account = account_id(tenant, session_id)
        chat = parse_chat(to) if to is not None else None
        check(content)
        body_hash = _body_hash(chat, content, options)
        if idempotency_key is None:
            message_id = new_message_id(self._entropy(MESSAGE_ID_ENTROPY_BYTES))
            found = await self._store.get(accounts.account_path(account))
        else:
            message_id = message_id_for_key(account, idempotency_key)
            # Together, because every message waits for both. A repeat is answered whatever has become of the session.
            earlier, found = await asyncio.gather(
                self._store.get(outbox.row_path(message_id)), self._store.get(accounts.account_path(account))
            )
            if earlier is not None:
                return await self._repeat(earlier, body_hash)
        session = await self._check_can_send(tenant, found)
        # After the look for an earlier one: a repeat is answered also when the times that it names have passed since.
        options = options.at(self._clock.now())
        content = await self._references.resolve(tenant, account, content)
        _check_goes_to(content, chat)
        # Fetched before it is accepted: what is accepted is known to the byte, and stays so.
        content = await self._media.resolve(tenant, session_id, content, options.send_at or self._clock.now())
        row = outbox.new_row(
            NewMessage(
                message_id=message_id,
                tenant=tenant,
                account=account,
                session_id=session_id,
                chat=chat if chat is not None else _chat_of(content),
                content=content,
                body_hash=body_hash,
                send_at=options.send_at,
                expires_at=options.expires_at,
                priority=int(options.priority),
                on_doubt=options.on_doubt or session.on_doubt,
                origin=origin,
            )
        )
        try:
            async with self._room.place(account, await self._limiter.limit_of(tenant, MESSAGES)):
                [accepted_at], charged = await self._limiter.commit(tenant, MESSAGES, [row])
        except StoreConflict:
            # Somebody with the same key was faster, or it is our own write whose first answer was lost on its way.
            written = await self._store.get(outbox.row_path(message_id))
            if written is None:
                raise Unavailable("busy", "The message could not be accepted at this moment.", "Send again.") from None
            return await self._repeat(written, body_hash, replayed=idempotency_key is not None)
        return Accepted(self._viewer.fresh(_as_written(row, accepted_at)), replayed=False, charged=charged)

    async def get(self, tenant: str, message_id: str) -> MessageView:
        """One message by its id. Raises NotFound (`message_not_found`), also for what belongs to others."""
        if message_id.startswith("m_"):
            return await self._viewer.view(await self._own_row(tenant, message_id))
        heard = await self._store.query(history.message_by_id(tenant, message_id)) if is_message_id(message_id) else []
        if not heard:
            raise message_not_found()
        return await self._viewer.view(heard[0])

    async def cancel(self, tenant: str, message_id: str) -> MessageView:
        """Take back a message that waits; one that is cancelled already stays so.

        Raises NotFound (`message_not_found`), StateConflict (`already_sending`, `already_sent`, `already_failed`,
        `already_expired`) and Unavailable (`busy`).
        """
        for _ in range(TRIES_MAX):
            row = await self._own_row(tenant, message_id)
            state = MessageState(row.fields["state"])
            if state is MessageState.CANCELLED:
                return await self._viewer.view(row)
            authority = await authority_of(self._store, row.fields["account"])
            if state is not MessageState.QUEUED or is_repair(row) or row.id in authority.message_ids():
                raise _too_late(state, sent_before=is_repair(row))
            try:
                await withdraw(self._store, authority, [outbox.cancel_row(row)])
            except StoreConflict:
                continue  # It was claimed in between, others of its account were, or our own answer was lost: look again.
            return await self.get(tenant, message_id)
        raise _busy()

    async def replay(self, tenant: str, message_id: str) -> MessageView:
        """Queue a dead letter again, behind what waits now and without the time at which it would have expired.

        Raises NotFound, StateConflict (`not_a_dead_letter`, `replayed_too_often`, `session_cannot_send`), TooMany (`queue_full`,
        `rate_limited`) and Unavailable (`busy`).
        """
        before: object = None
        for number in range(TRIES_MAX):
            row = await self._own_row(tenant, message_id)
            replayed_at = row.fields["times"].get("replayed")
            if number and replayed_at != before:
                # Our own commit, whose answer was lost; or somebody replayed it beside us, which comes to the same.
                return await self._viewer.view(row)
            before = replayed_at
            _check_replayable(row)
            account = row.fields["account"]
            await self._check_can_send(tenant, await self._store.get(accounts.account_path(account)))
            limit = await self._limiter.limit_of(tenant, MESSAGES)
            try:
                async with self._room.place(account, limit):
                    await self._limiter.commit(tenant, MESSAGES, [outbox.replay_row(row)])
            except StoreConflict:
                continue  # A late receipt, perhaps: it may have arrived after all.
            return await self.get(tenant, message_id)
        raise _busy()

    async def _own_row(self, tenant: str, message_id: str) -> Document:
        """The row of a message of the API. What WhatsApp brought has none."""
        if not is_message_id(message_id) or not message_id.startswith("m_"):
            raise message_not_found()
        row = await self._store.get(outbox.row_path(message_id))
        if row is None or row.fields["tenant"] != tenant:
            raise message_not_found()
        return row

    async def _check_can_send(self, tenant: str, found: Document | None) -> Account:
        """The session that was read, unless no device of it can send or will soon. One that is reconnecting will."""
        account = owned(tenant, found)
        if account.status.state not in _CANNOT_SEND | _TRYING:
            return account
        documents = await self._store.query(accounts.devices_of_account(account.id))
        devices = [device for device in map(Device.read, documents) if device.wanted]
        if account.status.state in _CANNOT_SEND and not any(
            device.slot != FIRST_SLOT and device.linked and device.state not in _CANNOT_SEND for device in devices
        ):
            raise _cannot_send(account.status)
        # A device that nobody has linked sends nothing, whatever its connection is like; before the first is, all of them count.
        able = [device for device in devices if device.linked] or devices
        if able and all(device.life.breaker is Breaker.OPEN or device.state in _CANNOT_SEND for device in able):
            raise _unreachable(account.status)
        return account

    async def _repeat(self, row: Document, body_hash: str, *, replayed: bool = True) -> Accepted:
        if row.fields["body_hash"] != body_hash:
            raise StateConflict(
                "idempotency_mismatch",
                "This Idempotency-Key has been used for another message.",
                "Use a new key for each message; repeat a key only with the same body.",
            )
        return Accepted(await self._viewer.view(row), replayed, charged=None)


def _check_goes_to(content: Content, chat: str | None) -> None:
    """A status is a text that nobody's message is quoted in; all else goes to people and groups."""
    if chat == STATUS_CHAT and (not isinstance(content.body, Text) or content.quote is not None):
        raise InvalidInput(
            "not_for_status", "Only a text without a quote can be sent as a status.", "Send it to a person or a group."
        )


def _chat_of(content: Content) -> str:
    assert isinstance(content.body, Addition)
    return content.body.message.chat


def _body_hash(chat: str | None, content: Content, options: SendOptions) -> str:
    # Of the chat and the instants, not of how they were written: the same thing said in another way is the same message.
    # And of our own ids for earlier messages, so that a repeat is known also when what they name has changed since.
    times = [at.astimezone(UTC).isoformat() if at is not None else None for at in (options.send_at, options.expires_at)]
    parts = [content.kind, chat, maps.to_map(content), *times, options.priority.word, options.on_doubt]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _as_written(row: Create, accepted_at: datetime) -> Document:
    fields = {**row.fields, "accepted_at": accepted_at, "times": {"accepted": accepted_at}}
    return Document(row.path, fields, accepted_at, accepted_at)


def _check_replayable(row: Document) -> None:
    state = MessageState(row.fields["state"])
    if next_state(state, Cause.REPLAYED) is None:
        raise StateConflict(
            "not_a_dead_letter",
            f"This message has not failed: it is {state.value}.",
            "Only a failed message can be replayed; send the others as new messages.",
        )
    if row.fields["attempts"] + ATTEMPTS_MAX > TAGGED_TRIES_MAX:
        raise StateConflict(
            "replayed_too_often",
            f"This message has been tried {row.fields['attempts']} times, and there is a limit.",
            "Send it as a new message.",
        )


def _too_late(state: MessageState, *, sent_before: bool) -> StateConflict:
    match state:
        case MessageState.FAILED:
            return StateConflict(
                "already_failed", "This message has failed.", "Nothing to cancel: it is not tried again."
            )
        case MessageState.EXPIRED:
            return StateConflict("already_expired", "The time of this message ran out.", "Nothing to cancel.")
        case MessageState.QUEUED | MessageState.IN_DOUBT if not sent_before:
            return StateConflict(
                "already_sending",
                "This message is on its way to WhatsApp at this moment.",
                "Look at it again in a second; if it comes back to the queue, it can be cancelled.",
            )
    return StateConflict(
        "already_sent",
        "WhatsApp has this message already.",
        "Send a message of the kind `revoke` to delete it for everyone.",
    )


def _cannot_send(status: SessionStatus) -> StateConflict:
    return StateConflict("session_cannot_send", status.reason.sentence, status.reason.next_step)


def _unreachable(status: SessionStatus) -> Unavailable:
    return Unavailable(
        "whatsapp_unreachable",
        f"WhatsApp has not been reached from any device of this session for some time: {status.reason.sentence}",
        f"Try again when it is tried again. {status.reason.next_step}",
        math.ceil(PROBE_INTERVAL_S),
    )


def message_not_found() -> NotFound:
    """The answer for what is not there, and for what is somebody else's."""
    return NotFound("message_not_found", "There is no such message.", "Use the message_id that an answer named.")


def _busy() -> Unavailable:
    return Unavailable("busy", "The message is being changed by others at this moment.", "Try again in a second.")
