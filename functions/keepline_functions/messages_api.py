"""`/api/messages`: send, look at one, read backwards, cancel, replay; and `/api/dead-letters`."""

from __future__ import annotations

from flask import Blueprint, g, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.adapters.url_fetching import FETCH_LIMIT_S
from keepline.domain.content.bodies import Content
from keepline.domain.content.files import Media
from keepline.domain.trace_context import Origin
from keepline.records.api_keys import READ, SEND
from keepline.usecases.message_lists import Page
from keepline.usecases.message_views import MessageView
from keepline.usecases.messages import message_not_found
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.describing import Described, Header, Tag
from keepline_functions.limit_headers import limit_headers
from keepline_functions.media_api import check_named
from keepline_functions.message_answers import DeadLettersJson, MessageJson, MessagesJson
from keepline_functions.schemas import ListDeadLetters, ListMessages, read_query
from keepline_functions.send_schemas import AnyMessage, read_message
from keepline_functions.services import CALL_TIMEOUT_S, services
from keepline_functions.views import message_json, rfc3339

routes = Blueprint("messages", __name__)

_QUEUING_ERRORS = (
    "session_not_found",
    "session_being_deleted",
    "session_cannot_send",
    "whatsapp_unreachable",
    "queue_full",
)
_CONTENT_ERRORS = (
    *(
        "unsupported_kind",
        "not_for_status",
        "empty_text",
        "bad_text",
        "text_too_long",
        "too_many_mentions",
        "bad_preview",
    ),
    *(
        "bad_media",
        "media_not_found",
        "media_not_set_up",
        "media_unavailable",
        "unsupported_media_kind",
        "media_too_large",
    ),
    *("bad_url", "url_not_allowed", "url_not_fetched", "voice_needs_opus"),
    *("bad_location", "bad_contact", "contact_too_large", "bad_poll", "bad_vote", "bad_reaction"),
)
_REFERENCE_ERRORS = (
    *(
        "message_not_found",
        "message_of_another_session",
        "message_not_sent",
        "message_revoked",
        "cannot_be_referred_to",
    ),
    *("cannot_edit", "edit_too_late", "cannot_revoke", "revoke_too_late", "cannot_forward", "not_a_poll"),
)
_ADDRESS_ERRORS = ("bad_number", "broadcast_not_supported", "newsletter_not_supported")
_LIST_ERRORS = ("session_not_found", "session_not_allowed", "bad_session_id", "bad_user_id")
_IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "1 to 255 printable characters of your own. A repeat with the same key gets the same message.",
    "order-1",
)
_EXAMPLES = {
    "a text": {"session_id": "support", "to": "+1 415 555 0123", "text": "Hello"},
    "later": {
        "session_id": "support",
        "to": "14155550123",
        "text": "Your table is ready in an hour.",
        "priority": "high",
        "on_doubt": "hold",
    },
    "an answer": {
        "session_id": "support",
        "to": "14155550123",
        "text": "It is at https://example.com/menu",
        "preview": {"url": "https://example.com/menu", "title": "The menu", "description": "Of this week"},
        "quote": "i_t7um2p4ewmuwdfhmmbdsjjyevt",
    },
    "a place": {
        "session_id": "support",
        "to": "14155550123",
        "kind": "location",
        "location": {"latitude": 48.2, "longitude": 16.37, "name": "Vienna", "address": "Ring 1"},
    },
    "a contact": {
        "session_id": "support",
        "to": "14155550123",
        "kind": "contact",
        "contacts": [{"name": "Ada", "phones": ["+1 415 555 0199"]}],
    },
    "a poll": {
        "session_id": "support",
        "to": "14155550123",
        "kind": "poll",
        "poll": {"question": "When?", "options": ["at seven", "at eight"], "selectable": 1},
    },
    "a vote": {
        "session_id": "support",
        "kind": "vote",
        "vote": {"message": "i_poll2p4ewmuwdfhmmbdsjjyevt", "options": ["at eight"]},
    },
    "a reaction": {
        "session_id": "support",
        "kind": "reaction",
        "reaction": {"message": "i_t7um2p4ewmuwdfhmmbdsjjyevt", "emoji": "👍"},
    },
    "an edit": {
        "session_id": "support",
        "kind": "edit",
        "edit": {"message": "m_6temzapiw5q236squ7ntrghjom", "text": "At eight"},
    },
    "a revocation": {"session_id": "support", "kind": "revoke", "revoke": {"message": "m_6temzapiw5q236squ7ntrghjom"}},
    "a forward": {
        "session_id": "support",
        "to": "14155550199",
        "kind": "forward",
        "forward": {"message": "i_t7um2p4ewmuwdfhmmbdsjjyevt"},
    },
}


