"""The API key of local runs: made at random at the first one, kept in a file, known to Firestore only by its hash."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

PREFIX = "kl_"
RANDOM_BYTES = 32
WRITE_TIMEOUT_S = 30.0


def load_or_make(path: Path) -> str:
    """The key in the file, which is made if it is not there; readable by its owner alone."""
    try:
        if key := path.read_text().strip():
            return key
    except FileNotFoundError:
        pass
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_suffix(".tmp")
    with os.fdopen(os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(key + "\n")
    tmp.replace(path)
    return key


def register(project: str, key: str, tenant: str) -> None:
    """Write the key's document, so that the API knows it. The client finds the emulator by FIRESTORE_EMULATOR_HOST."""
    from google.cloud import firestore  # half a second to import: only once the emulator is starting

    db = firestore.Client(project=project)
    document = {
        "tenant": tenant,
        "name": "local run",
        "scopes": ["read", "send", "admin", "operator"],
        "sessions": None,
        "created_at": firestore.SERVER_TIMESTAMP,
    }
    db.document(f"api_keys/{hashlib.sha256(key.encode()).hexdigest()}").set(document, timeout=WRITE_TIMEOUT_S)
    db.close()  # type: ignore[no-untyped-call]
