"""`/api/chats/{chat}`: mark as read, show typing."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from keepline.domain.commands import Typing
from keepline.records.api_keys import SEND
from keepline_functions.auth import caller, needs, own_session
from keepline_functions.schemas import MarkChatRead, ShowTypingInChat, read_body
from keepline_functions.services import services

routes = Blueprint("chats", __name__)


@routes.post("/api/chats/<chat>/read")
@needs(SEND)
def mark_read(chat: str) -> ResponseReturnValue:
    body = read_body(MarkChatRead, request)
    marking = services().chats.mark_read(caller().tenant, own_session(body.session_id), chat, body.messages)
    return jsonify({"read": services().run(marking)})


@routes.post("/api/chats/<chat>/typing")
@needs(SEND)
def show_typing(chat: str) -> ResponseReturnValue:
    body = read_body(ShowTypingInChat, request)
    showing = services().chats.show_typing(caller().tenant, own_session(body.session_id), chat, Typing(body.state))
    services().run(showing)
    return Response(status=204)
