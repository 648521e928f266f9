"""Field numbers of WhatsApp's messages (whatsmeow proto/waE2E and proto/waCommon), as far as they are used here."""

from __future__ import annotations

from typing import NamedTuple

# Message
CONVERSATION, SENDER_KEY, EXTENDED_TEXT, PROTOCOL, DEVICE_SENT, MESSAGE_CONTEXT = 1, 2, 6, 12, 31, 35
CONTACT, LOCATION, CONTACTS, LIVE_LOCATION, GROUP_INVITE = 4, 5, 13, 18, 28
REACTION, POLL_CREATION, POLL_VOTE, KEEP, EDITED, PIN = 46, 49, 50, 51, 58, 63
# A poll has a version by what it can do; what is inside is the same.
POLL_CREATIONS = (49, 60, 64, 111)
# With one choice only, phones write the third version.
POLL_CREATION_ONE_CHOICE = 64
# Messages that only wrap another one (FutureProofMessage, field 1), and what that says about it.
WRAPPERS = {37: "view_once", 55: "view_once", 59: "view_once", 40: "ephemeral", 53: "", 62: "", 74: "", EDITED: ""}

# MessageContextInfo
MESSAGE_SECRET = 3
SECRET_BYTES = 32

# ContextInfo
QUOTED_ID, QUOTED_FROM, QUOTED_MESSAGE, MENTIONS, FORWARDED = 1, 2, 3, 15, 22

# ProtocolMessage and its types
PROTOCOL_KEY, PROTOCOL_TYPE, PROTOCOL_EDITED, PROTOCOL_AT_MS = 1, 2, 14, 15
REVOKE, EDIT = 0, 14
HISTORY_SYNC, KEY_SHARE, KEY_REQUEST, PEER_REQUEST, PEER_ANSWER = 5, 6, 7, 16, 17
PROTOCOL_HISTORY, PROTOCOL_KEY_SHARE, PROTOCOL_KEY_REQUEST, PROTOCOL_PEER_REQUEST, PROTOCOL_PEER_ANSWER = (
    6,
    7,
    8,
    16,
    17,
)
# PeerDataOperationRequestType
PLACEHOLDER_RESEND, HISTORY_ON_DEMAND = 4, 3


class MediaLayout(NamedTuple):
    """Where a kind of media keeps what all of them have; 0 where it has no such field. The URL is field 1 everywhere."""

    # The field of `Message` it stands in.
    number: int
    kind: str
    # Whose keys it is sealed with (`media.sealing.INFO`) and where it is uploaded.
    sealed_as: str
    mimetype: int
    file_sha256: int
    size: int
    key: int
    blob_sha256: int
    path: int
    key_at: int
    caption: int = 0
    filename: int = 0
    seconds: int = 0
    width: int = 0
    height: int = 0
    view_once: int = 0
    # The flag that makes it another kind (a voice note, a gif, an animated sticker).
    flag: int = 0
    flag_name: str = ""
    context: int = 17


MEDIA: dict[str, MediaLayout] = {
    "image": MediaLayout(3, "image", "image", 2, 4, 5, 8, 9, 11, 12, caption=3, height=6, width=7, view_once=25),
    "video": MediaLayout(
        9, "video", "video", 2, 3, 4, 6, 11, 13, 14, caption=7, seconds=5, height=9, width=10, view_once=20,
        flag=8, flag_name="gif",
    ),
    "audio": MediaLayout(8, "audio", "audio", 2, 3, 4, 7, 8, 9, 10, seconds=5, view_once=21, flag=6, flag_name="voice"),
    "document": MediaLayout(7, "document", "document", 2, 4, 5, 7, 9, 10, 11, caption=20, filename=8),
    "sticker": MediaLayout(
        26, "sticker", "sticker", 5, 2, 9, 4, 3, 8, 10, height=6, width=7, flag=13, flag_name="animated"
    ),
}  # fmt: skip
MEDIA_BY_NUMBER: dict[int, MediaLayout] = {layout.number: layout for layout in MEDIA.values()}
# A round video note is a video in a field of its own.
MEDIA_BY_NUMBER[66] = MEDIA["video"]

# Where a kind that is no media keeps its ContextInfo.
CONTEXTS = {
    EXTENDED_TEXT: 17,
    CONTACT: 17,
    CONTACTS: 17,
    LOCATION: 17,
    LIVE_LOCATION: 17,
    **dict.fromkeys(POLL_CREATIONS, 5),
}
