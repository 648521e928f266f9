"""What is in WhatsApp's `Message` (whatsmeow, proto/waE2E): its kind, its words, and what else it says. Pure but for the store.

The library has taken the message out of the wrappers that it knows; the others are looked through here. What no person is meant
to see gives nothing; what we do not read yet gives the kind `unsupported` with the field's name: nothing is dropped silently.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import PollVoteMessage, ProtocolMessage

from keepline.domain.addresses import LID_SERVER, PHONE_SERVER, is_group
from keepline.domain.content.checks import TEXT_CHARACTERS_MAX
from keepline.domain.content.files import plain_name
from keepline.domain.content.heard import cells_reference
from keepline.domain.content.references import Addressing, MessageRef
from keepline.domain.content.votes import open_vote
from keepline_connector.cell.media_keys import FileKey
from keepline_connector.cell.store import DeviceStore, plain_address

# What one message may put into a document, which holds a mebibyte; the same as the cards that we send (checks.py), twice.
_CONTENT_CHARACTERS_MAX = 524_288
_QUOTED_CHARACTERS_MAX = 1_000
_MIME_TYPE_CHARACTERS_MAX = 200
# Wrappers inside of wrappers; more are not made by any client.
_WRAPPERS_MAX = 5
# Keys, settings and other talk between devices.
_TALK = frozenset(
    {
        "messageContextInfo",
        "senderKeyDistributionMessage",
        "fastRatchetKeySenderKeyDistributionMessage",
        "protocolMessage",
        "stickerSyncRmrMessage",
        "placeholderMessage",
        "groupRootKeyShare",
        "rootSecretDistributeMessage",
        "messageHistoryBundle",
        "messageHistoryNotice",
    }
)
# Their fields are those of the one kind, whatever the version can do beyond.
_POLLS = ("pollCreationMessage", "pollCreationMessageV2", "pollCreationMessageV3", "pollCreationMessageV5")
_LOCATIONS = ("locationMessage", "liveLocationMessage")
# What has a file: its kind, and where its words are.
_FILES = {
    "imageMessage": ("image", "caption"),
    "videoMessage": ("video", "caption"),
    "ptvMessage": ("video", "caption"),
    "audioMessage": ("audio", None),
    "documentMessage": ("document", "caption"),
    "stickerMessage": ("sticker", None),
}


@dataclass(frozen=True)
class Surroundings:
    """Where a message stands: what its references are looked up by."""

    chat: str  # as we keep it
    from_me: bool
    sender_phone: str | None
    sender_lid: str | None
    addressing: Addressing
    by_admin: bool = False  # the stanza says that its sender acts as an admin of the group


@dataclass
class Read:
    """What a message says."""

    kind: str
    text: str | None = None
    content: dict[str, Any] = field(default_factory=dict)


class Reader:
    """Reads messages that stand in certain surroundings."""

    def __init__(self, store: DeviceStore, around: Surroundings) -> None:
        self._store = store
        self._around = around

    def read(self, message: Any) -> Read | None:
        """What the message says; None when it is not for people."""
        message = _unwrapped(message)
        read = self._read(message)
        if read is None or len(json.dumps(read.content)) <= _CONTENT_CHARACTERS_MAX:
            return read
        return Read("unsupported", None, {"unsupported": {"field": _named(message)}})

    def _read(self, message: Any) -> Read | None:
        if message.conversation:
            return Read("text", _bounded(message.conversation))
        for name, reader in self._readers().items():
            if message.HasField(name):
                inner = getattr(message, name)
                read = reader(inner)
                if read is not None:
                    self._add_context(inner, read)
                return read
        named = _named(message)
        return Read("unsupported", None, {"unsupported": {"field": named}}) if named is not None else None

    def _readers(self) -> dict[str, Callable[[Any], Read | None]]:
        return {
            "extendedTextMessage": _text,
            **{name: self._file_reader(kind, words) for name, (kind, words) in _FILES.items()},
            **dict.fromkeys(_LOCATIONS, _location),
            "contactMessage": lambda inner: _contacts([inner]),
            "contactsArrayMessage": lambda inner: _contacts(inner.contacts),
            **dict.fromkeys(_POLLS, _poll),
            "reactionMessage": self._reaction,
            "pollUpdateMessage": self._vote,
            "protocolMessage": self._change,
        }

    def _file_reader(self, kind: str, words: str | None) -> Callable[[Any], Read]:
        return lambda inner: Read(kind, _bounded(getattr(inner, words)) if words else None, self._file(inner))

    def _file(self, inner: Any) -> dict[str, Any]:
        """What a message says of its file, by the names that it is sent with. Its key is none of it."""
        fields = inner.DESCRIPTOR.fields_by_name
        media = {
            "mime_type": inner.mimetype[:_MIME_TYPE_CHARACTERS_MAX],
            "size": inner.fileLength,
            "sha256": inner.fileSHA256.hex(),
            "file_name": plain_name(_file_name(inner)),
        }
        media |= {
            name: getattr(inner, name)
            for name in ("seconds", "width", "height")
            if name in fields and getattr(inner, name)
        }
        said: dict[str, Any] = {"media": media}
        said |= {"voice": True} if "PTT" in fields and inner.PTT else {}
        said |= {"view_once": True} if "viewOnce" in fields and inner.viewOnce else {}
        return said

    def _reaction(self, inner: Any) -> Read:
        return Read(
            "reaction", _bounded(inner.text), {"reaction": {"message": self._target(inner.key), "emoji": inner.text}}
        )

    def _change(self, inner: Any) -> Read | None:
        """An edit or a revocation."""
        if not inner.HasField("key"):
            return None
        target = self._target(inner.key)
        if inner.type == ProtocolMessage.REVOKE:
            return Read("revoke", None, {"revoke": {"message": target, "by_admin": self._around.by_admin}})
        if inner.type != ProtocolMessage.MESSAGE_EDIT:
            return None
        said = Reader(self._store, self._around).read(inner.editedMessage)
        if said is None:
            return None
        return Read("edit", said.text, {"edit": {"message": target}})

    def _vote(self, inner: Any) -> Read:
        """The options as hashes: their names stand in the poll, which we may have sent or recorded, and the store has not."""
        poll = self._reference(inner.pollCreationMessageKey)
        hashes = None
        for author, secret in self._store.secrets_of(poll.wa_message_id):
            authors = [author, *_addresses(poll.sender_phone, poll.sender_lid)]
            voters = _addresses(self._around.sender_phone, self._around.sender_lid)
            plain = open_vote(secret, poll.wa_message_id, authors, voters, inner.vote.encPayload, inner.vote.encIV)
            if plain is not None:
                hashes = [option.hex() for option in PollVoteMessage.FromString(plain).selectedOptions]
        return Read("vote", None, {"vote": {"message": self._target(inner.pollCreationMessageKey), "hashes": hashes}})

    def _add_context(self, inner: Any, read: Read) -> None:
        """What a message says about others: a quote, mentions, that it was forwarded."""
        if "contextInfo" not in inner.DESCRIPTOR.fields_by_name or not inner.HasField("contextInfo"):
            return
        context = inner.contextInfo
        if context.stanzaID:
            quoted = self._quoted(context)
            said = Reader(self._store, self._around).read(context.quotedMessage)
            words = (said.text if said is not None else None) or ""
            read.content["quote"] = {**quoted, "text": words[:_QUOTED_CHARACTERS_MAX]}
        if context.mentionedJID:
            read.content["mentions"] = [self._person(jid) for jid in context.mentionedJID]
        if context.isForwarded:
            read.content["forwarded"] = True

    def _quoted(self, context: Any) -> dict[str, Any]:
        phone, lid = self._both(context.participant)
        own = self._store.own_number()
        mine = own is not None and (phone == own.phone or (lid is not None and lid == own.lid))
        chat = self._around.chat if not context.remoteJID else plain_address(context.remoteJID)
        reference = MessageRef(None, context.stanzaID, chat, mine, phone, lid, self._around.addressing)
        return self._with_secret(reference)

    def _target(self, key: Any) -> dict[str, Any]:
        return self._with_secret(self._reference(key))

    def _reference(self, key: Any) -> MessageRef:
        """What a key names. `fromMe` in it is its writer's view; between two people everything else is the other one's."""
        around = self._around
        if key.fromMe:
            mine, phone, lid = around.from_me, around.sender_phone, around.sender_lid
        elif key.participant:
            phone, lid = self._both(key.participant)
            own = self._store.own_number()
            mine = own is not None and (phone == own.phone or (lid is not None and lid == own.lid))
        elif is_group(around.chat):
            mine, phone, lid = False, None, None
        else:
            mine = not around.from_me
            phone, lid = (None, None) if mine else self._both(around.chat)
        if mine and not (phone or lid):
            own = self._store.own_number()
            phone, lid = (own.phone, own.lid) if own is not None else (None, None)
        return MessageRef(None, key.ID, around.chat, mine, phone, lid, around.addressing)

    def _with_secret(self, reference: MessageRef) -> dict[str, Any]:
        own = self._store.own_number()
        if own is None or not reference.from_me:
            return cells_reference(reference, None)
        secrets = self._store.secrets_of(reference.wa_message_id)
        ours = [secret for sender, secret in secrets if plain_address(sender).partition("@")[0] in (own.phone, own.lid)]
        return cells_reference(reference, ours[0] if ours else None)

    def _person(self, jid: str) -> dict[str, Any]:
        phone, lid = self._both(jid)
        return {"phone": phone, "lid": lid}

    def _both(self, jid: str) -> tuple[str | None, str | None]:
        return self._store.both_of(plain_address(jid))


def _named(message: Any) -> str | None:
    """The field that says something to people."""
    return next((one.name for one, _ in message.ListFields() if one.name not in _TALK), None)


def _bounded(text: str) -> str | None:
    """WhatsApp's apps send no longer texts; others could, until no document holds them."""
    return text[:TEXT_CHARACTERS_MAX] or None


