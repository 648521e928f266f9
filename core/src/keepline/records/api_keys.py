"""`api_keys/{sha256}`: who may call the API with a key. The key itself is kept nowhere.

`key_id`, by which people name a key, is the beginning of its hash. Hash and id let nobody in.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from keepline.ports.documents import SERVER_TIME, Create, Delete, Document, Query, Update, Version, Where

API_KEYS = "api_keys"
PREFIX = "kl_"

READ = "read"  # see sessions and messages
SEND = "send"  # send messages
ADMIN = "admin"  # create, link and delete sessions; make and revoke keys
OPERATOR = "operator"  # see and steer the installation: its connectors, what is watched, everybody's alerts and reports
# What a user has; an operator has one more.
USER_SCOPES = (READ, SEND, ADMIN)
SCOPES = (*USER_SCOPES, OPERATOR)
# More keys of one user than this are neither made nor listed.
KEYS_MAX = 100
_KEY_ID_CHARACTERS = 16

_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{20,128}}")


def new_key(entropy: bytes) -> str:
    """A key of 46 characters from 32 random bytes. Show it once; only its hash can be looked up."""
    return PREFIX + urlsafe_b64encode(entropy).decode().rstrip("=")


def key_id(path: str) -> str:
    """How people name the key of this document: 64 bits of its hash, unique among the keys of a user."""
    return path.rpartition("/")[2][:_KEY_ID_CHARACTERS]


def has_form(key: str) -> bool:
    """Whether this can be a key at all, so that nonsense costs no look-up."""
    return bool(_FORM.fullmatch(key))


def key_path(key: str) -> str:
    # Plain SHA-256 is right here: a key is 256 random bits, so there is nothing to guess and nothing to slow down.
    return f"{API_KEYS}/{hashlib.sha256(key.encode()).hexdigest()}"


@dataclass(frozen=True)
class ApiKey:
    """Whose key it is and what it may do; `sessions` is None for all of the user's sessions."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[str]
    sessions: frozenset[str] | None
    created_at: datetime
    last_used_at: datetime | None
    path: str
    version: Version

    @classmethod
    def read(cls, document: Document) -> ApiKey:
        fields = document.fields
        sessions = fields.get("sessions")
        return cls(
            id=key_id(document.path),
            tenant=fields["tenant"],
            name=fields["name"],
            scopes=frozenset(fields["scopes"]),
            sessions=frozenset(sessions) if sessions is not None else None,
            created_at=fields["created_at"],
            last_used_at=fields.get("last_used_at"),
            path=document.path,
            version=document.version,
        )


def add_key(
    key: str,
    *,
    tenant: str,
    name: str,
    scopes: Collection[str] = USER_SCOPES,
    sessions: Collection[str] | None = None,
) -> Create:
    """Let this key in."""
    fields = {
        "tenant": tenant,
        "name": name,
        "scopes": [scope for scope in SCOPES if scope in scopes],
        "sessions": sorted(sessions) if sessions is not None else None,
        "created_at": SERVER_TIME,
        "last_used_at": None,
    }
    return Create(key_path(key), fields)


def used(key: ApiKey) -> Update:
    """It is being used, unless somebody has written that since it was read."""
    return Update(key.path, {"last_used_at": SERVER_TIME}, key.version)


def revoke(key: ApiKey) -> Delete:
    """It lets nobody in any more."""
    return Delete(key.path)


def keys_of_tenant(tenant: str) -> Query:
    return Query(API_KEYS, (Where("tenant", "==", tenant),), limit=KEYS_MAX)
