"""`/api/chats/{chat}`: mark as read, show typing."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.commands import Typing
from keepline.records.api_keys import SEND
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.describing import Described, Tag
from keepline_functions.message_answers import MarkedReadJson
from keepline_functions.schemas import MarkChatRead, ShowTypingInChat, read_body
from keepline_functions.services import services

routes = Blueprint("chats", __name__)

# Of what a session's device is asked for and does at once, or not at all.
AT_ONCE_ERRORS = (
    *("session_not_found", "session_not_allowed", "bad_session_id", "bad_user_id", "not_connected", "not_carried_out"),
    *("unsupported_command", "command_failed", "wa_rate_limited"),
)
_ADDRESS_ERRORS = ("bad_number", "broadcast_not_supported", "newsletter_not_supported")


@routes.post("/api/chats/<chat>/read")
@needs(SEND)
@Described(
    Tag.CHATS,
    "mark_chat_read",
    "Mark a chat as read",
    body=MarkChatRead,
    examples={"the newest": {"session_id": "support"}},
    answers={200: MarkedReadJson},
    errors=(*AT_ONCE_ERRORS, *_ADDRESS_ERRORS, "message_not_found"),
)
def mark_read(chat: str) -> ResponseReturnValue:
    """Tells the senders of the chat's newest messages (up to 100), or of those that are named, that they were read."""
    body = read_body(MarkChatRead, request)
    marking = services().chats.mark_read(caller().tenant, own_session(body.session_id), chat, body.messages)
    shown: MarkedReadJson = {"read": services().run(marking)}
    return jsonify(shown)


@routes.post("/api/chats/<chat>/typing")
@needs(SEND)
@Described(
    Tag.CHATS,
    "show_typing",
    "Show that you write",
    body=ShowTypingInChat,
    examples={"writing": {"session_id": "support", "state": "composing"}},
    answers={204: None},
    errors=(*AT_ONCE_ERRORS, *_ADDRESS_ERRORS, "not_for_status"),
)
def show_typing(chat: str) -> ResponseReturnValue:
    """Shown for some 25 s, or until a message comes."""
    body = read_body(ShowTypingInChat, request)
    showing = services().chats.show_typing(caller().tenant, own_session(body.session_id), chat, Typing(body.state))
    services().run(showing)
    return Response(status=204)
