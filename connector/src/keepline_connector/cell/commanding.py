"""Commands as calls of the library: marks and typing here, groups and contacts in modules of their own."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import Any

from neonize.client import NewClient
from neonize.exc import NeonizeError
from neonize.utils.enum import ChatPresence, ChatPresenceMedia, ReceiptType

from keepline.domain.addresses import is_group
from keepline.domain.commands import OUTCOME_UNKNOWN, Command, CommandOutcome, MarkRead, ShowTyping, Typing
from keepline.domain.contact_commands import CheckContacts, SeeContact
from keepline_connector.cell import contacts, groups
from keepline_connector.cell.outcomes import query_error_of
from keepline_connector.cell.people import People, to_jid

_SHOWN = {
    Typing.COMPOSING: (ChatPresence.CHAT_PRESENCE_COMPOSING, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT),
    Typing.RECORDING: (ChatPresence.CHAT_PRESENCE_COMPOSING, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_AUDIO),
    Typing.PAUSED: (ChatPresence.CHAT_PRESENCE_PAUSED, ChatPresenceMedia.CHAT_PRESENCE_MEDIA_TEXT),
}

log = logging.getLogger(__name__)


def carry_out(client: NewClient, people: People, command: Command) -> CommandOutcome:
    """Do it. The client must be running (an unknown one ends the process, see `library.py`)."""
    result: dict[str, Any] = {}
    try:
        match command:
            case MarkRead():
                _mark_read(client, people, command)
            case ShowTyping(chat=chat, state=state):
                client.send_chat_presence(people.jid(chat), *_SHOWN[state])
            case CheckContacts() | SeeContact():
                result = contacts.carry_out(client, people, command)
            case _:
                result = groups.carry_out(client, people, command)
    except NeonizeError as error:
        code = query_error_of(str(error)) or (OUTCOME_UNKNOWN if command.once else "command_failed")
        if code != "not_connected":
            log.warning("the library did not carry out %s: %s", command.kind, code)
        return CommandOutcome(code)
    return CommandOutcome(result=result)


def _mark_read(client: NewClient, people: People, command: MarkRead) -> None:
    """One receipt names messages of one sender."""

    def sender(message: Any) -> str:
        return message.sender or command.chat

    for author, messages in groupby(sorted(command.messages, key=sender), sender):
        to = command.chat if is_group(command.chat) else author
        ids = [message.wa_message_id for message in messages]
        client.mark_read(*ids, chat=people.jid(to), sender=to_jid(author), receipt=ReceiptType.READ)