@routes.post("/api/messages/send")
@needs(SEND)
@Described(
    Tag.MESSAGES,
    "send_message",
    "Send a message",
    body=AnyMessage,
    examples=_EXAMPLES,
    headers=(_IDEMPOTENCY_KEY,),
    answers={202: MessageJson},
    answer_headers=(Header("Idempotent-Replay", "`true`: the message had been accepted before.", "true"),),
    errors=(
        *(
            "session_not_allowed",
            "bad_session_id",
            "bad_user_id",
            "bad_send_at",
            "bad_expires_at",
            "bad_idempotency_key",
        ),
        *("idempotency_mismatch", *_ADDRESS_ERRORS, *_CONTENT_ERRORS, *_REFERENCE_ERRORS, *_QUEUING_ERRORS),
    ),
    is_limited=True,
)
def send() -> ResponseReturnValue:
    """After 202 the message is kept, whether the session is connected or not, and goes out once, in the order of its chat.

    Each `kind` has fields of its own and takes no others; without one it is a text. A field that is null is as if it were not
    there.
    """
    body = read_message(request)
    key = request.headers.get("Idempotency-Key")
    session_id, content = own_session(body.session_id), body.content()
    _check_file(content)
    origin = Origin(g.request_id, g.traceparent)
    sending = services().messages.send(
        caller().tenant, session_id, body.recipient(), content, key, body.options(), origin
    )
    # A file that is named by its address is fetched first.
    accepted = services().run(sending, CALL_TIMEOUT_S + FETCH_LIMIT_S)
    g.step = {"step": "accept", "message_id": accepted.message.message_id, "session_id": session_id}
    response = jsonify(message_json(accepted.message))
    response.headers.update(limit_headers(accepted.charged))
    if accepted.replayed:
        response.headers["Idempotent-Replay"] = "true"
    return response, 202


@routes.get("/api/messages/<message_id>")
@needs(READ)
@Described(Tag.MESSAGES, "get_message", "Look at a message", answers={200: MessageJson}, errors=("message_not_found",))
def one(message_id: str) -> ResponseReturnValue:
    """One message, in or out, and what became of it."""
    return jsonify(message_json(_own(message_id)))


@routes.post("/api/messages/<message_id>/cancel")
@needs(SEND)
@Described(
    Tag.MESSAGES,
    "cancel_message",
    "Cancel a message",
    answers={200: MessageJson},
    errors=("message_not_found", "already_sending", "already_sent", "already_failed", "already_expired", "busy"),
)
def cancel(message_id: str) -> ResponseReturnValue:
    """Takes back what is `queued` or `scheduled`. Cancelling it again changes nothing."""
    _check(message_id)
    return jsonify(message_json(services().run(services().messages.cancel(caller().tenant, message_id))))


@routes.post("/api/messages/<message_id>/replay")
@needs(SEND)
@Described(
    Tag.MESSAGES,
    "replay_message",
    "Replay a dead letter",
    answers={202: MessageJson},
    errors=("message_not_found", "not_a_dead_letter", "replayed_too_often", *_QUEUING_ERRORS),
    is_limited=True,
)
def replay(message_id: str) -> ResponseReturnValue:
    """Queues a failed message again, behind what its chat has waiting now."""
    _check(message_id)
    return jsonify(message_json(services().run(services().messages.replay(caller().tenant, message_id)))), 202


@routes.get("/api/messages")
@needs(READ)
@Described(
    Tag.MESSAGES,
    "list_messages",
    "Read messages",
    query=ListMessages,
    answers={200: MessagesJson},
    errors=(*_LIST_ERRORS, *_ADDRESS_ERRORS),
)
def page() -> ResponseReturnValue:
    """Both directions, the newest first, in pages.

    Messages of the same millisecond are never divided between pages, so a page can have a few more or fewer than `limit`.
    """
    query = read_query(ListMessages, request)
    lists = services().message_lists
    found = services().run(
        lists.page(caller().tenant, own_session(query.session_id), query.chat, query.limit, query.before)
    )
    shown: MessagesJson = {"messages": _shown(found), "next_before": _next(found)}
    return jsonify(shown)


@routes.get("/api/dead-letters")
@needs(READ)
@Described(
    Tag.MESSAGES,
    "list_dead_letters",
    "Read dead letters",
    query=ListDeadLetters,
    answers={200: DeadLettersJson},
    errors=_LIST_ERRORS,
)
def dead_letters() -> ResponseReturnValue:
    """Messages that failed, each with its `error`, those accepted last first. Nothing tries them again by itself."""
    query = read_query(ListDeadLetters, request)
    lists = services().message_lists
    found = services().run(
        lists.dead_letters(caller().tenant, own_session(query.session_id), query.limit, query.before)
    )
    shown: DeadLettersJson = {"dead_letters": _shown(found), "next_before": _next(found)}
    return jsonify(shown)


def _own(message_id: str) -> MessageView:
    """A message, if the caller's key is for its session: else there is none. Raises NotFound (`message_not_found`)."""
    view = services().run(services().messages.get(caller().tenant, message_id))
    if not caller().may_touch(view.session_id):
        raise message_not_found()
    return view


def _check(message_id: str) -> None:
    """Before something is done to a message. A message never changes its session."""
    if caller().sessions is not None:
        _own(message_id)


def _check_file(content: Content) -> None:
    """The file that a message names by its id, if it does. Raises NotFound (`media_not_found`)."""
    if isinstance(content.body, Media) and content.body.file.media_id is not None:
        check_named(content.body.file.media_id)


def _shown(page: Page) -> list[MessageJson]:
    return [message_json(message) for message in page.messages]


def _next(page: Page) -> str | None:
    return rfc3339(page.next_before) if page.next_before else None
