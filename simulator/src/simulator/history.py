"""History sync: recent chats, compressed and encrypted, that a phone leaves for a new device (whatsmeow proto/waHistorySync)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from simulator import wire
from simulator.accounts import Account
from simulator.chats import Received
from simulator.jid import GROUP_SERVER, try_parse_jid
from simulator.limits import HISTORY_CHATS_MAX, HISTORY_MESSAGES_PER_CHAT_MAX
from simulator.media.sealing import seal
from simulator.messages import schema, writing
from simulator.messages.reading import Key
from simulator.messages.writing import Draft

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

# HistorySyncType
INITIAL_BOOTSTRAP, PUSH_NAME, ON_DEMAND = 0, 4, 6
# Status of an own message in history: delivered (waWeb `WebMessageInfo.Status`).
_DELIVERED = 3


def recent_chats(phone: Phone) -> dict[str, list[Received]]:
    """The newest messages of the chats that were used last, oldest first, by chat."""
    chats: dict[str, list[Received]] = {}
    for message in sorted(phone.chats.all(), key=lambda one: one.at):
        if message.message and not message.chat.startswith("status@"):
            chats.setdefault(message.chat, []).append(message)
    latest = sorted(chats, key=lambda chat: chats[chat][-1].at, reverse=True)[:HISTORY_CHATS_MAX]
    return {chat: chats[chat][-HISTORY_MESSAGES_PER_CHAT_MAX:] for chat in latest}


def bootstrap(world: World, phone: Phone) -> Draft:
    """The first chunk: chats with their messages, and whose hidden identity belongs to which number."""
    chats = recent_chats(phone)
    met = [world.directory.by_number(chat) for chat in chats]
    people = [account for account in met if account is not None]
    body = wire.pack(
        (1, INITIAL_BOOTSTRAP),
        *wire.repeated(2, [_conversation(world, phone, chat, messages) for chat, messages in chats.items()]),
        (5, 1),
        (6, 100),
        *wire.repeated(15, [wire.pack((1, str(one.pn_jid)), (2, str(one.lid_jid))) for one in people]),
    )
    return notification(world, INITIAL_BOOTSTRAP, body)


def push_names(world: World, phone: Phone) -> Draft:
    """The names that people gave themselves."""
    numbers = dict.fromkeys(message.from_number for message in phone.chats.all())
    found = [world.directory.by_number(number) for number in numbers]
    named = [wire.pack((1, str(one.pn_jid)), (2, one.name)) for one in found if one is not None and one.name]
    return notification(world, PUSH_NAME, wire.pack((1, PUSH_NAME), (5, 1), (6, 100), *wire.repeated(7, named)))


def on_demand(world: World, phone: Phone, request: wire.Fields) -> Draft:
    """Messages of one chat before a known one (HistorySyncOnDemandRequest)."""
    jid = try_parse_jid(request.text(1))
    account = world.account_at(jid.account()) if jid else None
    chat = account.number if account else request.text(1)
    messages = sorted((one for one in phone.chats.all() if one.chat == chat and one.message), key=lambda one: one.at)
    at = next((place for place, one in enumerate(messages) if one.id == request.text(2)), len(messages))
    count = max(1, min(request.number(4), HISTORY_MESSAGES_PER_CHAT_MAX))
    found = _conversation(world, phone, chat, messages[max(0, at - count) : at])
    return notification(world, ON_DEMAND, wire.pack((1, ON_DEMAND), (2, found), (5, 1), (6, 100)))


def notification(world: World, kind: int, body: bytes) -> Draft:
    """Uploads a chunk and says where it is (HistorySyncNotification)."""
    sealed = seal(zlib.compress(body), "history")
    stored = world.media.put(sealed.blob, "md-msg-hist")
    told = wire.pack(
        (1, sealed.file_sha256), (2, sealed.size), (3, sealed.key), (4, sealed.blob_sha256), (5, stored.direct_path),
        (6, kind), (7, 1), (9, 100), (14, stored.handle),
    )  # fmt: skip
    return writing.protocol(schema.HISTORY_SYNC, schema.PROTOCOL_HISTORY, told)


def _conversation(world: World, phone: Phone, chat: str, messages: Iterable[Received]) -> bytes:
    account = world.directory.by_number(chat)
    group = None if account else world.groups.get(try_parse_jid(chat))
    address = str(account.lid_jid) if account else chat
    infos = [wire.pack((1, web_message(world, phone, address, message))) for message in messages]
    last = max((int(message.at) for message in messages), default=0)
    name = account.name if account else group.subject if group else ""
    return wire.pack(
        (1, address), *wire.repeated(2, infos), (5, last), (12, last), (13, name or None),
        (39, str(account.pn_jid) if account else None), (42, str(account.lid_jid) if account else None),
    )  # fmt: skip


def web_message(world: World, phone: Phone, address: str, message: Received) -> bytes:
    """WebMessageInfo: a message with everything that was around it."""
    mine = message.from_number == phone.account.number
    author: Account | None = world.directory.by_number(message.from_number)
    in_group = address.endswith("@" + GROUP_SERVER)
    participant = str(author.lid_jid) if in_group and author else ""
    key = writing.pack_key(Key(address, mine, message.id, "" if mine else participant))
    return wire.pack(
        (1, key), (2, message.message), (3, int(message.at)), (4, _DELIVERED if mine else None), (5, participant or None),
        (19, author.name if author and author.name else None), (49, bytes.fromhex(message.tag) or None),
    )  # fmt: skip
