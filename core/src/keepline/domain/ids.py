"""Names of things. Message ids carry no order on purpose: sequential ids would heat one Firestore tablet."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode

from keepline.domain.errors import InvalidInput

# No underscore in a session id: an account id is `<tenant>_<session>` and the last underscore divides it.
_SESSION_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_MESSAGE_ID = re.compile(r"[mi]_[a-z2-7]{26}")
_MEDIA_ID = re.compile(r"f_[a-z2-7]{26}")
# Letters and digits, of whatever client; what begins with two underscores, or is only dots, Firestore refuses.
_WA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_OWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,79}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,127}")
_IDEMPOTENCY_KEY_LENGTH_MAX = 255

DeviceName = tuple[str, str]
"""A device's account and slot."""


def check_session_id(text: str) -> str:
    """Return `text` if a session may be called that; raise InvalidInput (`bad_session_id`) if not."""
    if not _SESSION_ID.fullmatch(text):
        raise InvalidInput(
            "bad_session_id",
            "A session id is 1 to 40 characters: small letters, digits and inner hyphens.",
            "Choose an id like 'support' or 'shop-2', or leave it out to get one made.",
        )
    return text


def check_tenant(text: str) -> str:
    """Return `text` if a user may be called that in the name of a document; raise InvalidInput (`bad_user_id`) if not."""
    if not _TENANT.fullmatch(text):
        raise InvalidInput("bad_user_id", "That is not a user id.", "Use the user id of the signed-in user.")
    return text


def new_session_id(entropy: bytes) -> str:
    """A session id of 12 characters from at least 8 random bytes."""
    return "s" + _base32(entropy)[:11]


def account_id(tenant: str, session_id: str) -> str:
    """The document id of a tenant's session. A tenant can only ever form ids of its own, so others' are out of reach."""
    return f"{check_tenant(tenant)}_{check_session_id(session_id)}"


def is_own_id(text: str) -> bool:
    """Whether `text` could be an id that Keepline has made (of a webhook, an event, an alert), so that it is safe in a path."""
    return bool(_OWN_ID.fullmatch(text))


def is_message_id(text: str) -> bool:
    """Whether `text` has the form of a message id, so that it is safe in a document path."""
    return bool(_MESSAGE_ID.fullmatch(text))


def new_message_id(entropy: bytes) -> str:
    """The id of an outgoing message from 16 random bytes."""
    return "m_" + _base32(entropy)[:26]


def message_id_for_key(account: str, idempotency_key: str) -> str:
    """The id of the outgoing message that an Idempotency-Key names: the same key always gives the same id."""
    return "m_" + _digest("idempotency", account, _checked_key(idempotency_key))


def command_id(entropy: bytes) -> str:
    """The id of a command from 16 random bytes."""
    return "c_" + _base32(entropy)[:26]


def command_id_for_key(account: str, idempotency_key: str) -> str:
    """The id of the command that an Idempotency-Key names; messages have names of their own."""
    return "c_" + _digest("command", account, _checked_key(idempotency_key))


def _checked_key(idempotency_key: str) -> str:
    if not 1 <= len(idempotency_key) <= _IDEMPOTENCY_KEY_LENGTH_MAX or not idempotency_key.isprintable():
        raise InvalidInput(
            "bad_idempotency_key",
            f"An Idempotency-Key is 1 to {_IDEMPOTENCY_KEY_LENGTH_MAX} printable characters.",
            "Use a UUID of your own for each message you mean to send.",
        )
    return idempotency_key


def inbound_message_id(account: str, chat: str, wa_message_id: str) -> str:
    """The id of a message that WhatsApp brought: the copies of one message on several devices share it."""
    return "i_" + _digest("inbound", account, chat, wa_message_id)


def notice_id(account: str, event_type: str, name: str) -> str:
    """The id of a notice: the same for every device that heard it."""
    return "n_" + _digest("notice", account, event_type, name)


def is_media_id(text: str) -> bool:
    """Whether `text` has the form of a media id, so that it is safe in a path."""
    return bool(_MEDIA_ID.fullmatch(text))


def new_media_id(entropy: bytes) -> str:
    """The id of a file from 16 random bytes."""
    return "f_" + _base32(entropy)[:26]


def inbound_media_id(account: str, chat: str, wa_message_id: str) -> str:
    """The id of the file of a message that WhatsApp brought: the same for every device that heard it."""
    return "f_" + _digest("media", account, chat, wa_message_id)


def place_id(account: str) -> str:
    """The name of an account's place in the pool: an account id may have dots, which the name of a field may not."""
    return "p_" + _digest("place", account)


def wa_document_id(wa_message_id: str) -> str:
    """A WhatsApp id as a document's: itself, unless it cannot stand in a path (Firestore, "Constraints on document IDs")."""
    if _WA_ID.fullmatch(wa_message_id):
        return wa_message_id
    return "odd-" + hashlib.sha256(wa_message_id.encode(errors="surrogatepass")).hexdigest()


def _digest(*parts: str) -> str:
    # Length-prefixed, so that no two lists of parts run together into one text.
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return _base32(hashlib.sha256(joined.encode()).digest())[:26]


def _base32(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()
