"""Messages: send them, see what became of them, read what came in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keepline_client._async.media import AsyncMedia
from keepline_client._async.pausing import pause
from keepline_client._async.transport import AsyncTransport
from keepline_client._calls import Call, about, given, key_of, one_file, path, query, sending, strings
from keepline_client._waiting import Patience, has_reached
from keepline_client.types import (
    AnswerOptions,
    ContactCard,
    DeadLetterPage,
    FileOptions,
    Message,
    MessageInChat,
    MessageName,
    MessagePage,
    Preview,
    Reached,
    SendOptions,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

_DELIVERY_TIMEOUT_S = 60.0


class AsyncMessages:
    """`keepline.messages`

    Whatever is sent is sent once: it has an idempotency key, the caller's or one of its own, so a repeat after a lost answer
    does nothing more. `how` is what `SendOptions` has: `send_at`, `expires_at`, `priority`, `on_doubt`, `idempotency_key`; and
    `quote`, the id of a message, where it can answer one.
    """

    def __init__(self, transport: AsyncTransport, media: AsyncMedia) -> None:
        self._transport = transport
        self._media = media

    # Sending. `to` is a number with its country code, a group, or `status@broadcast`.

    async def send(
        self,
        session_id: str,
        to: str,
        text: str,
        *,
        mentions: Sequence[str] = (),
        preview: Preview | None = None,
        **how: Unpack[AnswerOptions],
    ) -> Message:
        """Send a text. `mentions` are people whose `@number` stands in it, `preview` the box under its link."""
        said = {"to": to, "text": text, "mentions": strings(mentions), **given(preview=preview)}
        return await self._send(session_id, said, how)

    async def reply(self, message: MessageInChat, text: str, **how: Unpack[SendOptions]) -> Message:
        """Answer a message in its chat, with the message quoted."""
        said = {"to": message["chat"], "text": text, "quote": message["message_id"]}
        return await self._send(message["session_id"], said, how)

    # Files: each by its `url`, its `media_id`, or as a `file` that is uploaded first, as `FileOptions` has it. Where a key is to
    # hold over two calls, name the media_id: a file that is uploaded again is another one, and refused (`idempotency_mismatch`).

    async def send_image(
        self, session_id: str, to: str, *, caption: str = "", view_once: bool = False, **what: Unpack[FileOptions]
    ) -> Message:
        """Send a picture (JPEG, PNG)."""
        said = {"to": to, "kind": "image", "caption": caption, "view_once": view_once}
        return await self._send_file(session_id, said, what)

    async def send_video(
        self, session_id: str, to: str, *, caption: str = "", view_once: bool = False, **what: Unpack[FileOptions]
    ) -> Message:
        """Send a film (MP4, 3GPP)."""
        said = {"to": to, "kind": "video", "caption": caption, "view_once": view_once}
        return await self._send_file(session_id, said, what)

    async def send_audio(self, session_id: str, to: str, **what: Unpack[FileOptions]) -> Message:
        """Send something to listen to."""
        return await self._send_file(session_id, {"to": to, "kind": "audio"}, what)

    async def send_voice(self, session_id: str, to: str, **what: Unpack[FileOptions]) -> Message:
        """Send a voice note: Opus in Ogg, or what an installation with `ffmpeg` can make it of."""
        return await self._send_file(session_id, {"to": to, "kind": "audio", "voice": True}, what)

    async def send_document(
        self, session_id: str, to: str, *, caption: str = "", **what: Unpack[FileOptions]
    ) -> Message:
        """Send a file of any type."""
        return await self._send_file(session_id, {"to": to, "kind": "document", "caption": caption}, what)

    async def send_sticker(self, session_id: str, to: str, **what: Unpack[FileOptions]) -> Message:
        """Send a sticker (WebP)."""
        return await self._send_file(session_id, {"to": to, "kind": "sticker"}, what)

    async def send_location(
        self,
        session_id: str,
        to: str,
        latitude: float,
        longitude: float,
        *,
        name: str = "",
        address: str = "",
        **how: Unpack[AnswerOptions],
    ) -> Message:
        """Send a place, in degrees."""
        place = {"latitude": latitude, "longitude": longitude, "name": name, "address": address}
        return await self._send(session_id, {"to": to, "kind": "location", "location": place}, how)

    async def send_contacts(
        self, session_id: str, to: str, contacts: Sequence[ContactCard], **how: Unpack[AnswerOptions]
    ) -> Message:
        """Send contact cards: each of `phones`, or a whole `vcard`."""
        return await self._send(session_id, {"to": to, "kind": "contact", "contacts": list(contacts)}, how)

    async def send_poll(
        self,
        session_id: str,
        to: str,
        question: str,
        options: Sequence[str],
        *,
        selectable: int = 1,
        **how: Unpack[AnswerOptions],
    ) -> Message:
        """Send a poll. One person may choose `selectable` of the options, any number if it is 0."""
        poll = {"question": question, "options": strings(options), "selectable": selectable}
        return await self._send(session_id, {"to": to, "kind": "poll", "poll": poll}, how)

    async def vote(self, poll: MessageName, options: Sequence[str], **how: Unpack[SendOptions]) -> Message:
        """Vote in a poll, in place of what was chosen before; no options take the vote back."""
        return await self._send(poll["session_id"], about(poll, "vote", options=strings(options)), how)

    async def react(self, message: MessageName, emoji: str, **how: Unpack[SendOptions]) -> Message:
        """Put an emoji on a message; an empty one takes it back."""
        return await self._send(message["session_id"], about(message, "reaction", emoji=emoji), how)

    async def edit(self, message: MessageName, text: str, **how: Unpack[SendOptions]) -> Message:
        """New words for a text that this number sent, within 15 minutes."""
        return await self._send(message["session_id"], about(message, "edit", text=text), how)

    async def revoke(self, message: MessageName, **how: Unpack[SendOptions]) -> Message:
        """Delete a message that this number sent for everyone, within 60 hours."""
        return await self._send(message["session_id"], about(message, "revoke"), how)

    async def forward(self, message: MessageName, to: str, **how: Unpack[SendOptions]) -> Message:
        """Say in another chat of the session what a message said."""
        return await self._send(message["session_id"], {"to": to, **about(message, "forward")}, how)

    # What became of it.

    async def get(self, message_id: str) -> Message:
        """One message, in or out, as it is now."""
        return await self._message(Call("GET", path("api", "messages", message_id)))

    async def wait_until(
        self, message_id: str, state: Reached = "delivered", *, timeout_s: float = _DELIVERY_TIMEOUT_S
    ) -> Message:
        """The message as soon as it has come so far. Raises NotDelivered, and WaitedInVain after `timeout_s`."""
        patience = Patience(f"{message_id} to be {state}", timeout_s)
        while not has_reached(message := await self.get(message_id), state):
            await pause(patience.next_pause_s())
        return message

    async def cancel(self, message_id: str) -> Message:
        """Take back what has not left. Raises Conflict (`already_sent` and the like) for what has."""
        return await self._message(Call("POST", path("api", "messages", message_id, "cancel"), is_harmless=True))

    async def replay(self, message_id: str) -> Message:
        """Queue a dead letter again."""
        return await self._message(Call("POST", path("api", "messages", message_id, "replay")))

    # Reading, the newest first.

    async def list(
        self, session_id: str, *, chat: str | None = None, before: str | datetime | None = None
    ) -> AsyncIterator[Message]:
        """All messages of a session or one of its chats, in and out; pages are fetched as they are needed."""
        while True:
            page = await self.page(session_id, chat=chat, before=before, limit=100)
            for message in page["messages"]:
                yield message
            if page["next_before"] is None:
                return
            before = page["next_before"]

    async def page(
        self, session_id: str, *, chat: str | None = None, limit: int = 50, before: str | datetime | None = None
    ) -> MessagePage:
        """A page of them: what is older than `before`. `next_before` leads to the next one."""
        asked = query(session_id=session_id, chat=chat, limit=limit, before=before)
        page: MessagePage = await self._transport.json(Call("GET", "/api/messages", query=asked))
        return page

    async def dead_letters(self, session_id: str, *, before: str | datetime | None = None) -> AsyncIterator[Message]:
        """All that failed, each with its `error`; pages are fetched as they are needed."""
        while True:
            page = await self.dead_letter_page(session_id, before=before, limit=100)
            for message in page["dead_letters"]:
                yield message
            if page["next_before"] is None:
                return
            before = page["next_before"]

    async def dead_letter_page(
        self, session_id: str, *, limit: int = 50, before: str | datetime | None = None
    ) -> DeadLetterPage:
        """A page of them: what is older than `before`. `next_before` leads to the next one."""
        asked = query(session_id=session_id, limit=limit, before=before)
        page: DeadLetterPage = await self._transport.json(Call("GET", "/api/dead-letters", query=asked))
        return page

    async def _send_file(self, session_id: str, said: Mapping[str, Any], what: FileOptions) -> Message:
        named, how = one_file(what)
        key = key_of(how.pop("idempotency_key", None))  # One that cannot be one is refused before anything is uploaded.
        if "file" in named:
            kept = await self._media.upload(named["file"], file_name=named["file_name"] or None)
            named = {"media_id": kept["media_id"], "file_name": named["file_name"]}
        call = sending(session_id, {**said, "media": named}, {**how, "idempotency_key": key})
        return await self._message(call)

    async def _send(self, session_id: str, said: Mapping[str, Any], how: SendOptions) -> Message:
        return await self._message(sending(session_id, said, how))

    async def _message(self, call: Call) -> Message:
        message: Message = await self._transport.json(call)
        return message
