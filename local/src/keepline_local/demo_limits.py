"""The limits of the demo's user. They are generous: tests and benches write more than one person's programs should."""

from __future__ import annotations

from typing import Any

WRITE_TIMEOUT_S = 30.0

# In the words of `tenants/{tenant}` (docs/architecture.md): of each kind so many at once, and as many a minute.
_GENEROUS = {"count": 60_000, "period_s": 60.0, "burst": 60_000}
LIMITS = dict.fromkeys(("messages", "files", "sessions", "codes", "reconnects"), _GENEROUS)


def register(project: str, tenant: str) -> None:
    """Write them to the user's document. The client finds the emulator by FIRESTORE_EMULATOR_HOST."""
    from google.cloud import firestore  # half a second to import: only once the emulator is starting

    db = firestore.Client(project=project)
    document: dict[str, Any] = {"limits": LIMITS}
    db.document(f"tenants/{tenant}").set(document, timeout=WRITE_TIMEOUT_S)
    db.close()  # type: ignore[no-untyped-call]
