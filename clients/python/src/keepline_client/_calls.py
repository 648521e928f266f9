"""Requests, before anything is sent: what they say, and whether they may be said twice. Pure, for both clients."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import quote

from keepline_client.types import FileOptions, MessageName

IDEMPOTENCY_KEY = "Idempotency-Key"
_KEY_CHARACTERS_MAX = 255

# What comes to the same when it is done twice. Every other call says it itself, with a key or because the API promises so.
_REPEATABLE_METHODS = frozenset({"GET", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Upload:
    """A file to send: all that stands in it from `start` on. It can be gone back in, for another try."""

    file: BinaryIO
    start: int
    size: int  # in bytes
    mime_type: str


@dataclass(frozen=True)
class Call:
    """One request. `is_patient` is False for a look whose bad answer is worth knowing at once.

    With `is_link` the path is a whole address that Keepline gave out: it goes there without the key.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)  # may have a proxy's password
    query: Mapping[str, str] = field(default_factory=dict)
    upload: Upload | None = None
    idempotency_key: str | None = None
    is_harmless: bool = False
    is_patient: bool = True
    is_link: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether a repeat can do no harm though the first may have been carried out."""
        return self.method in _REPEATABLE_METHODS or self.is_harmless or self.idempotency_key is not None


def path(*parts: str) -> str:
    """An address of these parts. Raises ValueError for a part that would lead elsewhere."""
    for part in parts:
        if part in ("", ".", ".."):
            raise ValueError(f"{part!r} is no name")
    return "".join(f"/{quote(part, safe='@')}" for part in parts)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def query(**fields: str | int | datetime | None) -> dict[str, str]:
    """A query's parameters, without those that are None."""
    return {name: str(in_json(value)) for name, value in fields.items() if value is not None}


def in_json(value: Any) -> Any:
    """A value as JSON takes it: times as RFC 3339. Raises ValueError for a time that does not say where it holds."""
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("a time needs its time zone: datetime.now(timezone.utc), not datetime.now()")
    return value.isoformat()


def sending(session_id: str, said: Mapping[str, Any], how: Mapping[str, Any]) -> Call:
    """A send of what is said. It has an Idempotency-Key in any case, so it can be repeated and is done once."""
    options = dict(how)
    key = options.pop("idempotency_key", None)
    body = {"session_id": session_id, **said, **{name: in_json(value) for name, value in options.items()}}
    return Call("POST", "/api/messages/send", body, idempotency_key=key_of(key))


def changing(method: str, where: str, body: Mapping[str, Any], key: str | None) -> Call:
    """A change that is made once, whoever asks again: it has an Idempotency-Key in any case."""
    return Call(method, where, body, idempotency_key=key_of(key))


def one_file(options: FileOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """What names the file of a send, and what else is said. Raises ValueError when it is named in several ways or in none."""
    rest: dict[str, Any] = dict(options)
    named = given(**{name: rest.pop(name, None) for name in ("url", "media_id", "file")})
    if len(named) != 1:
        raise ValueError("a message has one file: say url, media_id or file")
    return {**named, "file_name": rest.pop("file_name", "")}, rest


def about(message: MessageName, kind: str, /, **said: Any) -> dict[str, Any]:
    """What a send says that is about a message, in that message's chat."""
    return {"kind": kind, kind: {"message": message["message_id"], **said}}


def strings(values: Sequence[str]) -> list[str]:
    """Several texts. Raises TypeError for a single one, which would be taken letter by letter."""
    if isinstance(values, str):
        raise TypeError(f"a list of texts is needed, not the text {values[:40]!r}")
    return list(values)


def key_of(key: object) -> str:
    """The key, or a new one. Raises ValueError for one that cannot be in a header."""
    if key is None:
        return uuid.uuid4().hex
    if not isinstance(key, str) or not (key.isascii() and key.isprintable() and 0 < len(key) <= _KEY_CHARACTERS_MAX):
        raise ValueError(f"an idempotency_key is 1 to {_KEY_CHARACTERS_MAX} printable ASCII characters")
    return key
