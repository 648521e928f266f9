"""Commands as calls of the library: one function for each kind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import groupby
from typing import Any

from neonize.client import NewClient
from neonize.exc import NeonizeError
from neonize.utils.enum import ChatPresence, ChatPresenceMedia, ReceiptType
from neonize.utils.jid import build_jid

from keepline.domain.addresses import LID_SERVER, is_group
from keepline.domain.commands import Command, CommandOutcome, MarkRead, ShowTyping, Typing

# Of an address the phone and the LID.
BothOf = Callable[[str], tuple[str | None, str | None]]

_NOT_CONNECTED = "websocket not connected"
_SHOWN = {
    Typing.COMPOSING: (ChatPresence.CHAT_PRESENCE_COMPOSING, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT),
    Typing.RECORDING: (ChatPresence.CHAT_PRESENCE_COMPOSING, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_AUDIO),
    Typing.PAUSED: (ChatPresence.CHAT_PRESENCE_PAUSED, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT),
}

log = logging.getLogger(__name__)


def carry_out(client: NewClient, both_of: BothOf, command: Command) -> CommandOutcome:
    """Do it. The client must be running (an unknown one ends the process, see `library.py`)."""
    try:
        match command:
            case MarkRead():
                _mark_read(client, both_of, command)
            case ShowTyping(chat=chat, state=state):
                client.send_chat_presence(_jid(_address(chat, both_of)), *_SHOWN[state])
    except NeonizeError as error:
        if _NOT_CONNECTED in str(error):
            return CommandOutcome("not_connected")
        log.warning("the library did not carry out %s: %s", command.kind, error)
        return CommandOutcome("command_failed")
    return CommandOutcome()


def _mark_read(client: NewClient, both_of: BothOf, command: MarkRead) -> None:
    """One receipt names messages of one sender."""

    def sender(message: Any) -> str:
        return message.sender or command.chat

    for author, messages in groupby(sorted(command.messages, key=sender), sender):
        to = command.chat if is_group(command.chat) else author
        ids = [message.wa_message_id for message in messages]
        client.mark_read(*ids, chat=_jid(_address(to, both_of)), sender=_jid(author), receipt=ReceiptType.READ)


def _address(chat: str, both_of: BothOf) -> str:
    """People are told by their LID where it is known, as in messages (whatsmeow, send.go)."""
    lid = both_of(chat)[1]
    return f"{lid}@{LID_SERVER}" if lid else chat


def _jid(address: str) -> Any:
    user, _, server = address.partition("@")
    return build_jid(user, server)
