"""In a neonize client's process: any method of neonize called with arguments from JSON, and the events of content.

What JSON cannot say stands in an object with one key: `{"jid": "1@lid"}`, `{"bytes": <base64>}`, `{"enum": "ReceiptType.READ"}`,
`{"message": {…}}` (a `Message` as protobuf's JSON), `{"patch": {…}}`, and `{"info": id}`, `{"event": id}`, `{"received": id}`:
the info of a message that came, its event, its content.
"""

from __future__ import annotations

import base64
import ctypes
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

Fields = dict[str, Any]
EVENTS_KEPT_MAX = 2_000


class Report(Protocol):
    def __call__(self, event: str, **fields: Any) -> None: ...


class Kept:
    """The latest message events, for commands that need one as an argument."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, Any] = OrderedDict()

    def add(self, event: Any) -> None:
        self._events[event.Info.ID] = event
        if len(self._events) > EVENTS_KEPT_MAX:
            self._events.popitem(last=False)

    def __getitem__(self, message_id: str) -> Any:
        return self._events[message_id]


def jid_text(jid: Any) -> str:
    user = f"{jid.User}:{jid.Device}" if jid.Device else jid.User
    return f"{user}@{jid.Server}" if jid.User else str(jid.Server)


def source_fields(source: Any) -> Fields:
    return {
        "from": source.Sender.User,
        "from_alt": source.SenderAlt.User,
        "from_device": source.Sender.Device,
        "chat": source.Chat.User,
        "chat_jid": jid_text(source.Chat),
        "sender_jid": jid_text(source.Sender),
        "from_me": source.IsFromMe,
        "group": source.IsGroup,
    }


def message_fields(event: Any) -> Fields:
    info, message = event.Info, event.Message
    return {
        **source_fields(info.MessageSource),
        "id": info.ID,
        "text": message.conversation or message.extendedTextMessage.text,
        "tag": message.messageContextInfo.messageSecret.hex(),
        "kinds": [field.name for field, _ in message.ListFields()],
        "type": info.Type,
        "media_type": info.MediaType,
        "edit": info.Edit,
        "is_edit": event.IsEdit,
        "push_name": info.Pushname,
        "retry_count": event.RetryCount,
    }


def is_internal(event: Any) -> bool:
    """Whether a message is one that devices tell each other, not one that people see.

    A group message that brings its sender's key comes as two events with one id: first the key alone, then the message.
    """
    from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import ProtocolMessage

    message = event.Message
    if {field.name for field, _ in message.ListFields()} <= {"senderKeyDistributionMessage", "messageContextInfo"}:
        return True
    shown = (ProtocolMessage.REVOKE, ProtocolMessage.MESSAGE_EDIT)
    return bool(message.HasField("protocolMessage") and message.protocolMessage.type not in shown)


def receipt_fields(event: Any) -> Fields:
    return {**source_fields(event.MessageSource), "ids": list(event.MessageIDs), "type": int(event.Type)}


def as_json(value: Any) -> Any:
    """What a neonize method gave, for the pipe."""
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import Message

    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if value is None or isinstance(value, str | int | float):
        return value
    return [as_json(one) for one in value]


def argument(value: Any, kept: Kept) -> Any:
    """An argument for a neonize method out of JSON."""
    if isinstance(value, list):
        return [argument(one, kept) for one in value]
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inside = next(iter(value.items()))
    maker = _MAKERS.get(kind)
    return maker(inside, kept) if maker else value


def _jid(text: str, kept: Kept) -> Any:
    from neonize.proto.Neonize_pb2 import JID

    user, _, server = text.rpartition("@")
    name, _, device = user.partition(":")
    return JID(User=name, Device=int(device or 0), Integrator=0, RawAgent=0, IsEmpty=not text, Server=server)


def _enum(text: str, kept: Kept) -> Any:
    from neonize.utils import enum

    name, _, member = text.partition(".")
    return getattr(enum, name)[member]


def _message(fields: Fields, kept: Kept) -> Any:
    from google.protobuf.json_format import ParseDict
    from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

    return ParseDict(fields, Message())


def _patch(fields: Fields, kept: Kept) -> Any:
    from google.protobuf.json_format import ParseDict
    from neonize.proto.Neonize_pb2 import PatchInfo

    return ParseDict(fields, PatchInfo())


_MAKERS: dict[str, Callable[[Any, Kept], Any]] = {
    "jid": _jid,
    "enum": _enum,
    "message": _message,
    "patch": _patch,
    "bytes": lambda text, kept: base64.b64decode(text),
    "info": lambda message_id, kept: kept[message_id].Info,
    "event": lambda message_id, kept: kept[message_id],
    "received": lambda message_id, kept: kept[message_id].Message,
}


def subscribe(client: Any, report: Report, kept: Kept) -> None:
    """The events of messages, groups, calls, presence and history."""
    from neonize import events

    mend_neonize()

    def on_message(_: Any, event: Any) -> None:
        internal = is_internal(event)
        if not internal:
            kept.add(event)
        report("protocol" if internal else "message", **message_fields(event))

    def on_presence(_: Any, event: Any) -> None:
        report("presence", **{"from": event.From.User, "online": not event.Unavailable, "last_seen": event.LastSeen})

    def on_typing(_: Any, event: Any) -> None:
        report("typing", state=int(event.State), media=int(event.Media), **source_fields(event.MessageSource))

    def on_undecryptable(_: Any, event: Any) -> None:
        hidden = int(event.DecryptFailMode) == 2
        report("undecryptable", id=event.Info.ID, hidden=hidden, unavailable=event.IsUnavailable)

    client.event(events.MessageEv)(on_message)
    client.event(events.ReceiptEv)(lambda _, event: report("receipt", **receipt_fields(event)))
    client.event(events.UndecryptableMessageEv)(on_undecryptable)
    client.event(events.PresenceEv)(on_presence)
    client.event(events.ChatPresenceEv)(on_typing)
    client.event(events.JoinedGroupEv)(
        lambda _, event: report("joined", group=as_json(event.GroupInfo), reason=event.Reason)
    )
    client.event(events.GroupInfoEv)(lambda _, event: report("group", jid=jid_text(event.JID), change=as_json(event)))
    client.event(events.CallOfferEv)(
        lambda _, event: report("call", id=event.basicCallMeta.callID, offer=as_json(event.data))
    )
    client.event(events.CallOfferNoticeEv)(
        lambda _, event: report("call", id=event.basicCallMeta.callID, media=event.media, type=event.type)
    )
    client.event(events.HistorySyncEv)(lambda _, event: report("history", data=as_json(event.Data)))
    client.event(events.PictureEv)(lambda _, event: report("picture", change=as_json(event)))
    # neonize prints the outcome of the QR channel ("success", "timeout") and has no event for it.
    told = ctypes.string_at
    client._NewClient__onLoginStatus = lambda _, status: report("login_status", status=told(status).decode())


def mend_neonize() -> None:
    """neonize 0.5.2 forgets to turn what this one function gives into bytes, so `decrypt_poll_vote` always fails."""
    from neonize import _binder

    _binder.gocode.DecryptPollVote.errcheck = _binder.consume_bytes_struct


def run(client: Any, command: Fields, kept: Kept) -> Fields:
    """Calls a method of the client (or `contact.…`) with the command's arguments."""
    target = client
    *path, name = str(command["method"]).split(".")
    for part in path:
        target = getattr(target, part)
    named = {key: argument(value, kept) for key, value in command["named"].items()}
    result = getattr(target, name)(*(argument(one, kept) for one in command["args"]), **named)
    # Checked here, so that a failure names the command.
    json.dumps(value := as_json(result))
    return {"value": value}