def _unwrapped(message: Any) -> Any:
    for _ in range(_WRAPPERS_MAX):
        inner = next(
            (
                value.message
                for one, value in message.ListFields()
                if one.message_type is not None and one.message_type.name == "FutureProofMessage"
            ),
            None,
        )
        if inner is None:
            break
        message = inner
    return message


def _text(inner: Any) -> Read:
    read = Read("text", _bounded(inner.text))
    if inner.title:
        read.content["preview"] = {"url": inner.matchedText, "title": inner.title, "description": inner.description}
    return read


def file_key_in(message: Any) -> FileKey | None:
    """What it takes to fetch the file of a message; None where it has none, or where it cannot be had."""
    message = _unwrapped(message)
    for name, (kind, _) in _FILES.items():
        if message.HasField(name):
            inner = getattr(message, name)
            if not (inner.directPath.startswith("/") and inner.mediaKey and inner.fileEncSHA256):
                return None
            return FileKey(
                kind, inner.directPath, inner.mediaKey, inner.fileSHA256, inner.fileEncSHA256, inner.fileLength
            )
    return None


def _file_name(inner: Any) -> str:
    return str(inner.fileName) if "fileName" in inner.DESCRIPTOR.fields_by_name else ""


def _location(inner: Any) -> Read:
    live = "caption" in inner.DESCRIPTOR.fields_by_name
    place = {
        "latitude": _finite(inner.degreesLatitude),
        "longitude": _finite(inner.degreesLongitude),
        "name": inner.caption if live else inner.name,
        "address": "" if live else inner.address,
    }
    return Read("location", _bounded(place["name"]), {"location": place})


def _finite(number: float) -> float | None:
    """JSON has no other numbers."""
    return number if math.isfinite(number) else None


def _contacts(cards: Any) -> Read:
    found = [{"name": card.displayName, "vcard": card.vcard} for card in cards]
    return Read("contact", _bounded(", ".join(card["name"] for card in found)), {"contacts": found})


def _poll(inner: Any) -> Read:
    poll = {
        "question": inner.name,
        "options": [option.optionName for option in inner.options],
        "selectable": inner.selectableOptionsCount,
    }
    return Read("poll", _bounded(inner.name), {"poll": poll})


def _addresses(phone: str | None, lid: str | None) -> list[str]:
    by_lid = [f"{lid}@{LID_SERVER}"] if lid else []
    return [*by_lid, *([f"{phone}@{PHONE_SERVER}"] if phone else [])]
