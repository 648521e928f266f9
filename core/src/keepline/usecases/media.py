"""Files that our users send: taken in, named in messages, given out by signed links, and forgotten when their time has come."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keepline.domain.content.bodies import Content
from keepline.domain.content.file_types import VOICE, bytes_max, check_file, type_of
from keepline.domain.content.files import Audio, File, Media, plain_name
from keepline.domain.errors import InvalidInput, NotFound, Unavailable
from keepline.domain.ids import is_media_id, new_media_id
from keepline.ports.clock import Clock
from keepline.ports.documents import DocumentStore, StoreConflict
from keepline.ports.media import Intake, MediaMissing, MediaStore, MediaUnavailable, UrlFetcher, VoiceMaker
from keepline.records import media
from keepline.records.media import Kept, Source
from keepline.usecases.limiting import FILES, Charged, Limiter
from keepline.usecases.sessions import Entropy

LINK_GOOD_FOR_S = 900
_ID_ENTROPY_BYTES = 16
# In one round of each minute.
_FORGOTTEN_MAX = 100
_TRIES_MAX = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shelf:
    """Where files are kept, for how long, who fetches them, and who makes voice notes of them, if anybody does."""

    store: MediaStore
    fetcher: UrlFetcher
    voices: VoiceMaker | None
    kept_for: timedelta


class MediaDesk:
    """The files of all tenants. Without a `shelf` there can be none, and who asks is told so (`media_not_set_up`)."""

    def __init__(
        self, store: DocumentStore, clock: Clock, entropy: Entropy, limiter: Limiter, shelf: Shelf | None
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._limiter = limiter
        self._shelf = shelf

    async def charge(self, tenant: str) -> Charged:
        """Use the user's limit of files for one that is about to come in: it is reading it that costs.

        Returns what is left. Raises TooMany (`rate_limited`) and Unavailable.
        """
        self._shelf_or_refusal()
        try:
            _, charged = await self._limiter.commit(tenant, FILES, [])
        except StoreConflict:
            # The last use that the limit had is our own try before, whose answer was lost.
            raise Unavailable("busy", "The file could not be taken in at this moment.", "Send it again.") from None
        return charged

    async def take_in(self, tenant: str, intake: Intake) -> Kept:
        """Keep a file that was uploaded, which has been charged. Raises InvalidInput (`empty_media`) and Unavailable."""
        return await self._keep(tenant, intake, "upload", None)

    async def _keep(self, tenant: str, intake: Intake, source: Source, session_id: str | None) -> Kept:
        shelf = self._shelf_or_refusal()
        if intake.size == 0:
            raise InvalidInput("empty_media", "The file is empty.", "Send one that has something in it.")
        media_id = new_media_id(self._entropy(_ID_ENTROPY_BYTES))
        mime_type = type_of(intake.head, intake.declared)
        file = File(media_id, None, mime_type, intake.size, intake.sha256, plain_name(intake.name))
        # Named before it is there: so that whatever happens in between, it is forgotten when its time has come.
        expires_at = self._clock.now() + shelf.kept_for
        await self._store.commit([media.kept(tenant, session_id, file, source, expires_at)])
        try:
            await shelf.store.put(media_id, intake.file, mime_type)
        except MediaUnavailable as error:
            raise _unavailable(error) from None
        return await self.find(tenant, media_id)

    async def find(self, tenant: str, media_id: str) -> Kept:
        """Raises NotFound (`media_not_found`), also for what belongs to others."""
        document = await self._store.get(media.media_path(media_id)) if is_media_id(media_id) else None
        if document is None or document.fields["tenant"] != tenant:
            raise media_not_found()
        return Kept.read(document)

    async def link(self, kept: Kept) -> tuple[str, datetime]:
        """A link to a file, and when it ends. Raises Unavailable."""
        good_until = self._clock.now() + timedelta(seconds=LINK_GOOD_FOR_S)
        file = kept.file
        try:
            url = await self._shelf_or_refusal().store.link(
                str(file.media_id), LINK_GOOD_FOR_S, file.mime_type, file.name
            )
        except MediaUnavailable as error:
            raise _unavailable(error) from None
        return url, good_until

    async def linked(self, media_id: str) -> Kept | None:
        """The file of a link that was found to be good."""
        document = await self._store.get(media.media_path(media_id)) if is_media_id(media_id) else None
        return Kept.read(document) if document is not None else None

    async def resolve(self, tenant: str, session_id: str, content: Content, needed_at: datetime) -> Content:
        """The content with a file that is kept, is of this session too, and stays so until some time after it is needed.

        A file that is named by its address is fetched now. Raises what `charge`, `find`, `take_in`, `check_file` and the fetcher
        raise.
        """
        body = content.body
        if not isinstance(body, Media):
            return content
        shelf = self._shelf_or_refusal()
        if body.file.url is not None:
            await self.charge(tenant)
            async with (
                shelf.fetcher.fetch(body.file.url, bytes_max(body)) as fetched,
                self._sendable(body, fetched) as intake,
            ):
                # Before it is kept: what cannot be sent is not worth keeping.
                file = File(None, None, type_of(intake.head, intake.declared), intake.size, intake.sha256)
                check_file(replace(body, file=file))
                kept = await self._keep(tenant, intake, "url", session_id)
        else:
            kept = await self.find(tenant, body.file.media_id or "")
            if self._wants_conversion(body, kept.file.mime_type):
                kept = await self._converted(tenant, session_id, body, kept)
        body = replace(body, file=replace(kept.file, name=body.file.name or kept.file.name))
        check_file(body)
        await self._needed(tenant, session_id, kept, needed_at + shelf.kept_for)
        return replace(content, body=body)

    def _wants_conversion(self, body: Media, mime_type: str) -> bool:
        can = self._shelf is not None and self._shelf.voices is not None
        return can and isinstance(body, Audio) and body.voice and mime_type != VOICE

    @contextlib.asynccontextmanager
    async def _sendable(self, body: Media, intake: Intake) -> AsyncIterator[Intake]:
        """The same file; or a voice note that was made of it, where that is wanted and can be done."""
        voices = self._shelf_or_refusal().voices
        mime_type = type_of(intake.head, intake.declared)
        if voices is None or not self._wants_conversion(body, mime_type):
            yield intake
            return
        async with voices.made_of(intake.file, mime_type) as made:
            if made is not None:
                made.name = f"{intake.name.rpartition('.')[0] or intake.name}.ogg"
            yield made or intake

    async def _converted(self, tenant: str, session_id: str, body: Media, kept: Kept) -> Kept:
        """A voice note made of a file that is kept, as a file of its own; or that file, of which none can be made."""
        if kept.file.size > bytes_max(body):
            return kept
        await self.charge(tenant)
        source = Intake(io.BytesIO(), bytes_max(body))
        try:
            content = io.BytesIO()
            await self._shelf_or_refusal().store.fetch(str(kept.file.media_id), content)
        except MediaMissing:
            return kept
        except MediaUnavailable as error:
            raise _unavailable(error) from None
        source.write(content.getvalue())
        source.name = kept.file.name
        async with self._sendable(body, source) as made:
            return kept if made is source else await self._keep(tenant, made, kept.source, session_id)

    async def _needed(self, tenant: str, session_id: str, kept: Kept, until: datetime) -> None:
        for _ in range(_TRIES_MAX):
            # Not for the seconds between its upload and its use: that would be a write for every message.
            if until - kept.expires_at < timedelta(hours=1) and kept.is_of(session_id):
                return
            try:
                await self._store.commit([media.needed(kept, session_id, until)])
            except StoreConflict:
                kept = await self.find(tenant, str(kept.file.media_id))  # Another message needs it as well.
            else:
                return
        raise Unavailable("busy", "The file is named by many messages at this moment.", "Send again.")

    def _shelf_or_refusal(self) -> Shelf:
        if self._shelf is None:
            raise Unavailable(
                "media_not_set_up",
                "This installation keeps no files.",
                "Its operator sets KEEPLINE_MEDIA_BUCKET or KEEPLINE_MEDIA_DIR.",
            )
        return self._shelf


class MediaRound:
    """Forgets, each minute, files whose time has come."""

    def __init__(self, store: DocumentStore, clock: Clock, files: MediaStore) -> None:
        self._store = store
        self._clock = clock
        self._files = files

    async def make(self) -> None:
        """The file goes first: one that is still named is found by the next round, one that is not would stay for ever."""
        for document in await self._store.query(media.over(self._clock.now(), _FORGOTTEN_MAX)):
            try:
                await self._files.delete(document.id)
                await self._store.commit([media.forget(Kept.read(document))])
            except MediaUnavailable as error:
                log.warning("files whose time has come are left to the next round: %s", error)
                return
            except StoreConflict:
                log.info("the file %s was prolonged while it was being removed", document.id)


def media_not_found() -> NotFound:
    """The answer for what is not there (any more), and for what is somebody else's."""
    return NotFound(
        "media_not_found",
        "There is no such file (any more).",
        "Use the media_id that an answer named; files are kept for a limited time.",
    )


def _unavailable(error: Exception) -> Unavailable:
    log.warning("the media store did not do what was asked: %s", error)
    return Unavailable("media_unavailable", "The store of files did not answer.", "Try again in a second.")
