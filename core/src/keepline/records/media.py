"""`media/{media_id}`: a file of a message that is kept in the media store, whose it is, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keepline.domain.content.files import File
from keepline.ports.documents import SERVER_TIME, Delete, Document, Put, Query, Update, Where

MEDIA = "media"

# `upload` and `url`: from our users, to be sent. `inbound`: from WhatsApp.
Source = Literal["upload", "url", "inbound"]


@dataclass(frozen=True)
class Kept:
    """A file that is kept. `sessions`: those whose messages have it; none for one that was uploaded, which is for all of them."""

    tenant: str
    sessions: frozenset[str]
    file: File
    source: Source
    expires_at: datetime
    document: Document

    @classmethod
    def read(cls, document: Document) -> Kept:
        fields = document.fields
        file = File.from_map({**fields, "media_id": document.id})
        sessions = frozenset(fields["sessions"])
        return cls(fields["tenant"], sessions, file, fields["source"], fields["expires_at"], document)

    def is_of(self, session_id: str) -> bool:
        """Whether messages of this session may have it."""
        return not self.sessions or session_id in self.sessions


def media_path(media_id: str) -> str:
    return f"{MEDIA}/{media_id}"


def kept(tenant: str, session_id: str | None, file: File, source: Source, expires_at: datetime) -> Put:
    """A file is in the store. Both devices of an account write the same of one that came in."""
    sessions = [session_id] if session_id is not None else []
    fields = {name: value for name, value in file.to_map().items() if name != "media_id"}
    fields |= {"tenant": tenant, "sessions": sessions, "source": source}
    fields |= {"expires_at": expires_at, "created_at": SERVER_TIME}
    return Put(media_path(str(file.media_id)), fields)


def needed(media: Kept, session_id: str, until: datetime) -> Update:
    """A message that will be sent later needs it for longer, or one of another session needs it as well."""
    sessions = sorted(media.sessions | {session_id}) if media.sessions else []
    fields = {"expires_at": max(media.expires_at, until), "sessions": sessions}
    return Update(media.document.path, fields, media.document.version)


def forget(media: Kept) -> Delete:
    """Its time has come, unless somebody has prolonged it."""
    return Delete(media.document.path, media.document.version)


def over(now: datetime, limit: int) -> Query:
    """Files whose time has come, the oldest first."""
    return Query(MEDIA, (Where("expires_at", "<", now),), "expires_at", limit=limit)
