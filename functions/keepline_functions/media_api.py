"""`/api/media`: take in a file, look at one and get a link to it; and where links lead that we signed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast
from urllib.parse import quote, urljoin

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from keepline.domain.content.file_types import DOCUMENT_BYTES_MAX, too_large
from keepline.domain.errors import InvalidInput, NotFound
from keepline.ports.media import CHUNK_BYTES, Intake, MediaMissing
from keepline.records.api_keys import READ, SEND
from keepline.records.media import Kept
from keepline.usecases.media import media_not_found
from keepline_functions.auth import PUBLIC, caller, needs
from keepline_functions.describing import Described, Header, Tag
from keepline_functions.limit_headers import limit_headers
from keepline_functions.message_answers import FileJson
from keepline_functions.services import services
from keepline_functions.views import kept_json

# A file of the largest size, and the parts of a form around it.
_BODY_BYTES_MAX = DOCUMENT_BYTES_MAX + 64 * 1024
# The store of files has it to move as well.
_KEEP_TIMEOUT_S = 55.0

routes = Blueprint("media", __name__)


@routes.post("/api/media")
@needs(SEND)
@Described(
    Tag.MEDIA,
    "take_in_file",
    "Upload a file",
    body={"*/*": bytes, "multipart/form-data": bytes},
    answers={201: FileJson},
    errors=("bad_media", "empty_media", "media_too_large", "media_not_set_up", "media_unavailable"),
    is_limited=True,
)
def take_in() -> ResponseReturnValue:
    """The body is the file itself, or a form (multipart/form-data) with one file in it. It counts before it is read."""
    charged = services().run(services().media.charge(caller().tenant))
    request.max_content_length = _BODY_BYTES_MAX
    with tempfile.TemporaryFile() as file:
        intake = Intake(cast("BinaryIO", file), DOCUMENT_BYTES_MAX)
        try:
            _read_form(intake) if request.mimetype == "multipart/form-data" else _read_body(intake)
        except RequestEntityTooLarge:
            raise too_large(DOCUMENT_BYTES_MAX) from None
        kept = services().run(services().media.take_in(caller().tenant, intake), _KEEP_TIMEOUT_S)
    return jsonify(_shown(kept)), 201, limit_headers(charged)


@routes.get("/api/media/<media_id>")
@needs(READ)
@Described(
    Tag.MEDIA,
    "get_file",
    "Look at a file",
    answers={200: FileJson},
    errors=("media_not_found", "media_not_set_up", "media_unavailable"),
)
def one(media_id: str) -> ResponseReturnValue:
    """What it is, until when it is kept, and a link to it that is good for a while."""
    return jsonify(_shown(own_file(media_id)))


@routes.get("/api/media/<media_id>/file")
@needs(PUBLIC)
@Described(
    Tag.MEDIA,
    "download_file",
    "Follow a signed link",
    answers={200: {"*/*": bytes}},
    answer_headers=(
        Header("Content-Disposition", "The file's name.", "attachment; filename*=UTF-8''menu.png"),
        Header("Content-Security-Policy", "That it is no page.", "sandbox; default-src 'none'"),
    ),
    errors=("link_over",),
)
def file(media_id: str) -> ResponseReturnValue:
    """For whoever has a link that we signed."""
    folder = services().media_folder
    expires, signature = request.args.get("expires", ""), request.args.get("signature", "")
    if folder is None or not (expires.isascii() and expires.isdigit()) or len(expires) > 12:
        raise _no_link()
    if not folder.is_good(media_id, int(expires), signature):
        raise _no_link()
    kept = services().run(services().media.linked(media_id))
    if kept is None:
        raise _no_link()
    try:
        content = folder.open(media_id)
    except MediaMissing:
        raise _no_link() from None
    response = Response(_pieces(content), mimetype=kept.file.mime_type)
    response.content_length = kept.file.size
    # Never shown by a browser as a page of ours: its bytes are somebody else's.
    response.headers["Content-Disposition"] = (
        f"attachment; filename*=UTF-8''{quote(kept.file.name or media_id, safe='')}"
    )
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def own_file(media_id: str) -> Kept:
    """A file, if the caller's key is for a session that has it: else there is none. Raises NotFound (`media_not_found`)."""
    kept = services().run(services().media.find(caller().tenant, media_id))
    _check_own(kept)
    return kept


def check_named(media_id: str) -> None:
    """Before a message names a file. One that is not there (any more) is refused later, unless the message is a repeat."""
    if caller().sessions is None:
        return
    try:
        kept = services().run(services().media.find(caller().tenant, media_id))
    except NotFound:
        return
    _check_own(kept)


def _check_own(kept: Kept) -> None:
    if kept.sessions and not any(map(caller().may_touch, kept.sessions)):
        raise media_not_found()


def _read_body(intake: Intake) -> None:
    intake.declared = request.mimetype
    intake.name = request.args.get("file_name", "")
    while chunk := request.stream.read(CHUNK_BYTES):
        intake.write(chunk)


def _read_form(intake: Intake) -> None:
    files = list(request.files.values())
    if len(files) != 1:
        raise InvalidInput("bad_media", f"The form has {len(files)} files.", "Send one file in each request.")
    [sent] = files
    intake.declared, intake.name = sent.mimetype, sent.filename or ""
    while chunk := sent.stream.read(CHUNK_BYTES):
        intake.write(chunk)


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    with content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk


def _shown(kept: Kept) -> FileJson:
    url, good_until = services().run(services().media.link(kept))
    return kept_json(kept, urljoin(request.url_root, url), good_until)


def _no_link() -> NotFound:
    return NotFound("link_over", "This link is not good (any more).", "Ask for a new one: GET /api/media/{media_id}.")
