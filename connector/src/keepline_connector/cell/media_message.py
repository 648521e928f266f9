"""Messages with a file as WhatsApp's `Message` has them (whatsmeow, proto/waE2E). Pure."""

from __future__ import annotations

from typing import Any

from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import (
    AudioMessage,
    ContextInfo,
    DocumentMessage,
    FutureProofMessage,
    ImageMessage,
    Message,
    StickerMessage,
    VideoMessage,
)

from keepline.domain.content.files import Audio, Document, Image, Media, Sticker, Video
from keepline_connector.cell.uploading import Uploaded


def media_message(body: Media, uploaded: Uploaded, context: ContextInfo | None, now_ms: int) -> Message:
    """The message that names an uploaded file. One to be seen once is wrapped, as the apps do it."""
    named = _where(uploaded, now_ms) | {"mimetype": body.file.mime_type, "contextInfo": context}
    match body:
        case Image():
            picture = ImageMessage(
                **named,
                caption=body.caption or None,
                width=uploaded.width,
                height=uploaded.height,
                JPEGThumbnail=uploaded.thumbnail,
                viewOnce=body.view_once or None,
            )
            return _once(Message(imageMessage=picture), body.view_once)
        case Video():
            film = VideoMessage(
                **named, caption=body.caption or None, seconds=uploaded.seconds, viewOnce=body.view_once or None
            )
            return _once(Message(videoMessage=film), body.view_once)
        case Audio():
            sound = AudioMessage(**named, seconds=uploaded.seconds, PTT=body.voice or None, waveform=uploaded.waveform)
            return Message(audioMessage=sound)
        case Document():
            name = body.file.name or "file"
            document = DocumentMessage(**named, fileName=name, title=name, caption=body.caption or None)
            inner = Message(documentMessage=document)
            # With a caption the apps wrap it; those that know no captions of documents show it as a newer kind.
            return Message(documentWithCaptionMessage=FutureProofMessage(message=inner)) if body.caption else inner
        case Sticker():
            sticker = StickerMessage(
                **named, width=uploaded.width, height=uploaded.height, isAnimated=uploaded.animated or None
            )
            return Message(stickerMessage=sticker)


def _where(uploaded: Uploaded, now_ms: int) -> dict[str, Any]:
    response = uploaded.response
    return {
        "URL": response.url,
        "directPath": response.DirectPath,
        "mediaKey": response.MediaKey,
        "mediaKeyTimestamp": now_ms // 1000,
        "fileEncSHA256": response.FileEncSHA256,
        "fileSHA256": response.FileSHA256,
        "fileLength": response.FileLength,
    }


def _once(message: Message, view_once: bool) -> Message:
    return Message(viewOnceMessage=FutureProofMessage(message=message)) if view_once else message
