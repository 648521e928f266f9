"""What a person does with a phone: write, send files, react, edit, delete, vote, type. Every refusal is a `SimulatorError`."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING

from simulator.accounts import Account
from simulator.chats import Received
from simulator.errors import SimulatorError
from simulator.groups.model import Group
from simulator.jid import BROADCAST_SERVER, GROUP_SERVER, LID_SERVER, PN_SERVER, try_parse_jid
from simulator.limits import MEDIA_BLOB_BYTES_MAX, POLL_OPTIONS_MAX, TEXT_CHARACTERS_MAX
from simulator.media.sealing import MediaError, open_sealed, seal
from simulator.messages import polls, writing
from simulator.messages.reading import Key, MediaRef, read
from simulator.messages.schema import MEDIA
from simulator.messages.writing import About, Draft, MediaDetails, Quote
from simulator.sending import Chat, Status, address_of

if TYPE_CHECKING:
    from simulator.phone import Phone
    from simulator.world import World

STATUS = "status@broadcast"
# What a phone sends without being told a type, by kind (WhatsApp converts to these).
_MIMETYPES = {
    "image": "image/jpeg", "video": "video/mp4", "audio": "audio/mp4", "voice": "audio/ogg; codecs=opus",
    "sticker": "image/webp", "document": "application/octet-stream",
}  # fmt: skip
MEDIA_KINDS = tuple(_MIMETYPES)
ADDRESSING = {"lid": LID_SERVER, "pn": PN_SERVER}


class Acts:
    """The acts of one phone. `to` is a number, a group's id, or `status`; each gives the id of the message it sent."""

    def __init__(self, world: World, phone: Phone) -> None:
        self._world = world
        self._phone = phone

    # Chats and earlier messages

    def chat(self, to: str, readers: list[str] | None = None) -> Chat:
        """Whom `to` names. Readers of a status are given, or everyone the phone ever exchanged messages with."""
        jid = try_parse_jid(to) if "@" in to else None
        if to in ("status", STATUS) or (jid is not None and jid.server == BROADCAST_SERVER):
            return Status(self._readers(readers))
        if jid is not None and jid.server == GROUP_SERVER:
            group = self._world.groups.require(jid)
            if not group.may_write(self._phone.account):
                raise SimulatorError(
                    "not_in_group", f"{self._phone.account.number} may not write in {jid}.", status=403
                )
            return group
        if jid is not None and jid.server == LID_SERVER:
            account = self._world.account_at(jid.account())
            if account is None:
                raise SimulatorError("no_such_phone", f"Nobody has the hidden identity {to[:40]}.", status=404)
        else:
            account = self._world.phone(jid.user if jid else to).account
        if account is self._phone.account:
            raise SimulatorError(
                "same_number", "A phone here does not write to itself.", "Give another number in `to`."
            )
        return account

    def _readers(self, readers: list[str] | None) -> list[Account]:
        if readers is not None:
            return [self._world.phone(number).account for number in readers]
        met = dict.fromkeys(one for message in self._phone.chats.all() for one in (message.chat, message.from_number))
        found = [self._world.directory.by_number(number) for number in met]
        return [account for account in found if account is not None and account is not self._phone.account]

    def _target(self, message_id: str) -> tuple[Received, Chat, Key]:
        """An earlier message, the chat it is in, and the key that names it there."""
        phone = self._phone
        found = phone.chats.find(message_id)
        if found is None or found.waiting:
            raise SimulatorError(
                "no_such_message", f"{phone.account.number} shows no message {message_id[:64]!r}.",
                "GET /phones/{number}/inbox lists them.", status=404,
            )  # fmt: skip
        chat = self.chat(found.chat)
        mine = found.from_number == phone.account.number
        author = self._world.directory.by_number(found.from_number)
        participant = ""
        if not isinstance(chat, Account) and not mine and author is not None:
            participant = str(
                author.pn_jid if isinstance(chat, Group) and chat.addressing == PN_SERVER else author.lid_jid
            )
        return found, chat, Key(str(address_of(chat)), mine, message_id, participant)

    def _about(self, chat: Chat, quote: str = "", mentions: list[str] | None = None) -> About:
        quoted = None
        if quote:
            target, _, _ = self._target(quote)
            author = self._world.directory.by_number(target.from_number)
            quoted = Quote(quote, str(author.lid_jid) if author else "", target.message)
        named = [self._world.phone(number).account for number in mentions or ()]
        pn = isinstance(chat, Group) and chat.addressing == PN_SERVER
        return About(quoted, tuple(str(one.pn_jid if pn else one.lid_jid) for one in named))

    def _send(self, chat: Chat, draft: Draft, addressing: str = "lid") -> str:
        if addressing not in ADDRESSING:
            raise SimulatorError("bad_addressing", f"{addressing[:20]!r} is no kind of address.", "Use `lid` or `pn`.")
        return self._phone.send(chat, draft, ADDRESSING[addressing])

    # Messages

    def text(
        self, to: str, text: str, *, quote: str = "", mentions: list[str] | None = None,
        readers: list[str] | None = None, addressing: str = "lid",
    ) -> str:  # fmt: skip
        """A text, perhaps as an answer to a message (`quote`, its id) or with people's numbers in `mentions`."""
        if not text or len(text) > TEXT_CHARACTERS_MAX:
            raise SimulatorError("bad_text", f"A text has 1 to {TEXT_CHARACTERS_MAX} characters.")
        chat = self.chat(to, readers)
        return self._send(chat, writing.text(text, self._about(chat, quote, mentions)), addressing)

    def media(
        self, to: str, kind: str, data: bytes, *, mimetype: str = "", caption: str = "", filename: str = "", seconds: int = 0,
        view_once: bool = False, quote: str = "", mentions: list[str] | None = None, readers: list[str] | None = None,
        addressing: str = "lid",
    ) -> str:  # fmt: skip
        """A file: encrypted, uploaded, and its key sent. `kind` is one of `MEDIA_KINDS`."""
        if kind not in MEDIA_KINDS:
            raise SimulatorError(
                "bad_kind", f"{kind[:20]!r} is no kind of file.", f"Use one of: {', '.join(MEDIA_KINDS)}."
            )
        if not 0 < len(data) <= MEDIA_BLOB_BYTES_MAX - 64:
            raise SimulatorError("bad_media", f"A file has 1 to {MEDIA_BLOB_BYTES_MAX - 64} bytes.")
        chat = self.chat(to, readers)
        layout = MEDIA["audio" if kind == "voice" else kind]
        sealed = seal(data, layout.sealed_as)
        stored = self._world.media.put(sealed.blob, layout.sealed_as)
        guessed = mimetypes.guess_type(filename)[0] if filename else None
        details = MediaDetails(
            mimetype or guessed or _MIMETYPES[kind], caption, filename or ("file" if kind == "document" else ""), seconds,
            kind == "voice", view_once,
        )  # fmt: skip
        draft = writing.media(layout.kind, sealed, stored, details, self._about(chat, quote, mentions))
        return self._send(chat, draft, addressing)

    def location(
        self, to: str, latitude: float, longitude: float, *, name: str = "", address: str = "", addressing: str = "lid"
    ) -> str:
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise SimulatorError("bad_location", "That is not a place on earth.", "Latitude ±90, longitude ±180.")
        return self._send(self.chat(to), writing.location(latitude, longitude, name, address), addressing)

    def contact(self, to: str, name: str, number: str = "", *, vcard: str = "", addressing: str = "lid") -> str:
        if not vcard and not number:
            raise SimulatorError("bad_contact", "A contact has a number (`contact`), or a `vcard`.")
        card = vcard or writing.vcard(name, number.lstrip("+"))
        return self._send(self.chat(to), writing.contact(name, card), addressing)

    def poll(self, to: str, question: str, options: list[str], *, choices: int = 1, addressing: str = "lid") -> str:
        """A poll with 2 to 12 different options; `choices` is how many may be chosen, 0 for any number."""
        if not 2 <= len(options) <= POLL_OPTIONS_MAX or len(set(options)) < len(options) or not question:
            raise SimulatorError("bad_poll", f"A poll has a question and 2 to {POLL_OPTIONS_MAX} different options.")
        if not 0 <= choices <= len(options):
            raise SimulatorError("bad_poll", "`choices` is between 0 (any number) and the number of options.")
        return self._send(self.chat(to), writing.poll(question, options, choices), addressing)

    # Acts upon a message

    def vote(self, message_id: str, options: list[str]) -> str:
        poll, chat, key = self._target(message_id)
        author = self._world.directory.by_number(poll.from_number)
        if poll.kind != "poll" or poll.revoked or author is None or not poll.tag:
            raise SimulatorError("not_a_poll", f"{message_id[:64]} is not a poll.")
        unknown = [option for option in options if option not in poll.fields["options"]]
        if unknown:
            raise SimulatorError("no_such_option", f"The poll has no option {unknown[0][:80]!r}.")
        payload, iv = polls.seal_vote(
            bytes.fromhex(poll.tag), poll.id, str(author.lid_jid), str(self._phone.account.lid_jid), options
        )
        return self._send(chat, writing.vote(key, payload, iv))

    def react(self, message_id: str, emoji: str) -> str:
        """An empty emoji takes a reaction back."""
        _, chat, key = self._target(message_id)
        return self._send(chat, writing.reaction(key, emoji[:32]))

    def edit(self, message_id: str, text: str) -> str:
        target, chat, key = self._target(message_id)
        if not key.from_me or target.revoked or target.kind != "text":
            raise SimulatorError("not_editable", "Only an own text that was not deleted can be edited.", status=409)
        if not text or len(text) > TEXT_CHARACTERS_MAX:
            raise SimulatorError("bad_text", f"A text has 1 to {TEXT_CHARACTERS_MAX} characters.")
        return self._send(chat, writing.edit(key, text))

    def revoke(self, message_id: str) -> str:
        """Deletes for everyone: an own message, or anyone's as the admin of a group."""
        target, chat, key = self._target(message_id)
        if not key.from_me and not self._phone.may_delete(self._phone.account.number, target.chat):
            raise SimulatorError("not_yours", "Only an own message can be deleted for everyone.", status=409)
        return self._send(chat, writing.revoke(key))

    def download(self, message_id: str) -> bytes:
        """The file of a message that the phone shows, fetched and opened anew."""
        target, _, _ = self._target(message_id)
        if target.media is None:
            raise SimulatorError("no_media", f"The message {message_id[:64]} has no file.", status=409)
        try:
            return fetch(self._world, target.media)
        except MediaError as problem:
            raise SimulatorError("media_broken", f"The file cannot be had: {problem}.", status=410) from None

    # Without a message

    def typing(self, to: str, state: str) -> None:
        """`composing`, `recording` or `paused`."""
        chat = self.chat(to)
        if isinstance(chat, Status):
            raise SimulatorError("bad_chat", "Nobody sees who types a status.")
        self._world.presences.phone_types(self._phone, chat, state)


def fetch(world: World, ref: MediaRef) -> bytes:
    """Downloads and opens a file; raises `MediaError`."""
    blob = world.media.get(ref.path)
    if blob is None:
        raise MediaError("it is not on the media server (any more)")
    return open_sealed(blob, ref.sealed_as, ref.key, ref.file_sha256, ref.blob_sha256)


def own_record(phone: Phone, chat: Chat, message_id: str, draft: Draft, now: float) -> Received:
    """What a phone shows of what was written on it."""
    found = read(draft.message)
    place = chat.number if isinstance(chat, Account) else str(address_of(chat))
    return Received(message_id, phone.account.number, 0, place, found.kind, found.text, now, found.tag)
