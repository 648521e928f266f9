"""`api_keys/{sha256}`: who may call the API with a key. The key itself is kept nowhere."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from keepline.ports.documents import SERVER_TIME, Create, Document

API_KEYS = "api_keys"
PREFIX = "kl_"

READ = "read"  # see sessions and messages
SEND = "send"  # send messages
ADMIN = "admin"  # create, link and delete sessions
SCOPES = (READ, SEND, ADMIN)

_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{20,128}}")


def new_key(entropy: bytes) -> str:
    """A key of 46 characters from 32 random bytes. Show it once; only its hash can be looked up."""
    return PREFIX + urlsafe_b64encode(entropy).decode().rstrip("=")


def has_form(key: str) -> bool:
    """Whether this can be a key at all, so that nonsense costs no look-up."""
    return bool(_FORM.fullmatch(key))


def key_path(key: str) -> str:
    # Plain SHA-256 is right here: a key is 256 random bits, so there is nothing to guess and nothing to slow down.
    return f"{API_KEYS}/{hashlib.sha256(key.encode()).hexdigest()}"


@dataclass(frozen=True)
class ApiKey:
    """Whose key it is and what it may do."""

    tenant: str
    name: str
    scopes: frozenset[str]

    @classmethod
    def read(cls, document: Document) -> ApiKey:
        fields = document.fields
        return cls(tenant=fields["tenant"], name=fields["name"], scopes=frozenset(fields["scopes"]))


def add_key(key: str, *, tenant: str, name: str, scopes: tuple[str, ...] = SCOPES) -> Create:
    """Let this key in."""
    fields = {"tenant": tenant, "name": name, "scopes": list(scopes), "created_at": SERVER_TIME}
    return Create(key_path(key), fields)
